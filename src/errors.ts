/** The stable code of a {@link SessionError}. */
export type SessionErrorCode =
  | "ERR_SESSION_STORE"
  | "ERR_SESSION_CONFLICT"
  | "ERR_SESSION_SUPERSEDED"
  | "ERR_SESSION_DECODE"
  | "ERR_SESSION_HEADERS_SENT"
  | "ERR_SESSION_COOKIE_TOO_LARGE";

const STATUS: Record<SessionErrorCode, 409 | 500 | 503> = {
  ERR_SESSION_STORE: 503,
  ERR_SESSION_CONFLICT: 409,
  ERR_SESSION_SUPERSEDED: 409,
  ERR_SESSION_DECODE: 500,
  ERR_SESSION_HEADERS_SENT: 500,
  ERR_SESSION_COOKIE_TOO_LARGE: 500,
};

/**
 * A fault at run time. Mistakes in the program are `TypeError`s instead, and a missing, expired or forged session is
 * no error at all.
 *
 * `status`, `statusCode`, `expose` and `headers` are what Express, Fastify, Koa and Hono honour when they turn an error
 * into a response: 503 for the store, 409 for a conflict, 500 for the rest, never to be cached.
 */
export class SessionError extends Error {
  override readonly name = "SessionError";
  readonly code: SessionErrorCode;
  readonly status: 409 | 500 | 503;
  readonly statusCode: 409 | 500 | 503;
  readonly expose: boolean;
  readonly headers: Readonly<Record<string, string>> = { "cache-control": "no-store", vary: "Cookie" };

  constructor(code: SessionErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.code = code;
    this.status = this.statusCode = STATUS[code];
    this.expose = this.status < 500;
  }
}
