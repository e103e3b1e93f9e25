import type { Handle } from "@sveltejs/kit/hooks";
import { sequence } from "@sveltejs/kit/hooks";
import { sessionHandle } from "sojourn/sveltekit";
import type { AdapterParts, AdapterRoute } from "sojourn/testing";

/** The application of one case. */
export interface CaseApplication {
  readonly handle: Handle;
  readonly routes: readonly AdapterRoute[];
}

declare global {
  /** run.mjs puts the applications here, each by the port of its server. */
  var sojournSuite: {
    create?: (parts: AdapterParts) => CaseApplication;
    readonly applications: Map<string, CaseApplication>;
  };
}

// The build runs this module too.
globalThis.sojournSuite ??= { applications: new Map() };
globalThis.sojournSuite.create = ({ mounts, routes }) => ({
  handle: sequence(
    ...mounts.map(({ path, sessions, options }): Handle => {
      const handle: Handle = sessionHandle(sessions, options);
      return (input) => (input.event.url.pathname.startsWith(path) ? handle(input) : input.resolve(input.event));
    }),
  ),
  routes,
});

export function applicationOf(request: Request): CaseApplication | undefined {
  return globalThis.sojournSuite.applications.get(new URL(request.url).port);
}
