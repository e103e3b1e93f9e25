/**
 * The types of TanStack Start that the adapter uses. The package itself is too large for the tests of this repository, and
 * needs Node 22; the example is compiled against its own types.
 */
declare module "@tanstack/react-start" {
  export interface RequestServerOptions<TRegister, TMiddlewares> {
    readonly "~types"?: [TRegister, TMiddlewares];
    request: Request;
    pathname: string;
    next: <TServerContext>(options?: {
      context?: TServerContext;
    }) => Promise<RequestServerResult<TRegister, TMiddlewares, TServerContext>>;
    handlerType: "serverFn" | "router";
  }
  export interface RequestServerResult<TRegister, TMiddlewares, TServerContext> {
    readonly "~types"?: [TRegister, TMiddlewares, TServerContext];
    response: Response;
  }
}

declare module "@tanstack/react-start/server" {
  export function getResponseHeaders(): { keys(): Iterable<string> };
  export function setResponseHeader(name: string, value: string): void;
  export function appendResponseHeader(name: string, value: string): void;
  export function removeResponseHeader(name: string): void;
  export function setResponseStatus(status: number): void;
}
