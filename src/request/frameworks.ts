/** The frameworks that an adapter can tell from the object that it is given. */
export type Framework = "express" | "fastify" | "hono" | "koa" | "nest" | "next" | "node" | "fetch";

/** Sentences that say how to mount the sessions in a framework. */
export const MOUNT: Readonly<Record<Framework, string>> = {
  express: 'mount app.use(sessionMiddleware(sessions)) from "sojourn/express" before this route',
  fastify: 'register app.register(sessionPlugin(sessions)) from "sojourn/fastify" on this instance or one around it',
  hono: 'mount app.use(sessionMiddleware(sessions)) from "sojourn/hono" before this route',
  koa: 'mount app.use(sessionMiddleware(sessions)) from "sojourn/koa" before this route',
  nest: 'import SojournModule.forRoot({ sessions }) of "sojourn/nest" in the root module',
  next: 'wrap the handler: route(fn) of nextSessions(…) from "sojourn/next"',
  node: 'wrap the handler: createServer(withSession(sessions, handler)) from "sojourn/node"',
  fetch: 'wrap the handler: withSession(sessions, handler) from "sojourn/fetch"',
};

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

/** Recognises the framework of a request, of a context, or of an application. */
export function frameworkOf(given: unknown): Framework {
  if (typeof given !== "object" || given === null) return typeof given === "function" ? "express" : "fetch";
  const shape = given as Record<string, unknown>;
  if (typeof shape["addHook"] === "function" || "routeOptions" in shape) return "fastify";
  if (isObject(shape["req"]) && isObject((shape["req"] as Record<string, unknown>)["raw"])) return "hono";
  if (typeof shape["onerror"] === "function" && isObject(shape["req"])) return "koa";
  if ("app" in shape && "res" in shape) return "express";
  if ("nextUrl" in shape) return "next";
  return "httpVersion" in shape ? "node" : "fetch";
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
