import type { Session } from "sojourn";
import type { SessionServerFn } from "sojourn/tanstack-start";
import type { AdapterRoute } from "sojourn/testing";

/** The application of a case. The built server runs in the process of the suite, which puts it here under the client's port. */
export interface Case {
  readonly mounts: readonly { readonly path: string; readonly middleware: SessionServerFn<Session["data"]> }[];
  readonly routes: readonly AdapterRoute[];
  /** Called by the server functions, by their names. */
  readonly functions?: Readonly<Record<string, (session: Session, request: Request) => unknown>>;
}

declare global {
  var cases: Map<string, Case>;
}

export function caseOf(request: Request): Case | undefined {
  return globalThis.cases?.get(new URL(request.url).port);
}
