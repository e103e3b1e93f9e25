/** Sentences that say how to mount the sessions in a framework. */
export const MOUNT = {
  express: 'mount app.use(sessionMiddleware(sessions)) from "sojourn/express" before this route',
  fastify: 'register app.register(sessionPlugin(sessions)) from "sojourn/fastify" on this instance or one around it',
  hono: 'mount app.use(sessionMiddleware(sessions)) from "sojourn/hono" before this route',
  koa: 'mount app.use(sessionMiddleware(sessions)) from "sojourn/koa" before this route',
  nest: 'import SojournModule.forRoot({ sessions }) of "sojourn/nest" in the root module',
  next: 'wrap the handler: route(handler) of nextSessions(…) from "sojourn/next"',
  "socket.io": 'mount io.use(sessionMiddleware(sessions)) from "sojourn/socket.io" on this namespace',
  sveltekit: 'export const handle = sessionHandle(sessions) from "sojourn/sveltekit" in src/hooks.server.ts',
  astro: 'export const onRequest = sessionMiddleware(sessions) from "sojourn/astro" in src/middleware.ts',
  h3: 'mount app.use(sessionMiddleware(sessions)) from "sojourn/h3" before this route',
  nuxt: 'add "sojourn/nuxt" to the modules of nuxt.config, and make the sessions in server/sessions.ts',
  node: 'wrap the handler: createServer(withSession(sessions, handler)) from "sojourn/node"',
  fetch: 'wrap the handler: withSession(sessions, handler) from "sojourn/fetch"',
  "react-router":
    'export const middleware = [sessionMiddleware(sessions)] in app/root.tsx, with the one from "sojourn/react-router"',
  "tanstack-start":
    'give createMiddleware().server(sessionMiddleware(sessions)), with the one from "sojourn/tanstack-start", to requestMiddleware of createStart',
} as const;

/** The frameworks that an adapter can tell from the object that it is given. */
export type Framework = keyof typeof MOUNT;

/** A framework that the library has no adapter for, as the messages of its adapter name it. */
export interface OtherFramework {
  /** The import of the adapter: `"sojourn-oak"`. */
  readonly entry: string;
  /** Says how to mount the sessions: `"mount app.use(sessionMiddleware(sessions)) before this route"`. */
  readonly mount: string;
}

/** The sentence that says how to mount the sessions. */
export function mountOf(framework: Framework | OtherFramework): string {
  return typeof framework === "string" ? MOUNT[framework] : framework.mount;
}

/** A mark that version 2 has on the class of its events, and version 1 on each. */
const H3_EVENT = "__is_event__";

/** Recognises the framework of a request, of a context, or of an application. */
export function frameworkOf(given: unknown): Framework {
  if (typeof given !== "object" || given === null) return typeof given === "function" ? "express" : "fetch";
  const shape = given as Record<string, unknown>;
  if ("isSubRequest" in shape) return "sveltekit";
  if ("isPrerendered" in shape) return "astro";
  // An event of h3 has an "app", and a response by the name "res".
  if ((shape["constructor"] as Record<string, unknown> | undefined)?.[H3_EVENT] === true) return "h3";
  if (shape[H3_EVENT] === true) return "nuxt";
  if (typeof shape["addHook"] === "function" || "routeOptions" in shape) return "fastify";
  if (isObject(shape["req"]) && isObject((shape["req"] as Record<string, unknown>)["raw"])) return "hono";
  if (typeof shape["onerror"] === "function" && isObject(shape["req"])) return "koa";
  if (isObject(shape["nsp"]) && isObject(shape["handshake"])) return "socket.io";
  if (isObject(shape["request"]) && isObject(shape["context"])) {
    // Of these two, only React Router's context has methods.
    return typeof (shape["context"] as Record<string, unknown>)["set"] === "function"
      ? "react-router"
      : "tanstack-start";
  }
  if ("app" in shape && "res" in shape) return "express";
  if (isEngineRequest(shape)) return "socket.io";
  if ("nextUrl" in shape) return "next";
  return "httpVersion" in shape ? "node" : "fetch";
}

/**
 * Whether a framework has called with an object of its own, as it does with a function that the application has not called:
 * `app.use(requireUser)`.
 */
export function isCalledByFramework(given: unknown): boolean {
  return typeof given === "object" && (given instanceof Request || frameworkOf(given) !== "fetch");
}

/** Whether a request belongs to the engine of socket.io, which has middleware of its own, for each request of a connection. */
export function isEngineRequest(request: object): boolean {
  const { _query: query } = request as { _query?: unknown };
  return typeof query === "object" && query !== null && "transport" in query && !("app" in request);
}

/**
 * Checks that an adapter is called by its own framework. An adapter for a framework that is not among {@link Framework} calls
 * it where it has found another one.
 *
 * @param adapter - the adapter's name, for the message.
 * @param given - what it was called with.
 * @throws TypeError that names the import for the framework that called it.
 */
export function expectFramework(expected: Framework | OtherFramework, adapter: string, given: unknown): void {
  const found = frameworkOf(given);
  if (found === expected) return;
  const entry = typeof expected === "string" ? `sojourn/${expected}` : expected.entry;
  throw new TypeError(`${adapter} of "${entry}" was called by another framework: ${MOUNT[found]}`);
}

function isObject(value: unknown): boolean {
  return typeof value === "object" && value !== null;
}
