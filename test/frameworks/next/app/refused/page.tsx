import { Suspense } from "react";
import type { Session } from "sojourn";
import { action, getSession } from "../../lib/session";

const ATTEMPTS: Record<string, (session: Session) => unknown> = {
  key: (session) => (session.data.count = 1),
  delete: (session) => delete session.data.cart,
  nested: (session) => session.data.cart?.items.push("milk"),
  map: (session) => session.data.seen?.set("b", { at: new Date() }),
  "in a map": (session) => (session.data.seen!.get("a")!.at = new Date()),
  date: (session) => session.data.seen?.get("a")?.at.setFullYear(1999),
  set: (session) => session.data.tags?.add("b"),
  property: (session) => ((session as unknown as { user: string }).user = "x"),
  pop: (session) => session.pop("cart"),
  update: (session) => session.update("count", () => 2),
  clear: (session) => session.clear(),
  flash: (session) => session.flash("info", "no"),
  takeFlashes: (session) => session.takeFlashes(),
  signIn: (session) => session.signIn("mallory"),
  signOut: (session) => session.signOut(),
  rotate: (session) => session.rotate(),
  save: (session) => session.save(),
  "a server action": async () => action((session) => session.signIn("mallory"))(),
};

async function Refused() {
  const session = (await getSession()) as unknown as Session;
  const said: string[] = [];
  for (const [name, attempt] of Object.entries(ATTEMPTS)) {
    try {
      await attempt(session);
      said.push(`${name}: done`);
    } catch (error) {
      said.push(`${name}: ${(error as Error).name} ${(error as Error).message}`);
    }
  }
  return <pre>{said.join("\n")}</pre>;
}

export default function RefusedPage() {
  return (
    <Suspense>
      <Refused />
    </Suspense>
  );
}
