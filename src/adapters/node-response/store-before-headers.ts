import type { ServerResponse } from "node:http";
import type { ResponseHeaders } from "../../request/cache-headers.ts";
import type { SessionError } from "../../errors.ts";
import type { Session } from "../../session.ts";
import type { Sessions } from "../../sessions.ts";
import { abortOnDestroy } from "./abort.ts";
import { delayResponse, type ResponseHooks } from "./delayed-response.ts";

/**
 * Ties a session to a response of node:http: the head does not leave before the session is stored, and what fails goes
 * to `onFailure`.
 */
export function storeBeforeHeaders<Data extends object>(
  sessions: Sessions<Data>,
  session: Session<Data>,
  res: ServerResponse,
  onFailure: (error: unknown) => void,
): void {
  sessions.finishesWith(session, res);
  abortOnDestroy(res);
  delayResponse(res, new SessionHooks(sessions, session, res, onFailure));
}

/** The session could not be read: its rules for caches go to the error's response. */
export function setFailureHeaders<Data extends object>(
  sessions: Sessions<Data>,
  session: Session<Data>,
  res: ServerResponse,
): void {
  new SessionHooks(sessions, session, res, () => {}).beforeFailure();
}

/** A class, since every request makes one: a closure for each method would cost more than the rest of it. */
class SessionHooks<Data extends object> implements ResponseHooks, ResponseHeaders {
  readonly #sessions: Sessions<Data>;
  readonly #session: Session<Data>;
  readonly #res: ServerResponse;
  readonly onFailure: (error: unknown) => void;
  /** What the session writes to the head: a held response takes no headers until it is released. */
  #writes: [name: string, value: string][] | undefined;

  constructor(
    sessions: Sessions<Data>,
    session: Session<Data>,
    res: ServerResponse,
    onFailure: (error: unknown) => void,
  ) {
    this.#sessions = sessions;
    this.#session = session;
    this.#res = res;
    this.onFailure = onFailure;
  }

  beforeHeaders(): Promise<() => void> | undefined {
    const stored = this.#sessions.conclude(this.#session, this);
    if (stored) return stored.then(() => () => this.#apply());
    this.#apply();
    return undefined;
  }

  /** Beside what middleware before us has set, and caches would go by. */
  beforeFailure(): void {
    this.#writes = undefined;
    this.#sessions.concludeFailure(this.#session, this);
    this.#apply();
  }

  beforeEnd(): SessionError | undefined {
    return this.#sessions.unsaved(this.#session);
  }

  get(name: string): string | undefined {
    return this.#res.getHeader(name)?.toString();
  }

  keys(): string[] {
    return this.#res.getHeaderNames();
  }

  set(name: string, value: string): void {
    (this.#writes ??= []).push([name, value]);
  }

  append(name: string, value: string): void {
    this.set(name, value);
  }

  #apply(): void {
    if (!this.#writes) return;
    const res = this.#res;
    for (const [name, value] of this.#writes) {
      res.setHeader(name, name === "Set-Cookie" ? withCookie(res, value) : value);
    }
  }
}

/** The application's own cookies and ours, in a new list: the application may share its list between responses. */
function withCookie(res: ServerResponse, cookie: string): string[] {
  const others = res.getHeader("set-cookie") ?? [];
  return [...(Array.isArray(others) ? others : [String(others)]), cookie];
}
