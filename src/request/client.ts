import type { Client } from "../record/record.ts";
import { addressOf, requestHeader, type AnyRequest } from "./request.ts";

/** A request as the option `client` sees it, the same in every framework. */
export interface ClientRequest {
  /** The headers. `get` gives the value of one, whatever the case of its name. */
  readonly headers: {
    get(name: string): string | undefined;
  };
  /**
   * The client's network address, where the framework or the server tells it. Behind a proxy it is the client's only with
   * the framework's own proxy setting (Express, Fastify) or with `trustProxy`.
   */
  readonly address: string | undefined;
  /** The framework's own request. */
  readonly raw: AnyRequest;
}

/** The ready-made forms of the option `client`. */
export interface ClientDetails {
  /** Keeps the `User-Agent` header, at most 256 characters. Default `false`. */
  readonly userAgent?: boolean | undefined;
  /** Keeps the network address. Default `false`. */
  readonly address?: boolean | undefined;
}

const LONGEST_USER_AGENT = 256;

/** The request for the option `client`. @param besideAddress - the address that the server passed beside the request. */
export function clientRequest(
  request: AnyRequest,
  trustProxy: boolean,
  besideAddress: string | undefined,
): ClientRequest {
  return {
    headers: { get: (name) => requestHeader(request, name.toLowerCase()) },
    get address() {
      return addressOf(request, trustProxy) ?? besideAddress;
    },
    raw: request,
  };
}

/** The function that describes a client by these details. */
export function describeBy({ userAgent, address }: ClientDetails): (request: ClientRequest) => Client {
  return (request) => ({
    userAgent: userAgent ? request.headers.get("user-agent")?.slice(0, LONGEST_USER_AGENT) : undefined,
    address: address ? request.address : undefined,
  });
}
