import { array, boolean, constant, integer, nat, oneof, record, tuple, type Arbitrary } from "fast-check";
import { WRITES } from "./operations.ts";
import { EVERY, GRACE, type RequestTurn, type Scenario, type Step, type Turn } from "./scenario.ts";
import { DELAYS_ONLY, FATES, FIRST_FAULT, LAST_ERROR, LAST_FAULT } from "./shared-store.ts";

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
  "sign in",
  "sign in",
  "sign out",
  "rotate",
  "revoke others",
] as const;

/** One of some values, the first as the simplest; a value that is there twice comes twice as often. */
const among = <T>(...values: readonly T[]): Arbitrary<T> => nat(values.length - 1).map((at) => values[at]!);

const gap = among(0, 0, 0, 0, 1, 1, 2, 3, 5, 10, 30, 150, 700, 2100, 6100, 9000, 19_000, 20_500);
const pause = among(0, 0, 0, 0, 0, 1, 2, 4, 11, 60);
const browser = nat(1);
const process = nat(2);
const fates = array(nat(FATES - 1), { maxLength: 6 });

/** Faults are frequent: what one takes back meets what another does only if both are under way. */
const badFates = array(
  oneof(
    { withCrossShrink: true },
    { arbitrary: nat(FATES - 1), weight: 2 },
    { arbitrary: integer({ min: FIRST_FAULT, max: LAST_FAULT }), weight: 1 },
  ),
  { maxLength: 6 },
);

const step: Arbitrary<Step> = record({ name: among(...STEPS), choice: nat(11), pause });

const anyRequest = {
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
    "forged",
    "planted",
  ),
  isPassive: among(false, false, false, false, true),
  steps: array(step, { minLength: 1, maxLength: 4 }),
  fates,
  travel: among<number | undefined>(0, 0, 0, 1, 2, 5, 40, 2500, undefined),
};

const request: Arbitrary<Turn> = record(anyRequest);

const connection: Arbitrary<Turn> = record({
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

const admin: Arbitrary<Turn> = record({
  kind: among("revoke" as const, "revoke all" as const, "revoke all but" as const),
  gap,
  process,
  browser,
  fates,
});

const trouble: Arbitrary<Turn> = record({
  kind: among("clock" as const, "crash" as const, "deaf" as const),
  gap,
  process,
  choice: nat(15),
});

const turn: Arbitrary<Turn> = oneof(
  { arbitrary: request, weight: 16 },
  { arbitrary: connection, weight: 1 },
  { arbitrary: admin, weight: 1 },
  { arbitrary: trouble, weight: 1 },
);

const ORDINARY = {
  processes: among(1, 2, 3),
  skew: among(0, 0, 400, 1500),
  rotates: boolean(),
  isFaulty: boolean(),
  isSealed: among(false, false, false, true),
  notifies: boolean(),
  notice: among(0, 1, 30),
  together: boolean(),
  limit: among<number | undefined>(undefined, undefined, undefined, 1, 2),
  browsers: tuple(
    among("visitor" as const, "anonymous" as const, "alice" as const, "alice" as const),
    among("visitor" as const, "anonymous" as const, "alice" as const, "bob" as const),
  ),
};

/** Everything at once. */
const general: Arbitrary<Scenario> = record({
  ...ORDINARY,
  turns: array(turn, { minLength: 1, maxLength: 24, size: "max" }),
});

/** Tabs of one browser while tokens are rotated: requests at the same moment, and pauses as long as rotation and its grace. */
const rotation: Arbitrary<Scenario> = record({
  ...ORDINARY,
  rotates: constant(true),
  isFaulty: among(false, false, false, true),
  limit: constant(undefined),
  browsers: tuple(among("alice" as const, "anonymous" as const), constant("visitor" as const)),
  turns: array(
    oneof(
      {
        arbitrary: record({
          ...anyRequest,
          gap: among(0, 0, 0, 0, 0, 0, 1, 5, 30, GRACE - 1, GRACE + 1, EVERY, EVERY + GRACE),
          browser: constant(0),
          cookie: constant("jar" as const),
          steps: array(
            record({
              name: among("read", "read", "set a key", "update a list", "save"),
              choice: constant(0),
              pause: among(0, 0, 0, 1, 11, 60, 500),
            }),
            { minLength: 1, maxLength: 2 },
          ),
          travel: among<number | undefined>(0, 0, 0, 1, 5, 40, GRACE - 100, undefined),
        }),
        weight: 12,
      },
      { arbitrary: trouble, weight: 1 },
    ),
    { minLength: 4, maxLength: 20, size: "max" },
  ),
});

/** Sign-ins, sign-outs and revocations of one session at the same moment. */
const crowd: Arbitrary<Scenario> = record({
  ...ORDINARY,
  skew: among(0, 0, 0, 400, 1500),
  browsers: tuple(among("anonymous" as const, "alice" as const), constant("visitor" as const)),
  turns: array(
    oneof(
      {
        arbitrary: record({
          ...anyRequest,
          gap: among(0, 0, 0, 1, 2, 5, 30, 2100),
          browser: constant(0),
          steps: array(
            record({
              name: among(
                "read",
                "set a key",
                "push to an array",
                "save",
                "sign in",
                "sign in",
                "sign in",
                "sign out",
                "rotate",
              ),
              choice: nat(11),
              pause,
            }),
            { minLength: 1, maxLength: 3 },
          ),
          fates: oneof(fates, badFates),
        }),
        weight: 6,
      },
      { arbitrary: admin.map((one) => ({ ...one, gap: one.gap % 3, browser: 0 })), weight: 1 },
      { arbitrary: connection.map((one) => ({ ...one, gap: one.gap % 3, browser: 0 })), weight: 1 },
    ),
    { minLength: 2, maxLength: 10, size: "max" },
  ),
});

/** At most one call of the store returns an error: what the library has done until then it can take back. */
const oneError: Arbitrary<readonly number[]> = tuple(
  array(nat(DELAYS_ONLY - 1), { minLength: 6, maxLength: 6 }),
  nat(6),
  integer({ min: FIRST_FAULT, max: LAST_ERROR }),
).map(([delays, at, error]) => [...delays.slice(0, at), error, ...delays.slice(at)]);

/** Turns of one moment, after a pause. */
const moments = (
  pauses: Arbitrary<number>,
  turnsOfOne: Arbitrary<readonly Turn[]>,
  size: { minLength: number; maxLength: number },
): Arbitrary<readonly Turn[]> =>
  array(tuple(pauses, turnsOfOne), { ...size, size: "max" }).map((all) =>
    all.flatMap(([before, turns]) => turns.map((one, at) => (at === 0 ? { ...one, gap: before } : one))),
  );

/** Two or three that want to end the same session at the same moment, while a call of the store fails. */
const collision: Arbitrary<Scenario> = record({
  ...ORDINARY,
  isFaulty: among(true, true, true, false),
  rotates: among(false, false, true),
  browsers: tuple(among("alice" as const, "anonymous" as const), constant("visitor" as const)),
  turns: moments(
    among(0, 1, 30, 700),
    array(
      oneof(
        {
          arbitrary: record({
            ...anyRequest,
            gap: among(0, 0, 0, 1, 2, 5),
            browser: constant(0),
            cookie: constant("jar" as const),
            isPassive: among(false, false, false, true),
            steps: array(
              record({
                name: among(
                  "sign in",
                  "sign in",
                  "sign in",
                  "sign out",
                  "rotate",
                  "save",
                  "set a key",
                  "update a list",
                  "revoke others",
                ),
                choice: nat(11),
                pause: among(0, 0, 0, 1, 4),
              }),
              { minLength: 1, maxLength: 3 },
            ),
            fates: oneof(fates, oneError, oneError, badFates),
            travel: among<number | undefined>(0, 0, 1, 40, undefined),
          }),
          weight: 4,
        },
        { arbitrary: admin.map((one) => ({ ...one, gap: one.gap % 3, browser: 0 })), weight: 1 },
      ),
      { minLength: 2, maxLength: 3 },
    ),
    { minLength: 1, maxLength: 3 },
  ),
});

const delays = array(nat(DELAYS_ONLY - 1), { maxLength: 6 });

/** The steps of a request, each after its pause. */
const handler = (...all: readonly [name: string, pause?: Arbitrary<number>][]): Arbitrary<readonly Step[]> =>
  tuple(...all.map(([name, before = constant(0)]) => record({ name: constant(name), choice: nat(11), pause: before })));

/** One that changes a session's token or ends it meets one error, and at most two others want to end it at that moment. */
const duel: Arbitrary<Scenario> = record({
  ...ORDINARY,
  processes: among(1, 1, 2),
  skew: constant(0),
  rotates: among(false, false, false, true),
  isFaulty: constant(true),
  limit: constant(undefined),
  browsers: tuple(among("alice" as const, "alice" as const, "anonymous" as const), constant("visitor" as const)),
  turns: tuple(
    record({
      ...anyRequest,
      gap: among(0, 0, 1, 2, 4),
      browser: constant(0),
      cookie: constant("jar" as const),
      isPassive: constant(false),
      steps: oneof(
        handler(["sign in"]),
        handler(["sign out"]),
        handler(["rotate"]),
        handler(["rotate"], ["save"], ["set a key", among(0, 4, 11, 60)]),
        handler(["sign in"], ["save"], ["set a key", among(0, 4, 11, 60)]),
        handler(["set a key"], ["save"], ["sign in"]),
      ),
      fates: oneError,
      travel: among<number | undefined>(0, 0, 40, undefined),
    }),
    array(
      oneof(
        {
          arbitrary: record({
            kind: among("revoke" as const, "revoke all" as const),
            gap: among(0, 0, 1, 2),
            process,
            browser: constant(0),
            fates: delays,
          }),
          weight: 2,
        },
        {
          arbitrary: record({
            ...anyRequest,
            gap: among(0, 0, 0, 1, 2),
            browser: constant(0),
            cookie: constant("jar" as const),
            steps: oneof(
              handler(["sign in"]),
              handler(["sign in"]),
              handler(["sign out"]),
              handler(["rotate"]),
              handler(["set a key"]),
            ),
            fates: delays,
            travel: among<number | undefined>(0, 40),
          }),
          weight: 3,
        },
      ),
      { minLength: 1, maxLength: 2 },
    ),
  ).map(([one, others]) => [one, ...others]),
});

/** A browser that comes back now and then, for as long as sessions last, sometimes with two tabs at once. */
const longLife: Arbitrary<Scenario> = record({
  ...ORDINARY,
  isFaulty: among(false, false, false, true),
  browsers: tuple(among("anonymous" as const, "alice" as const), constant("visitor" as const)),
  turns: moments(
    among(0, 1, 30, 1900, 2100, 9000, 15_000, 15_000, 17_500, 17_500, 19_900, 20_100),
    array(
      oneof(
        {
          arbitrary: record({
            ...anyRequest,
            gap: among(0, 0, 0, 1, 5),
            isPassive: among(false, false, true),
            browser: constant(0),
            cookie: constant("jar" as const),
            steps: array(
              record({
                name: among("read", "read", "read", "read", "set a key", "set a key", "update a list", "sign in"),
                choice: nat(11),
                pause,
              }),
              { minLength: 1, maxLength: 2 },
            ),
            travel: among<number | undefined>(0, 0, 0, 0, 5, undefined),
          }),
          weight: 12,
        },
        { arbitrary: connection, weight: 1 },
        { arbitrary: trouble, weight: 1 },
      ),
      { minLength: 1, maxLength: 2 },
    ),
    { minLength: 3, maxLength: 10 },
  ),
});

/** Whatever may happen in a schedule, as plain data: it can be printed, and made smaller. */
export const scenarios: Arbitrary<Scenario> = oneof(
  { arbitrary: general, weight: 3 },
  { arbitrary: rotation, weight: 2 },
  { arbitrary: crowd, weight: 2 },
  { arbitrary: collision, weight: 2 },
  { arbitrary: duel, weight: 2 },
  { arbitrary: longLife, weight: 2 },
);
