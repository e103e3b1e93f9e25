import type { ServerResponse } from "node:http";
import { NEVER_CACHED } from "../errors.ts";
import type { Session } from "../session.ts";
import type { ResponseHead, Sessions } from "../sessions.ts";
import { holdResponse } from "./hold.ts";

/**
 * Ties a session to a response of node:http: the head does not leave before the session is stored, and what fails goes
 * to `onFailure`.
 */
export function tie<Data extends object>(
  sessions: Sessions<Data>,
  session: Session<Data>,
  res: ServerResponse,
  onFailure: (error: unknown) => void,
): void {
  res.once("close", () => sessions.release(session));
  holdResponse(res, {
    beforeHead() {
      const writes: [name: string, value: string][] = [];
      const head = headOf(res, writes);
      const stored = sessions.conclude(session, head);
      const apply = () => {
        for (const [name, value] of writes) res.setHeader(name, name === "Set-Cookie" ? withCookie(res, value) : value);
      };
      if (stored) return stored.then(() => apply);
      apply();
      return undefined;
    },
    beforeEnd: () => sessions.unsaved(session),
    headersOnFailure: NEVER_CACHED,
    onFailure,
  });
}

export function neverCached(res: ServerResponse): void {
  for (const [name, value] of Object.entries(NEVER_CACHED)) res.setHeader(name, value);
}

/** Keeps what is written: a held response takes no headers until it is released. */
function headOf(res: ServerResponse, writes: [string, string][]): ResponseHead {
  const write = (name: string, value: string) => void writes.push([name, value]);
  return { get: (name) => res.getHeader(name)?.toString(), set: write, append: write };
}

/** The application's own cookies and ours, in a new list: the application may share its list between responses. */
function withCookie(res: ServerResponse, cookie: string): string[] {
  const others = res.getHeader("set-cookie") ?? [];
  return [...(Array.isArray(others) ? others : [String(others)]), cookie];
}
