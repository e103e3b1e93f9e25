import type { onRequestHookHandler } from "fastify";

/** For frameworks on Fastify, which register the plugin of `sojourn/fastify` themselves. */
export interface RegisterOptions {
  /** Adds the hook that begins a session, where it must run before other hooks. Default: `app.addHook`. */
  readonly addOnRequest?: (hook: onRequestHookHandler) => void;
  /** Whether the error handler logs the errors that it gets. Default: only with Fastify's option `logger`. */
  readonly isLogging?: boolean;
}
