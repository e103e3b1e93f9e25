import { array, constant, nat, oneof, record, tuple, type Arbitrary } from "fast-check";
import {
  audience,
  collision,
  crowd,
  duel,
  extension,
  failingEnd,
  lateFailure,
  streaming,
  takeover,
  trio,
} from "./endings.ts";
import { EVERY, GRACE, type RequestTurn, type Scenario, type Turn } from "./scenario.ts";
import {
  admin,
  among,
  anyRequest,
  connection,
  delays,
  fates,
  handler,
  moments,
  oneError,
  ORDINARY,
  pause,
  trouble,
  turn,
} from "./turns.ts";

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
          cookie: among<RequestTurn["cookie"]>("jar", "jar", "jar", "jar", "both"),
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

const several = {
  ...anyRequest,
  gap: among(0, 0, 1, 5, 30),
  browser: constant(0),
  cookie: constant("jar" as const),
  isPassive: constant(false),
};

/** Any order of what begins and ends a session. */
const sequence: Arbitrary<Turn> = record({
  ...several,
  steps: array(
    record({
      name: among("set a key", "set a key", "save", "save", "save", "sign out", "sign out", "sign in", "rotate"),
      choice: nat(11),
      pause: among(0, 0, 0, 0, 1, 11),
    }),
    { minLength: 3, maxLength: 8, size: "max" },
  ),
  fates: oneof(delays, fates, oneError),
  travel: among<number | undefined>(0, 0, 40, undefined),
});

/** A session that begins after a sign-out is dropped, because another request signs in meanwhile. Another one follows it. */
const prevented: Arbitrary<readonly Turn[]> = tuple(
  record({
    ...several,
    steps: handler(nat(11), ["sign out", among(11, 60)], ["set a key"], ["save"], ["sign in"]),
    fates: delays,
  }),
  record({ ...several, gap: among(0, 0, 1), steps: handler(nat(11), ["sign in"]), fates: delays }),
);

/** Sessions that begin and end in one request, one after the other, while another one may end them as well. */
const lives: Arbitrary<Scenario> = record({
  ...ORDINARY,
  isFaulty: among(false, false, true),
  browsers: tuple(among("visitor" as const, "anonymous" as const, "alice" as const), constant("visitor" as const)),
  turns: oneof(
    { arbitrary: array(sequence, { minLength: 1, maxLength: 4 }), weight: 2 },
    { arbitrary: prevented, weight: 1 },
  ),
});

/** Sign-ins of one user in several browsers, where a session must end before another may begin, or ends for it. */
const limited: Arbitrary<Scenario> = record({
  ...ORDINARY,
  isFaulty: among(false, false, true),
  limit: among(1, 1, 2),
  refuses: among(true, true, false),
  browsers: tuple(
    among("visitor" as const, "alice" as const),
    among("visitor" as const, "alice" as const, "anonymous" as const),
    among("visitor" as const, "bob" as const),
  ),
  turns: array(
    oneof(
      {
        arbitrary: record({
          ...several,
          gap: among(0, 0, 0, 1, 2, 5, 30, 700),
          browser: nat(2),
          steps: array(
            record({
              name: among("sign in", "sign in", "sign in", "sign out", "read", "set a key", "save", "rotate"),
              choice: among(0, 0, 0, 0, 0, 2, 10, 1),
              pause,
            }),
            { minLength: 1, maxLength: 3 },
          ),
          fates: oneof(delays, delays, fates, oneError),
          travel: among<number | undefined>(0, 0, 1, 40, undefined),
        }),
        weight: 8,
      },
      { arbitrary: admin.map((one) => ({ ...one, gap: one.gap % 3 })), weight: 1 },
    ),
    { minLength: 2, maxLength: 8, size: "max" },
  ),
});

/** Clients that go away while their handlers work, and come again. */
const leaving: Arbitrary<Scenario> = record({
  ...ORDINARY,
  isFaulty: among(false, false, false, true),
  rotates: among(false, false, true),
  browsers: tuple(among("alice" as const, "alice" as const, "anonymous" as const), constant("visitor" as const)),
  turns: array(
    record({
      ...several,
      gap: among(0, 1, 5, 30, 150, 700),
      steps: array(
        record({
          name: among("set a key", "update a list", "sign in", "sign in", "sign out", "rotate", "read", "save"),
          choice: among(0, 0, 0, 0, 0, 2, 1, 4),
          pause,
        }),
        { minLength: 1, maxLength: 4 },
      ),
      fates: oneof(delays, delays, oneError),
      travel: among<number | undefined>(0, 0, 1, 40, undefined),
      leaves: among<number | undefined>(undefined, 0, 1, 2, 4, 9, 11, 30, 60),
    }),
    { minLength: 1, maxLength: 5, size: "max" },
  ),
});

/** Whatever may happen in a schedule, as plain data: it can be printed, and made smaller. */
export const scenarios: Arbitrary<Scenario> = oneof(
  { arbitrary: general, weight: 3 },
  { arbitrary: rotation, weight: 2 },
  { arbitrary: crowd, weight: 2 },
  { arbitrary: collision, weight: 2 },
  { arbitrary: duel, weight: 4 },
  { arbitrary: trio, weight: 3 },
  { arbitrary: audience, weight: 2 },
  { arbitrary: extension, weight: 1 },
  { arbitrary: failingEnd, weight: 3 },
  { arbitrary: lateFailure, weight: 2 },
  { arbitrary: streaming, weight: 2 },
  { arbitrary: takeover, weight: 1 },
  { arbitrary: longLife, weight: 4 },
  { arbitrary: lives, weight: 2 },
  { arbitrary: limited, weight: 2 },
  { arbitrary: leaving, weight: 2 },
);
