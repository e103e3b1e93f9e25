import { createSessions, SessionError, type Session } from "sojourn";
import { withSession } from "sojourn/fetch";
import { memoryStore } from "sojourn/memory";
import { isSame, use } from "./use.js";

const sessions = createSessions({
  secretKey: "",
  store: memoryStore(),
  client: (request) => ("headers" in request ? { userAgent: "any" } : undefined),
});

export const handle = withSession(sessions, (request, session, env: { REGION: string }) => {
  isSame<typeof session, Session>();
  // @ts-expect-error -- there is no such key
  console.log(session.data.usernmae);
  return new Response(use(session) + use(sessions.of(request)) + env.REGION);
});

export async function byHand(request: Request): Promise<Response> {
  try {
    const session = await sessions.open(request);
    return await sessions.commit(session, new Response(use(session)));
  } catch (error) {
    return error instanceof SessionError ? error.getResponse() : Response.error();
  }
}
