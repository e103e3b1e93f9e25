// A newcomer's first lines. The compiler's errors are compared with text in programs.test.ts.
import { createSessions } from "sojourn";
import { memoryStore } from "sojourn/memory";

const sessions = createSessions({ secretKey: "", store: memoryStore() });

export async function first(request: Request): Promise<void> {
  const session = await sessions.open(request);
  session.data.username = "ada";
  session.update("visits", () => 1);
  session.pop("username");
  session.signIn("ada", { keep: ["username"] });
}
