import { nextSessions } from "sojourn/next";
import { handle, suite } from "./suite";

declare module "sojourn" {
  interface SessionData {
    count?: number;
    cart?: { items: string[] };
    seen?: Map<string, { at: Date }>;
    tags?: Set<string>;
    first?: string;
    second?: string;
  }
}

export const { getSession, readSession, takeFlashes, action, route, getSessions } = nextSessions(() =>
  suite().createSessions(),
);

export const typed = route((request: Request, session) => {
  void handle(session, undefined as never, request);
  return new Response();
});
