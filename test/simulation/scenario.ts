export const USERS = ["alice", "bob"] as const;

/** Milliseconds of the sessions' options. */
export const IDLE = 20_000;
export const ABSOLUTE = 70_000;
export const TOUCH_INTERVAL = 2000;
export const EVERY = 6000;
export const GRACE = 2000;
export const STORE_TIMEOUT = 100;
export const REMEMBERED = { idle: 45_000, absolute: 100_000 };

export interface Step {
  readonly name: string;
  /** Which user, which key: whatever the step has to choose. */
  readonly choice: number;
  /** Milliseconds before it. */
  readonly pause: number;
}

export interface RequestTurn {
  readonly kind: "request";
  readonly gap: number;
  readonly browser: number;
  readonly process: number;
  /** `both`: an older one as well, before or after that of the jar. */
  readonly cookie: "jar" | "old" | "both" | "forged" | "planted";
  readonly isPassive: boolean;
  readonly steps: readonly Step[];
  /** What the handler does while the body of its response is sent. */
  readonly bodySteps?: readonly Step[];
  readonly fates: readonly number[];
  /** Milliseconds that the response takes; `undefined` if it is lost. */
  readonly travel: number | undefined;
  /** Milliseconds until the client goes away, if it does. What it has not got by then it does not get. */
  readonly leaves?: number | undefined;
}

export interface ConnectionTurn {
  readonly kind: "connection";
  readonly gap: number;
  readonly browser: number;
  readonly process: number;
  readonly steps: readonly Step[];
  readonly fates: readonly number[];
}

export interface AdminTurn {
  readonly kind: "revoke" | "revoke all" | "revoke all but";
  readonly gap: number;
  readonly process: number;
  readonly browser: number;
  readonly fates: readonly number[];
}

export interface TroubleTurn {
  readonly kind: "crash" | "clock" | "deaf";
  readonly gap: number;
  readonly process: number;
  /** Which calls survive a crash; where the clock is set to; for how long nothing is heard. */
  readonly choice: number;
}

export type Turn = RequestTurn | ConnectionTurn | AdminTurn | TroubleTurn;

export interface Scenario {
  readonly processes: number;
  /** By how many milliseconds clocks may differ. */
  readonly skew: number;
  readonly rotates: boolean;
  readonly isFaulty: boolean;
  readonly isSealed: boolean;
  readonly notifies: boolean;
  readonly notice: number;
  /** Answers of one moment arrive together. */
  readonly together: boolean;
  readonly limit: number | undefined;
  /** A sign-in beyond the limit is refused. Otherwise it ends the oldest. */
  readonly refuses: boolean;
  /** For each browser: whether it has a session at the beginning, and whose. */
  readonly browsers: readonly ("visitor" | "anonymous" | "alice" | "bob")[];
  readonly turns: readonly Turn[];
}

/** A schedule's conditions, in words. What happens in it tells the log. */
export function describeScenario(scenario: Scenario): string {
  const { processes, skew, rotates, isFaulty, isSealed, notifies, notice, together, limit, refuses, browsers } =
    scenario;
  const words = [
    `${processes} ${processes === 1 ? "process" : "processes"}`,
    `clocks that differ by up to ${skew} ms`,
    rotates ? "periodic rotation" : "no rotation",
    isFaulty ? "a store that fails" : "a store that is slow at most",
    isSealed ? "encrypted records" : "records in the clear",
    notifies ? `notifications after ${notice} ms` : "no notifications",
    together ? "answers of one moment arrive together" : "answers arrive one by one",
    limit === undefined
      ? "no limit of sessions"
      : `at most ${limit} sessions for each user, of which a further one ${refuses ? "is refused" : "ends the oldest"}`,
    `browsers: ${browsers.join(", ")}`,
  ];
  return words.join("; ");
}
