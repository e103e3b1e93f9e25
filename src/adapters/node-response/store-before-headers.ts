import type { ServerResponse } from "node:http";
import type { ResponseHeaders } from "../../request/cache-headers.ts";
import type { SessionError } from "../../errors.ts";
import type { Session } from "../../session.ts";
import type { Sessions } from "../../sessions.ts";
import { abortOnDestroy } from "./abort.ts";
import { delayResponse, type ResponseHooks } from "./delayed-response.ts";

/**
 * Delays the headers of a node:http response until its session is stored. An error goes to `onFailure`.
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

/** Sets the caching headers of the error response to a request whose session could not be read. */
export function setFailureHeaders<Data extends object>(
  sessions: Sessions<Data>,
  session: Session<Data>,
  res: ServerResponse,
): void {
  new SessionHooks(sessions, session, res, () => {}).beforeFailure();
}

/** A class, because every request creates one: a closure for each method would cost more than everything else here. */
class SessionHooks<Data extends object> implements ResponseHooks, ResponseHeaders {
  readonly #sessions: Sessions<Data>;
  readonly #session: Session<Data>;
  readonly #res: ServerResponse;
  readonly onFailure: (error: unknown) => void;
  /** The headers to set. A delayed response accepts none until it is released. */
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

  /** Adds to the headers that earlier middleware set, which caches would otherwise follow. */
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

/** The application's cookies and ours, in a new array: the application may share its array between responses. */
function withCookie(res: ServerResponse, cookie: string): string[] {
  const others = res.getHeader("set-cookie") ?? [];
  return [...(Array.isArray(others) ? others : [String(others)]), cookie];
}
