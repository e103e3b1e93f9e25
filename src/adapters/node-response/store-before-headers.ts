import type { ServerResponse } from "node:http";
import { finishResponse } from "../../request/finish-response.ts";
import { concludeResponse, prepareFailure, writeFailureHeaders } from "../../request/respond.ts";
import type { ResponseHeaders } from "../../request/cache-headers.ts";
import type { RequestSession } from "../../request/request-session.ts";
import { requestSessionOf } from "../../request/session-handle.ts";
import type { Session } from "../../session.ts";
import { checkUnreplaced, type SessionHolder } from "../replaced.ts";
import { abortOnDestroy } from "./abort.ts";
import { delayResponse } from "./delayed-response.ts";
import type { ResponseHooks } from "./response-hooks.ts";

/**
 * Commits a session before the headers of a response of node:http leave.
 *
 * @param onFailure - takes the error of a commit.
 * @param holder - has the session as its property `session`, which must not be replaced meanwhile.
 * @param beforeStoring - is called when the headers are about to be sent, before anything is stored.
 */
export function storeBeforeHeaders<Data extends object>(
  session: Session<Data>,
  res: ServerResponse,
  onFailure: (error: unknown) => void,
  holder?: Readonly<SessionHolder>,
  beforeStoring?: BeforeStoring,
): void {
  abortOnDestroy(res);
  delayResponse(res, new SessionHooks(requestSessionOf(session), res, onFailure, holder, beforeStoring));
}

/** Makes the last changes of a session. */
interface BeforeStoring {
  beforeStoring(): void;
}

/** Sets the caching headers of the error response to a request whose session could not be read. */
export function setFailureHeaders<Data extends object>(session: Session<Data>, res: ServerResponse): void {
  new SessionHooks(requestSessionOf(session), res, () => {}).beforeFailure();
}

/** A class, because every request creates one: a closure for each method would cost more than everything else here. */
class SessionHooks implements ResponseHooks, ResponseHeaders {
  readonly #requestSession: RequestSession;
  readonly #res: ServerResponse;
  readonly onFailure: (error: unknown) => void;
  readonly #holder: Readonly<SessionHolder> | undefined;
  readonly #beforeStoring: BeforeStoring | undefined;
  /** The session's headers, while the response is held: it takes none until it is released. */
  #writes: [name: string, value: string][] | undefined;

  /** The cookies of an earlier commit, which the headers have already. */
  #written: readonly string[] | undefined;

  constructor(
    requestSession: RequestSession,
    res: ServerResponse,
    onFailure: (error: unknown) => void,
    holder?: Readonly<SessionHolder>,
    beforeStoring?: BeforeStoring,
  ) {
    this.#beforeStoring = beforeStoring;
    this.#holder = holder;
    this.#requestSession = requestSession;
    this.#res = res;
    this.onFailure = onFailure;
  }

  beforeHeaders(): Promise<() => void> | undefined {
    this.#written = this.#requestSession.cookie.written;
    if (this.#holder) checkUnreplaced(this.#holder);
    this.#beforeStoring?.beforeStoring();
    const storing = concludeResponse(this.#requestSession, this);
    if (!storing) return undefined;
    this.#writes = [];
    return storing.then(() => () => this.#apply());
  }

  prepareFailure(): Promise<void> | undefined {
    return prepareFailure(this.#requestSession);
  }

  /** Beside the headers of middleware before us, which caches would go by. */
  beforeFailure(): void {
    this.#writes = undefined;
    writeFailureHeaders(this.#requestSession, this);
  }

  beforeEnd(): Promise<void> | undefined {
    return finishResponse(this.#requestSession);
  }

  /** A session that was not used before the headers can't be changed after them. */
  expectsEnd(): boolean {
    return this.#requestSession.progress.isAccessed;
  }

  get(name: string): string | undefined {
    return this.#res.getHeader(name)?.toString();
  }

  get status(): number {
    return this.#res.statusCode;
  }

  keys(): string[] {
    return this.#res.getHeaderNames();
  }

  set(name: string, value: string): void {
    if (this.#writes) this.#writes.push([name, value]);
    else this.#write(name, value);
  }

  append(name: string, value: string): void {
    this.set(name, value);
  }

  #apply(): void {
    for (const [name, value] of this.#writes!) this.#write(name, value);
  }

  #write(name: string, value: string): void {
    this.#res.setHeader(name, name === "Set-Cookie" ? this.#withCookie(value) : value);
  }

  /** The application's cookies and ours, in a new array: the application may share its array between responses. */
  #withCookie(cookie: string): string[] {
    const replaced = this.#written;
    this.#written = undefined;
    const others = [this.#res.getHeader("set-cookie") ?? []].flat().map(String);
    return [...(replaced ? others.filter((other) => !replaced.includes(other)) : others), cookie];
  }
}
