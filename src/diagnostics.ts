import type { Context } from "./context.ts";
import type { RequestSession } from "./request/request-session.ts";
import type { AnyRequest } from "./request/request.ts";

/** Looks at a request whose response gets its headers. */
export type Diagnose = (session: RequestSession, request: AnyRequest) => void;

export interface Diagnosis {
  /** Whether a request is to be looked at. Of most, little is enough to see that they show nothing. */
  isNeeded(session: RequestSession, request: AnyRequest): boolean;
  /** Looks at a request whose response has its headers, and warns of what it shows. */
  diagnose: Diagnose;
}

/**
 * The option `diagnostics`. `undefined` where it is off: the reasons and their texts are loaded with the first request that
 * needs them.
 *
 * @throws TypeError for any other value.
 */
export function resolveDiagnostics(isOn: boolean = isDevelopment()): Diagnose | undefined {
  if (typeof isOn !== "boolean") throw new TypeError("diagnostics must be true or false");
  if (!isOn) return undefined;
  let loaded: Diagnosis | undefined;
  let loading: Promise<Diagnosis> | undefined;
  return (session, request) => {
    try {
      if (loaded?.isNeeded(session, request) === false) return;
      loading ??= import("./request/diagnose.ts").then(({ createDiagnosis }) => (loaded = createDiagnosis()));
      loading.then((diagnosis) => diagnosis.diagnose(session, request)).catch(() => {});
    } catch {
      // A diagnosis must never fail the request.
    }
  };
}

function isDevelopment(): boolean {
  try {
    // Written out, so that bundlers replace it.
    return process.env.NODE_ENV !== "production";
  } catch {
    // Deno needs a permission for it, and a program must not need one for its sessions.
    return false;
  }
}

let cookieWarnings: Promise<typeof import("./request/cookie-warnings.ts")> | undefined;

/** In production too: what a cookie that is issued shows. @param isReplaced - the client had one, which was not believed. */
export function diagnoseIssued(context: Context, request: AnyRequest, isReplaced: boolean): void {
  cookieWarnings ??= import("./request/cookie-warnings.ts");
  cookieWarnings
    .then(({ warnOfForeignCookie, warnOfUntrustedProxy }) => {
      if (isReplaced) warnOfForeignCookie(context, request);
      warnOfUntrustedProxy(context, request);
    })
    .catch(() => {});
}
