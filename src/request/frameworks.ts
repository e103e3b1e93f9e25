/** The frameworks that an adapter can tell from the object that it is given. */
export type Framework = "express" | "fastify" | "hono" | "koa" | "socket.io" | "node" | "fetch";

/** Sentences that say how to mount the sessions in a framework. */
export const MOUNT: Readonly<Record<Framework, string>> = {
  express: 'mount app.use(sessionMiddleware(sessions)) from "sojourn/express" before this route',
  fastify: 'register app.register(sessionPlugin(sessions)) from "sojourn/fastify" on this instance or one around it',
  hono: 'mount app.use(sessionMiddleware(sessions)) from "sojourn/hono" before this route',
  koa: 'mount app.use(sessionMiddleware(sessions)) from "sojourn/koa" before this route',
  "socket.io": 'mount io.use(sessionMiddleware(sessions)) from "sojourn/socket.io" on this namespace',
  node: 'wrap the handler: createServer(withSession(sessions, handler)) from "sojourn/node"',
  fetch: 'wrap the handler: withSession(sessions, handler) from "sojourn/fetch"',
};

/** Recognises the framework of a request, of a context, or of an application. */
export function frameworkOf(given: unknown): Framework {
  if (typeof given !== "object" || given === null) return typeof given === "function" ? "express" : "fetch";
  const shape = given as Record<string, unknown>;
  if (typeof shape["addHook"] === "function" || "routeOptions" in shape) return "fastify";
  if (isObject(shape["req"]) && isObject((shape["req"] as Record<string, unknown>)["raw"])) return "hono";
  if (typeof shape["onerror"] === "function" && isObject(shape["req"])) return "koa";
  if (isObject(shape["nsp"]) && isObject(shape["handshake"])) return "socket.io";
  if ("app" in shape && "res" in shape) return "express";
  if (isEngineRequest(shape)) return "socket.io";
  return "httpVersion" in shape ? "node" : "fetch";
}

/** Whether a request belongs to the engine of socket.io, which has middleware of its own, for each request of a connection. */
export function isEngineRequest(request: object): boolean {
  const { _query: query } = request as { _query?: unknown };
  return typeof query === "object" && query !== null && "transport" in query && !("app" in request);
}

/**
 * Checks that an adapter is called by its own framework.
 *
 * @throws TypeError that names the import for the framework that called it.
 */
export function expectFramework(expected: Framework, adapter: string, given: unknown): void {
  const found = frameworkOf(given);
  if (found === expected) return;
  throw new TypeError(`${adapter} of "sojourn/${expected}" was called by another framework: ${MOUNT[found]}`);
}

function isObject(value: unknown): boolean {
  return typeof value === "object" && value !== null;
}
