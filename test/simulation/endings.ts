import { array, constant, nat, oneof, record, tuple, type Arbitrary } from "fast-check";
import type { Scenario, Turn } from "./scenario.ts";
import {
  admin,
  among,
  anyRequest,
  badFates,
  connection,
  delays,
  failingDeletion,
  fates,
  handler,
  lateCall,
  lateError,
  moments,
  oneError,
  ORDINARY,
  pause,
  process,
  quick,
  trouble,
} from "./turns.ts";

/** Sign-ins, sign-outs and revocations of one session at the same moment. */
export const crowd: Arbitrary<Scenario> = record({
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
                "save, and do not merge",
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

/** Two or three that want to end the same session at the same moment, while a call of the store fails. */
export const collision: Arbitrary<Scenario> = record({
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

const instant = among(0, 0, 0, 1, 2, 4);

/** Mostly the session's own user, who keeps all data. */
const choice = among(0, 0, 0, 0, 6, 2, 4, 1, 9);

const rival = {
  ...anyRequest,
  gap: instant,
  browser: constant(0),
  cookie: constant("jar" as const),
  isPassive: constant(false),
};

const bare = (name: string): Arbitrary<Turn> =>
  record({ ...rival, steps: handler(choice, [name]), fates: delays, travel: among<number | undefined>(0, 40) });

const revocation = (kind: "revoke" | "revoke all"): Arbitrary<Turn> =>
  record({ kind: constant(kind), gap: instant, process, browser: constant(0), fates: delays });

/** One that changes a session's token, or ends it. */
const ending: Arbitrary<Turn> = oneof(
  { arbitrary: bare("sign in"), weight: 3 },
  { arbitrary: bare("sign out"), weight: 3 },
  { arbitrary: bare("rotate"), weight: 2 },
  { arbitrary: revocation("revoke"), weight: 2 },
  { arbitrary: revocation("revoke all"), weight: 2 },
);

/** The same, with more to do before or after. */
const longer: Arbitrary<Turn> = record({
  ...rival,
  steps: oneof(
    handler(choice, ["rotate"], ["save"], ["set a key", among(0, 4, 11, 60)]),
    handler(choice, ["sign in"], ["save"], ["set a key", among(0, 4, 11, 60)]),
    handler(choice, ["set a key"], ["save"], ["sign in"]),
    // The response has nothing to store, and asks the store once more before it carries the token.
    handler(choice, ["rotate"], ["save"], ["read", among(4, 11, 60)]),
    handler(choice, ["sign in"], ["save"], ["read", among(4, 11, 60)]),
    handler(choice, ["sign in"], ["save"], ["rotate"], ["save"]),
  ),
  fates: delays,
  travel: among<number | undefined>(0, 0, 40, undefined),
});

const other: Arbitrary<Turn> = oneof(
  { arbitrary: ending, weight: 5 },
  { arbitrary: bare("sign in"), weight: 1 },
  { arbitrary: bare("set a key"), weight: 1 },
);

const withOneError = (turn: Arbitrary<Turn>): Arbitrary<Turn> =>
  tuple(turn, oneError).map(([one, errors]) => ({ ...one, fates: errors }) as Turn);

const AT_ONCE = {
  ...ORDINARY,
  processes: among(1, 1, 2),
  skew: constant(0),
  rotates: among(false, false, false, true),
  isFaulty: constant(true),
  limit: constant(undefined),
  browsers: tuple(among("alice" as const, "alice" as const, "anonymous" as const), constant("visitor" as const)),
};

/** One that changes a session's token or ends it meets one error, and another wants to do so at that moment. */
export const duel: Arbitrary<Scenario> = record({
  ...AT_ONCE,
  turns: tuple(withOneError(oneof({ arbitrary: ending, weight: 5 }, { arbitrary: longer, weight: 2 })), other),
});

/** A session that is extended while another request fails, and is used again shortly before it expires. */
export const extension: Arbitrary<Scenario> = record({
  ...AT_ONCE,
  turns: tuple(
    withOneError(oneof(bare("sign in"), bare("sign out"), bare("rotate"))),
    among(2100, 15_000, 17_500),
    oneof(bare("read"), bare("read"), bare("set a key"), bare("sign in")),
    among(15_000, 17_500, 19_000),
    bare("read"),
  ).map(([failing, before, extending, after, last]) => [
    { ...failing, gap: before },
    extending,
    { ...last, gap: after },
  ]),
});

/** One whose write reports a failure late: others come between its effect and what takes it back. */
export const lateFailure: Arbitrary<Scenario> = record({
  ...AT_ONCE,
  turns: tuple(
    tuple(oneof(bare("sign in"), bare("sign in"), bare("sign out"), bare("rotate")), lateError).map(
      ([one, errors]) => ({ ...one, fates: errors }) as Turn,
    ),
    among(1, 2, 4, 9, 20, 30),
    tuple(ending, quick).map(([one, delaysOfOne]) => ({ ...one, fates: delaysOfOne }) as Turn),
  ).map(([failing, gap, rivalOfIt]) => [failing, { ...rivalOfIt, gap }]),
});

const withFates = (turn: Arbitrary<Turn>, ofIt: Arbitrary<readonly number[]>, ...gaps: readonly number[]) =>
  tuple(turn, ofIt, among(...gaps)).map(([one, all, gap]) => ({ ...one, gap, fates: all }) as Turn);

/** A revocation or sign-out fails and puts the session back. */
const takenBack = oneof(revocation("revoke"), revocation("revoke all"), bare("sign out"));

/** A session is put back, and signed in to, while others delete what was to be ended. */
export const failingEnd: Arbitrary<Scenario> = record({
  ...AT_ONCE,
  rotates: constant(false),
  turns: oneof(
    tuple(
      withFates(takenBack, failingDeletion, 0),
      withFates(oneof(revocation("revoke"), revocation("revoke all"), ending), lateCall("call", 1, 1, 2), 2, 4, 4, 9),
      withFates(bare("sign in"), quick, 4, 9, 9, 20),
    ),
    tuple(
      withFates(
        record({
          ...rival,
          steps: handler(choice, ["sign out", among(2, 4, 6)]),
          fates: delays,
          travel: among<number | undefined>(0, 40),
        }),
        lateCall("call", 4, 4, 3),
        0,
      ),
      withFates(takenBack, failingDeletion, 0, 1, 2),
      withFates(bare("sign in"), lateCall("answer", 2, 2, 3), 9, 20, 20, 30),
      withFates(revocation("revoke"), quick, 20, 30, 40),
    ),
  ),
});

/** Handlers that go on while the body of their response is sent, also after a `save()` that failed. */
export const streaming: Arbitrary<Scenario> = record({
  ...AT_ONCE,
  isFaulty: among(true, true, false),
  turns: array(
    record({
      ...rival,
      steps: oneof(
        handler(choice, ["set a key"], ["save"]),
        handler(choice, ["sign in"], ["save"]),
        handler(choice, ["rotate"], ["save"]),
        handler(choice, ["sign out"], ["save"]),
        handler(choice, ["read"]),
        handler(choice, ["push to an array"]),
      ),
      bodySteps: oneof(
        handler(choice, ["set a key", pause]),
        handler(choice, ["set a key", pause]),
        handler(choice, ["update a list", pause]),
        handler(choice, ["push to an array", pause], ["read", pause]),
        handler(choice, ["set a key", pause], ["save"], ["add to a Set", pause]),
      ),
      fates: oneof(delays, oneError),
      travel: among<number | undefined>(0, 0, 40, undefined),
    }),
    { minLength: 1, maxLength: 3 },
  ),
});

/** A slow sign-in of another user, while the session is given a new token and a connection watches it. */
export const takeover: Arbitrary<Scenario> = record({
  ...AT_ONCE,
  isFaulty: among(false, false, true),
  browsers: tuple(constant("alice" as const), constant("visitor" as const)),
  turns: tuple(
    record({
      ...rival,
      steps: handler(among(1, 1, 1, 0), ["read"], ["sign in", among(11, 60, 60)]),
      fates: delays,
      travel: among<number | undefined>(0, 40),
    }),
    array(
      oneof(
        tuple(among(0, 1, 4, 11, 30), bare("rotate")).map(([gap, one]) => ({ ...one, gap })),
        tuple(among(1, 4, 11, 30), connection).map(([gap, one]) => ({ ...one, gap, browser: 0 })),
        tuple(among(0, 1, 4, 11, 30), ending).map(([gap, one]) => ({ ...one, gap })),
      ),
      { minLength: 2, maxLength: 4 },
    ),
  ).map(([first, others]) => [first, ...others]),
});

/** Three of them, with one error or none. */
export const trio: Arbitrary<Scenario> = record({
  ...AT_ONCE,
  turns: tuple(oneof(withOneError(oneof(ending, longer)), ending), other, other),
});

/** Connections whose session is ended, or signed in to, by processes that are notified or not. */
export const audience: Arbitrary<Scenario> = record({
  ...ORDINARY,
  isFaulty: among(false, false, true),
  browsers: tuple(among("alice" as const, "anonymous" as const), constant("visitor" as const)),
  turns: tuple(
    // A session that is remembered lives longer than the pause between two checks of it.
    record({ ...rival, steps: handler(among(10, 10, 0), ["sign in"]), fates: constant([]), travel: constant(0) }),
    array(
      tuple(
        among(0, 1, 30, 700, 2100),
        oneof(
          { arbitrary: connection.map((one) => ({ ...one, browser: 0 })), weight: 3 },
          { arbitrary: ending, weight: 3 },
          { arbitrary: trouble, weight: 1 },
        ),
      ).map(([gap, one]) => ({ ...one, gap })),
      { minLength: 2, maxLength: 6, size: "max" },
    ),
  ).map(([first, others]) => [first, ...others]),
});
