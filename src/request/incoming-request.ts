import { clientRequest, type ClientRequest } from "./client.ts";
import {
  canHaveBody,
  claimsHttps,
  cookieHeader,
  isSameRequest,
  isSecure,
  isWebSocketRequest,
  routeOf,
  type AnyRequest,
  type PlainRequest,
} from "./request.ts";

/** A session's request: whatever depends on it alone. */
export class IncomingRequest {
  readonly raw: AnyRequest;
  /** The request within a framework's own object, whose properties may be slow getters. */
  readonly #innermost: PlainRequest;
  readonly #trustProxy: boolean;

  /** Gives the client's address, where a server of fetch handlers tells it. An adapter sets it. */
  besideAddress: (() => string | undefined) | undefined;
  /** `csrfProtection()` has refused it. */
  isRefused = false;

  constructor(raw: AnyRequest, innermost: PlainRequest, trustProxy: boolean) {
    this.raw = raw;
    this.#innermost = innermost;
    this.#trustProxy = trustProxy;
  }

  /** Whether an object that has this session has it for itself, and has not copied or inherited it for another request. */
  isOf(holder: AnyRequest): boolean {
    return holder === this.raw || isSameRequest(holder, this.#innermost);
  }

  get cookieHeader(): string | undefined {
    return cookieHeader(this.#innermost);
  }

  get isSecure(): boolean {
    return isSecure(this.raw, this.#trustProxy, this.#innermost);
  }

  /** Whether X-Forwarded-Proto says HTTPS, believed or not. */
  get claimsHttps(): boolean {
    return claimsHttps(this.#innermost);
  }

  /** The route, for a message. */
  get route(): string {
    return routeOf(this.raw);
  }

  /** It asks for a WebSocket. */
  get isUpgrade(): boolean {
    return isWebSocketRequest(this.#innermost);
  }

  /** Whether the response to it has a body that somebody reads. */
  get expectsBody(): boolean {
    return canHaveBody(this.#innermost);
  }

  /** For the option `client`. */
  get forClient(): ClientRequest {
    return clientRequest(this.raw, this.#trustProxy, this.besideAddress?.());
  }
}
