import type { DataRules } from "./changes/codec.ts";
import type { Cleanup } from "./cleanup.ts";
import type { Diagnose } from "./diagnostics.ts";
import type { Emitter } from "./events.ts";
import type { RotationPolicy } from "./lifecycle/rotation.ts";
import type { Timeouts } from "./lifecycle/timeouts.ts";
import type { FormerSessions } from "./former.ts";
import type { Keyring } from "./record/keyring.ts";
import type { Client } from "./record/record.ts";
import type { SessionCookie } from "./request/cookie.ts";
import type { ClientSide } from "./request/client-side.ts";
import type { ClientRequest } from "./request/client.ts";
import type { SessionSignals } from "./signals.ts";
import type { SessionStore } from "./store.ts";
import type { SessionTracing } from "./tracing.ts";
import type { UserLimit } from "./users.ts";
import type { KeyedQueue } from "./keyed-queue.ts";

/** The settings and services that all requests of one `createSessions` share. */
export interface Context {
  readonly store: SessionStore;
  /** Where the sessions are kept by their clients. */
  readonly clientSide: ClientSide | undefined;
  readonly keyring: Keyring;
  readonly cookie: SessionCookie;
  readonly timeouts: Timeouts;
  readonly rotation: RotationPolicy | undefined;
  readonly maxPerUser: UserLimit | undefined;
  /** Gives the application's description of a request's client, where it wants one. */
  readonly client: ((request: ClientRequest) => Client | undefined) | undefined;
  /** The sources of former sessions. */
  readonly former: readonly FormerSessions[] | undefined;
  readonly limits: DataRules;
  readonly storeTimeout: number;
  readonly trustProxy: boolean;
  /** Looks for reasons why a cookie is missing. `undefined` in production. */
  readonly diagnose: Diagnose | undefined;
  readonly tracing: SessionTracing | undefined;
  readonly emitter: Emitter;
  readonly commits: KeyedQueue;
  readonly live: SessionSignals;
  readonly collector: Cleanup;
  /** Sign-ins under way: from the id that the session will have to the one it has until then. */
  readonly moves: Map<string, string>;
  /** Whether this response is one of those after which changes in place are looked for. */
  readonly lateChecks: () => boolean;
  readonly now: () => number;
}
