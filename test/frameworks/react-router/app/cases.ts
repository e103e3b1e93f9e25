import type { Session } from "sojourn";
import type { Middleware } from "sojourn/react-router";
import type { AdapterRoute } from "sojourn/testing";

/** The application of a case. The built server runs in the process of the suite, which puts it here under the server's port. */
export interface Case {
  readonly mounts: readonly { readonly path: string; readonly middleware: Middleware }[];
  readonly routes: readonly AdapterRoute[];
  /** Called by the loaders and actions of the pages, by their names. */
  readonly pages?: Readonly<Record<string, (session: Session, request: Request) => unknown>>;
}

declare global {
  var cases: Map<string, Case>;
}

export function caseOf(request: Request): Case {
  return globalThis.cases.get(new URL(request.url).port)!;
}
