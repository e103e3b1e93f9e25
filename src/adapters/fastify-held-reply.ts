import type { FastifyReply } from "fastify";

/**
 * A reply whose session is being stored. Until that is done, it looks sent to the program, as in Fastify without a hook that
 * waits: Fastify itself refuses a second payload, with its warning. In our hook, such a payload would leave first and without
 * the session, because the response's commit is under way already.
 */
export class HeldReply {
  readonly #reply: FastifyReply;
  readonly #status: number;
  /** `undefined` once they are restored. */
  #headers: Map<string, HeaderValue> | undefined;

  constructor(reply: FastifyReply) {
    this.#reply = reply;
    this.#status = reply.statusCode;
    this.#headers = new Map();
    // Fastify appends to the array of an earlier cookie.
    for (const [name, value] of headersOf(reply)) this.#headers.set(name, Array.isArray(value) ? [...value] : value);
    Object.defineProperty(reply, "sent", LOOKS_SENT);
  }

  /** Takes back what the program has done to status and headers meanwhile: they belong to the payload that it gave first. */
  restore(): void {
    const headers = this.#headers;
    if (!headers) return;
    this.#headers = undefined;
    const reply = this.#reply;
    reply.raw.statusCode = this.#status;
    for (const [name, value] of headersOf(reply)) if (headers.get(name) !== value) reply.removeHeader(name);
    for (const [name, value] of headers) if (!reply.hasHeader(name)) void reply.header(name, value);
  }

  /** From here on, the payload or an error's response can be sent. */
  release(): void {
    this.restore();
    Reflect.deleteProperty(this.#reply, "sent");
  }
}

type HeaderValue = number | string | string[] | undefined;

const LOOKS_SENT: PropertyDescriptor = { value: true, enumerable: true, configurable: true };

function headersOf(reply: FastifyReply): [string, HeaderValue][] {
  return Object.entries(reply.getHeaders());
}

/** Whether a {@link HeldReply} is not released yet. */
export function isHeldReply(reply: FastifyReply): boolean {
  return Object.hasOwn(reply, "sent");
}

/** The reply for whoever awaits it: while it is held, its response has not ended. */
export function awaitableReply(reply: FastifyReply): FastifyReply {
  return isHeldReply(reply) ? (Object.create(reply, { sent: { value: false } }) as FastifyReply) : reply;
}
