import { printable } from "./printable.ts";

/**
 * The stable code of a {@link SessionError}, with its HTTP status:
 *
 * - `ERR_SESSION_STORE` (503): the store failed, or took longer than `storeTimeout`.
 * - `ERR_SESSION_CONFLICT` (409): other requests changed the session first, again and again.
 * - `ERR_SESSION_SUPERSEDED` (409): somebody signed in to the session, or replaced its token, while this request was changing it.
 * - `ERR_SESSION_LIMIT` (409): one sign-in more than `maxPerUser` allows.
 * - `ERR_SESSION_ORIGIN` (403): a page of another origin sent a form, or opened a WebSocket.
 * - `ERR_SESSION_TWO_TOKENS` (400): the request has both the cookie and `Authorization: Bearer`.
 * - `ERR_SESSION_SIGN_IN` (401): a guarded route, and nobody is signed in, or not recently.
 * - `ERR_SESSION_TOO_LARGE` (413): the data are over `limits`.
 * - `ERR_SESSION_COOKIE_TOO_LARGE` (413): the session does not fit into the cookies of `cookieStore()`.
 * - `ERR_SESSION_DECODE` (500): the stored record was tampered with, or no key of the list has encrypted it.
 * - `ERR_SESSION_HEADERS_SENT` (500): a change that needs a new cookie, or the first use, came after the headers.
 */
export type SessionErrorCode =
  | "ERR_SESSION_STORE"
  | "ERR_SESSION_CONFLICT"
  | "ERR_SESSION_SUPERSEDED"
  | "ERR_SESSION_LIMIT"
  | "ERR_SESSION_ORIGIN"
  | "ERR_SESSION_TWO_TOKENS"
  | "ERR_SESSION_SIGN_IN"
  | "ERR_SESSION_TOO_LARGE"
  | "ERR_SESSION_COOKIE_TOO_LARGE"
  | "ERR_SESSION_DECODE"
  | "ERR_SESSION_HEADERS_SENT";

type Status = 400 | 401 | 403 | 409 | 413 | 500 | 503;

const STATUS: Record<SessionErrorCode, Status> = {
  ERR_SESSION_STORE: 503,
  ERR_SESSION_CONFLICT: 409,
  ERR_SESSION_SUPERSEDED: 409,
  ERR_SESSION_LIMIT: 409,
  ERR_SESSION_ORIGIN: 403,
  ERR_SESSION_TWO_TOKENS: 400,
  ERR_SESSION_SIGN_IN: 401,
  ERR_SESSION_TOO_LARGE: 413,
  ERR_SESSION_COOKIE_TOO_LARGE: 413,
  ERR_SESSION_DECODE: 500,
  ERR_SESSION_HEADERS_SENT: 500,
};

/** The bodies of error responses. They do not show the cause. */
const BODY: Readonly<Record<Status, string>> = {
  400: "Bad Request",
  401: "Unauthorized",
  403: "Forbidden",
  409: "Conflict",
  413: "Content Too Large",
  500: "Internal Server Error",
  503: "Service Unavailable: please try again in a moment",
};

/**
 * An error at run time, with a stable `code`. A mistake in the program is a `TypeError` instead. A missing, expired or
 * forged session is no error.
 *
 * `status`, `statusCode`, `expose` and `headers` are what Express, Fastify and Koa honour when they turn an error into a
 * response, `getResponse()` what Hono does, and `statusText`, `data` and `internal` what React Router does: 503 for the
 * store, 409 for a conflict, 413 for data over the limits, 500 for the rest, never cached.
 */
export class SessionError extends Error {
  override readonly name = "SessionError";
  /** Tells the kinds of errors apart. It does not change between versions; the message may. */
  readonly code: SessionErrorCode;
  /** The HTTP status of the response. */
  readonly status: Status;
  /** The same as `status`, for frameworks that look for this name. */
  readonly statusCode: Status;
  /** Whether the client may see the message. */
  readonly expose: boolean;
  /** The headers of the error response. Each error has its own object, because middleware may add to it. */
  readonly headers: Record<string, string> = { "cache-control": "no-store", vary: "Cookie" };
  /** The ids of the sessions that `revokeAll` or `credentialsChanged` could not end. */
  declare readonly notEnded?: readonly string[];

  constructor(
    code: SessionErrorCode,
    message: string,
    { notEnded, ...options }: { cause?: unknown; notEnded?: readonly string[] } = {},
  ) {
    super(printable(message), options);
    if (notEnded) this.notEnded = notEnded;
    this.code = code;
    this.status = this.statusCode = STATUS[code];
    // The size and the names of what a session keeps are none of the client's.
    this.expose = this.status < 500 && this.status !== 413;
  }

  /** The text of the status, for frameworks that look for this name. */
  get statusText(): string {
    return BODY[this.status].split(":", 1)[0]!;
  }

  /** The text that the client may see: the message of a status below 500. */
  get data(): string {
    return messageForClient(this);
  }

  /** React Router answers with the status of an error that has this property. */
  get internal(): boolean {
    return false;
  }

  /** React Router logs an error that has this property. */
  get error(): SessionError | undefined {
    return this.expose ? undefined : this;
  }

  /** Creates a plain error response. It hides the message of a status from 500 on. */
  getResponse(): Response {
    return new Response(`${this.data}\n`, { status: this.status, headers: this.headers });
  }
}

/** The message that a client may see. */
export function messageForClient(error: unknown): string {
  if (!(error instanceof SessionError)) return BODY[500];
  return error.expose ? error.message : BODY[error.status];
}

/** A record of the store, or a part of it, that does not decode. */
export function createDecodeError(why: string, cause?: unknown): SessionError {
  return new SessionError("ERR_SESSION_DECODE", `The store's record can't be read: ${why}`, { cause });
}
