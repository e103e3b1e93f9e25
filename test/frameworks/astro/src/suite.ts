import type { MiddlewareHandler } from "astro";
import { sequence } from "astro:middleware";
import { sessionMiddleware } from "sojourn/astro";
import type { AdapterParts, AdapterRoute } from "sojourn/testing";

/** The application of one case. */
export interface CaseApplication {
  readonly onRequest: MiddlewareHandler;
  readonly routes: readonly AdapterRoute[];
}

declare global {
  /** run.mjs puts the applications here, each by the port of its server. */
  var sojournSuite: {
    create?: (parts: AdapterParts) => CaseApplication;
    readonly applications: Map<string, CaseApplication>;
  };
}

// The build runs this module too, if a page is prerendered.
globalThis.sojournSuite ??= { applications: new Map() };
globalThis.sojournSuite.create = ({ mounts, routes }) => ({
  onRequest: sequence(
    ...mounts.map(({ path, sessions, options }): MiddlewareHandler => {
      const middleware = sessionMiddleware(sessions, options);
      return (context, next) => (context.url.pathname.startsWith(path) ? middleware(context, next) : next());
    }),
  ),
  routes,
});

export function applicationOf(request: Request): CaseApplication | undefined {
  return globalThis.sojournSuite.applications.get(new URL(request.url).port);
}
