/** The stable code of a {@link SessionError}. */
export type SessionErrorCode =
  | "ERR_SESSION_STORE"
  | "ERR_SESSION_CONFLICT"
  | "ERR_SESSION_SUPERSEDED"
  | "ERR_SESSION_LIMIT"
  | "ERR_SESSION_ORIGIN"
  | "ERR_SESSION_DECODE"
  | "ERR_SESSION_HEADERS_SENT";

const STATUS: Record<SessionErrorCode, 403 | 409 | 500 | 503> = {
  ERR_SESSION_STORE: 503,
  ERR_SESSION_CONFLICT: 409,
  ERR_SESSION_SUPERSEDED: 409,
  ERR_SESSION_LIMIT: 409,
  ERR_SESSION_ORIGIN: 403,
  ERR_SESSION_DECODE: 500,
  ERR_SESSION_HEADERS_SENT: 500,
};

/** The bodies of error responses. They do not show the cause. */
const BODY: Readonly<Record<number, string>> = {
  403: "Forbidden",
  409: "Conflict",
  500: "Internal Server Error",
  503: "Service Unavailable: please try again in a moment",
};

/**
 * An error at run time, with a stable `code`. A mistake in the program is a `TypeError` instead. A missing, expired or
 * forged session is no error.
 *
 * Express, Fastify and Koa create the error response from `status`, `statusCode`, `expose` and `headers`, Hono from
 * `getResponse()`. The status is 503 for the store, 409 for a conflict, a limit or a superseded session, 403 for a
 * foreign origin, and 500 otherwise. The response is never cached.
 *
 * @example
 * if (error instanceof SessionError && error.code === "ERR_SESSION_CONFLICT") retryLater();
 */
export class SessionError extends Error {
  override readonly name = "SessionError";
  readonly code: SessionErrorCode;
  readonly status: 403 | 409 | 500 | 503;
  readonly statusCode: 403 | 409 | 500 | 503;
  readonly expose: boolean;
  /** The headers of the error response. Each error has its own object, because middleware may add to it. */
  readonly headers: Record<string, string> = { "cache-control": "no-store", vary: "Cookie" };

  constructor(code: SessionErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.code = code;
    this.status = this.statusCode = STATUS[code];
    this.expose = this.status < 500;
  }

  /** Creates a plain error response. It hides the message of a status from 500 on. */
  getResponse(): Response {
    const body = this.expose ? this.message : BODY[this.status];
    return new Response(`${body}\n`, { status: this.status, headers: this.headers });
  }
}
