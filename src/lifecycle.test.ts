import { describe, expect, it } from "vitest";
import { plan, retry, standing, type Doings, type Plan, type Standing } from "./lifecycle.ts";

const flags = ["signedOut", "signedIn", "newToken", "newOwner", "changed", "outdated", "touchDue"] as const;

/** All that a request can have done, in every combination. */
const everything: Doings[] = Array.from(
  { length: 2 ** flags.length },
  (_, bits) => Object.fromEntries(flags.map((flag, i) => [flag, (bits & (1 << i)) !== 0])) as unknown as Doings,
);
const nothing: Doings = everything[0]!;

describe("standing", () => {
  const timeouts = { idle: 100, absolute: 1000, touchInterval: 10 };
  const session = { createdAt: 5000, signedInAt: undefined };

  it.each<[string, Parameters<typeof standing>, Standing]>([
    ["before both ends", [session, 5100, true, 5099, timeouts], "live"],
    ["at the idle end, to the millisecond", [session, 5100, true, 5100, timeouts], "expired"],
    ["just before the absolute end", [session, 9999, true, 5999, timeouts], "live"],
    ["at the absolute end, whatever the store says", [session, 9999, true, 6000, timeouts], "expired"],
    ["counted from signing in", [{ createdAt: 5000, signedInAt: 5500 }, 9999, true, 6499, timeouts], "live"],
    ["ended after signing in", [{ createdAt: 5000, signedInAt: 5500 }, 9999, true, 6500, timeouts], "expired"],
    ["another secret", [session, 5100, false, 5050, timeouts], "superseded"],
    ["another secret of an ended session", [session, 5100, false, 9000, timeouts], "superseded"],
  ])("%s", (_, args, expected) => {
    expect(standing(...args)).toBe(expected);
  });
});

describe("plan", () => {
  /** The table of the documentation, said once more in other words. */
  function expected(token: Standing, doings: Doings): Plan {
    const { signedOut, signedIn, newToken, newOwner, changed, outdated, touchDue } = doings;
    if (token !== "live") {
      if (signedOut) return "nothing";
      if (signedIn) return "create";
      if (!changed) return "nothing";
      return token === "superseded" ? "drop" : "create";
    }
    if (signedOut) return "delete";
    if (newOwner) return "replace";
    if (newToken || changed || outdated) return "update";
    return touchDue ? "touch" : "nothing";
  }

  it.each<Standing>(["anonymous", "live", "superseded", "expired"])(
    "follows the table for a token that is %s",
    (token) => {
      expect(everything).toHaveLength(128);
      for (const doings of everything)
        expect(plan(token, doings), `with ${JSON.stringify(doings)}`).toBe(expected(token, doings));
    },
  );

  it("costs a visitor nothing who does nothing", () => {
    for (const token of ["anonymous", "superseded", "expired"] as const) expect(plan(token, nothing)).toBe("nothing");
  });

  it("never touches, updates or deletes a session that the token does not open", () => {
    for (const token of ["anonymous", "superseded", "expired"] as const) {
      for (const doings of everything) expect(["nothing", "create", "drop"]).toContain(plan(token, doings));
    }
  });

  it("has signing out win over all else", () => {
    for (const doings of everything.filter(({ signedOut }) => signedOut)) {
      expect(plan("live", doings)).toBe("delete");
      expect(plan("anonymous", doings)).toBe("nothing");
    }
  });
});

describe("retry", () => {
  it.each([
    [{ ended: false, superseded: false }, false, "again"],
    [{ ended: false, superseded: false }, true, "again"],
    [{ ended: false, superseded: true }, false, "refuse"],
    [{ ended: false, superseded: true }, true, "begin anew"],
    [{ ended: true, superseded: false }, false, "drop"],
    [{ ended: true, superseded: false }, true, "begin anew"],
    [{ ended: true, superseded: true }, false, "drop"],
    [{ ended: true, superseded: true }, true, "begin anew"],
  ] as const)("of %o, signing in: %s, is %s", (newest, signsIn, expected) => {
    expect(retry(newest, signsIn)).toBe(expected);
  });
});
