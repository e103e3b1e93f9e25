import { array, boolean, constant, integer, nat, oneof, record, tuple, type Arbitrary } from "fast-check";
import { WRITES } from "./operations.ts";
import type { RequestTurn, Step, Turn } from "./scenario.ts";
import { DELAY_COUNT, DELAYS_ONLY, FATES, FIRST_FAULT, LAST_ERROR, LAST_FAULT, QUICK_DELAYS } from "./shared-store.ts";

const WRITING = Object.keys(WRITES);

/** One thing that a handler does with its session. The first is the simplest. */
const STEPS = [
  "read",
  ...WRITING,
  ...WRITING,
  "flash",
  "take flashes",
  "remove a key",
  "save",
  "save, and do not merge",
  "sign in",
  "sign in",
  "sign out",
  "rotate",
  "revoke others",
] as const;

/** One of some values, the first as the simplest; a value that is there twice comes twice as often. */
export const among = <T>(...values: readonly T[]): Arbitrary<T> => nat(values.length - 1).map((at) => values[at]!);

const gap = among(0, 0, 0, 0, 1, 1, 2, 3, 5, 10, 30, 150, 700, 2100, 6100, 9000, 19_000, 20_500);
export const pause = among(0, 0, 0, 0, 0, 1, 2, 4, 11, 60);
const browser = nat(1);
export const process = nat(2);
export const fates = array(nat(FATES - 1), { maxLength: 6 });

/** Faults are frequent: what one takes back meets what another does only if both are under way. */
export const badFates = array(
  oneof(
    { withCrossShrink: true },
    { arbitrary: nat(FATES - 1), weight: 2 },
    { arbitrary: integer({ min: FIRST_FAULT, max: LAST_FAULT }), weight: 1 },
  ),
  { maxLength: 6 },
);

const step: Arbitrary<Step> = record({ name: among(...STEPS), choice: nat(11), pause });

export const anyRequest = {
  kind: constant("request" as const),
  gap,
  browser,
  process,
  cookie: among<RequestTurn["cookie"]>(
    "jar",
    "jar",
    "jar",
    "jar",
    "jar",
    "jar",
    "jar",
    "jar",
    "old",
    "both",
    "forged",
    "planted",
  ),
  isPassive: among(false, false, false, false, true),
  steps: array(step, { minLength: 1, maxLength: 4 }),
  fates,
  travel: among<number | undefined>(0, 0, 0, 1, 2, 5, 40, 2500, undefined),
};

const request: Arbitrary<Turn> = record(anyRequest);

export const connection: Arbitrary<Turn> = record({
  kind: constant("connection" as const),
  gap,
  browser,
  process,
  steps: array(
    record({
      name: among("reload", "reload", "save", ...WRITING, "take flashes", "flash"),
      choice: nat(11),
      pause: among(0, 1, 5, 300, 3000, 9000),
    }),
    { maxLength: 5 },
  ),
  fates,
});

export const admin: Arbitrary<Turn> = record({
  kind: among("revoke" as const, "revoke all" as const, "revoke all but" as const),
  gap,
  process,
  browser,
  fates,
});

export const trouble: Arbitrary<Turn> = record({
  kind: among("clock" as const, "crash" as const, "deaf" as const),
  gap,
  process,
  choice: nat(15),
});

export const turn: Arbitrary<Turn> = oneof(
  { arbitrary: request, weight: 16 },
  { arbitrary: connection, weight: 1 },
  { arbitrary: admin, weight: 1 },
  { arbitrary: trouble, weight: 1 },
);

export const ORDINARY = {
  processes: among(1, 2, 3),
  skew: among(0, 0, 400, 1500),
  rotates: boolean(),
  isFaulty: boolean(),
  isSealed: among(false, false, false, true),
  notifies: boolean(),
  notice: among(0, 1, 30),
  together: boolean(),
  limit: among<number | undefined>(undefined, undefined, undefined, 1, 2),
  refuses: boolean(),
  browsers: tuple(
    among("visitor" as const, "anonymous" as const, "alice" as const, "alice" as const),
    among("visitor" as const, "anonymous" as const, "alice" as const, "bob" as const),
  ),
};

export const delays = array(nat(DELAYS_ONLY - 1), { maxLength: 6 });

/** At most one call of the store returns an error: what the library has done until then it can take back. */
export const oneError: Arbitrary<readonly number[]> = tuple(
  array(nat(DELAYS_ONLY - 1), { minLength: 6, maxLength: 6 }),
  // The calls that change something come after the first.
  among(1, 1, 1, 2, 2, 2, 3, 3, 0, 4, 5, 6),
  integer({ min: FIRST_FAULT, max: LAST_ERROR }),
).map(([before, at, error]) => [...before.slice(0, at), error, ...before.slice(at)]);

/** The longest delay. */
const SLOW = DELAY_COUNT - 1;

/** Calls that take a few milliseconds. */
export const quick = array(
  tuple(nat(QUICK_DELAYS - 1), nat(QUICK_DELAYS - 1)).map(([there, back]) => there + back * DELAY_COUNT),
  { minLength: 6, maxLength: 6 },
);

/** One call returns an error, and late. All others are quick. */
export const lateError: Arbitrary<readonly number[]> = tuple(
  quick,
  among(1, 2, 2, 2, 3),
  integer({ min: FIRST_FAULT / DELAYS_ONLY, max: FIRST_FAULT / DELAYS_ONLY + 1 }),
  nat(QUICK_DELAYS - 1),
).map(([all, at, error, there]) => [
  ...all.slice(0, at),
  error * DELAYS_ONLY + SLOW * DELAY_COUNT + there,
  ...all.slice(at),
]);

/** A deletion fails twice, so that it is given up. All calls are quick. */
export const failingDeletion: Arbitrary<readonly number[]> = tuple(
  quick,
  // The calls before it: a read and an update, and a list of the user's sessions.
  among(2, 2, 3),
  array(integer({ min: 0, max: 1 }), { minLength: 2, maxLength: 2 }),
).map(([all, at, effects]) => {
  const errors = effects.map((effect, n) => FIRST_FAULT + effect * DELAYS_ONLY + all[n]!);
  return [...all.slice(0, at), ...errors, ...all.slice(at)];
});

/** One of some calls arrives late, or its answer does. All others are quick. */
export const lateCall = (what: "call" | "answer", ...calls: readonly number[]): Arbitrary<readonly number[]> =>
  tuple(quick, among(...calls)).map(([all, at]) => [
    ...all.slice(0, at),
    what === "call" ? SLOW : SLOW * DELAY_COUNT,
    ...all.slice(at),
  ]);

/** The steps of a request, each after its pause. */
export const handler = (
  choice: Arbitrary<number>,
  ...all: readonly [name: string, pause?: Arbitrary<number>][]
): Arbitrary<readonly Step[]> =>
  tuple(...all.map(([name, before = constant(0)]) => record({ name: constant(name), choice, pause: before })));

/** Turns of one moment, after a pause. */
export const moments = (
  pauses: Arbitrary<number>,
  turnsOfOne: Arbitrary<readonly Turn[]>,
  size: { minLength: number; maxLength: number },
): Arbitrary<readonly Turn[]> =>
  array(tuple(pauses, turnsOfOne), { ...size, size: "max" }).map((all) =>
    all.flatMap(([before, turns]) => turns.map((one, at) => (at === 0 ? { ...one, gap: before } : one))),
  );
