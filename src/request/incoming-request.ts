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
} from "./request.ts";

/** A session's request: whatever depends on it alone. */
export class IncomingRequest {
  readonly raw: AnyRequest;
  /** The request within a framework's own object. */
  readonly #innermost: AnyRequest;
  readonly #trustProxy: boolean;

  /** Gives the client's address, where a server of fetch handlers tells it. An adapter sets it. */
  besideAddress: (() => string | undefined) | undefined;
  /** `csrfProtection()` has refused it. */
  isRefused = false;

  constructor(raw: AnyRequest, innermost: AnyRequest, trustProxy: boolean) {
    this.raw = raw;
    this.#innermost = innermost;
    this.#trustProxy = trustProxy;
  }

  /** Whether an object that has this session has it for itself, and has not copied or inherited it for another request. */
  isOf(holder: AnyRequest): boolean {
    return holder === this.raw || isSameRequest(holder, this.#innermost);
  }

  get cookieHeader(): string | undefined {
    return cookieHeader(this.raw);
  }

  get isSecure(): boolean {
    return isSecure(this.raw, this.#trustProxy);
  }

  /** Whether X-Forwarded-Proto says HTTPS, believed or not. */
  get claimsHttps(): boolean {
    return claimsHttps(this.raw);
  }

  /** The route, for a message. */
  get route(): string {
    return routeOf(this.raw);
  }

  /** It asks for a WebSocket. */
  get isUpgrade(): boolean {
    return isWebSocketRequest(this.raw);
  }

  /** Whether the response to it has a body that somebody reads. */
  get expectsBody(): boolean {
    return canHaveBody(this.raw);
  }

  /** For the option `client`. */
  get forClient(): ClientRequest {
    return clientRequest(this.raw, this.#trustProxy, this.besideAddress?.());
  }
}
