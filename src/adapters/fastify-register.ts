import type { onRequestHookHandler } from "fastify";

/** For frameworks on Fastify, which register the plugin of `sojourn/fastify` themselves. */
export interface RegisterOptions {
  /** Adds the hook that begins a session, where it must run before other hooks. Default: `app.addHook`. */
  readonly addOnRequest?: (hook: onRequestHookHandler) => void;
  /** Whether the error handler logs the errors that it gets. Default: only with Fastify's option `logger`. */
  readonly isLogging?: boolean;
}

/** Those that Fastify reads itself, and {@link RegisterOptions}. */
const READ: Readonly<Record<keyof RegisterOptions | "prefix" | "logLevel" | "logSerializers", true>> = {
  prefix: true,
  logLevel: true,
  logSerializers: true,
  addOnRequest: true,
  isLogging: true,
};

/** The error for an option that was given to `register`, where it would silently do nothing. */
export function unreadOption(registered: object): TypeError | undefined {
  const name = Object.keys(registered).find((one) => !Object.hasOwn(READ, one));
  if (name === undefined) return undefined;
  return new TypeError(
    `app.register does not pass "${name}" on: write app.register(sessionPlugin(sessions, { ${name} }))`,
  );
}
