import { describe, expect, it } from "vitest";
import { plan, retry, tokenStatus, type RequestChanges, type Plan, type TokenStatus } from "./decisions.ts";

const flags = ["signedOut", "confirms", "signedIn", "rotated", "changed", "outdated", "rotates", "touchDue"] as const;

/** All that a request can have done, in every combination. */
const everything: RequestChanges[] = Array.from(
  { length: 2 ** flags.length },
  (_, bits) => Object.fromEntries(flags.map((flag, i) => [flag, (bits & (1 << i)) !== 0])) as unknown as RequestChanges,
);
const nothing: RequestChanges = everything[0]!;

describe("standing", () => {
  const timeouts = { idle: 100, absolute: 1000, touchInterval: 10 };
  const session = { createdAt: 5000, signedInAt: undefined };

  it.each<[string, Parameters<typeof tokenStatus>, TokenStatus]>([
    ["before both ends", [session, 5100, "current", 5099, timeouts], "live"],
    ["at the idle end, to the millisecond", [session, 5100, "current", 5100, timeouts], "expired"],
    ["just before the absolute end", [session, 9999, "current", 5999, timeouts], "live"],
    ["at the absolute end, whatever the store says", [session, 9999, "current", 6000, timeouts], "expired"],
    ["counted from signing in", [{ createdAt: 5000, signedInAt: 5500 }, 9999, "current", 6499, timeouts], "live"],
    ["ended after signing in", [{ createdAt: 5000, signedInAt: 5500 }, 9999, "current", 6500, timeouts], "expired"],
    ["another secret", [session, 5100, "superseded", 5050, timeouts], "superseded"],
    ["another secret of an ended session", [session, 5100, "superseded", 9000, timeouts], "superseded"],
    ["a secret that was rotated out", [session, 5100, "replayed", 5050, timeouts], "replayed"],
    ["a secret that was rotated out, of an ended session", [session, 5100, "replayed", 9000, timeouts], "expired"],
    ["the secret before, and the next", [session, 5100, "previous", 5050, timeouts], "live"],
  ])("%s", (_, args, expected) => {
    expect(tokenStatus(...args)).toBe(expected);
  });
});

describe("plan", () => {
  /** The table of the documentation, said once more in other words. */
  function expected(token: TokenStatus, changes: RequestChanges): Plan {
    const { signedOut, confirms, signedIn, rotated, changed, outdated, rotates, touchDue } = changes;
    if (token !== "live") {
      if (confirms) return "confirm";
      if (signedIn) return "create";
      if (!changed) return "nothing";
      return token === "superseded" || token === "replayed" ? "drop" : "create";
    }
    if (signedOut) return "delete";
    if (signedIn) return "move";
    if (rotated || changed || outdated || rotates) return "update";
    return touchDue ? "touch" : "nothing";
  }

  it.each<TokenStatus>(["anonymous", "live", "superseded", "expired", "replayed"])(
    "follows the table for a token that is %s",
    (token) => {
      expect(everything).toHaveLength(256);
      for (const changes of everything)
        expect(plan(token, changes), `with ${JSON.stringify(changes)}`).toBe(expected(token, changes));
    },
  );

  it("costs a visitor nothing who does nothing", () => {
    for (const token of ["anonymous", "superseded", "expired"] as const) expect(plan(token, nothing)).toBe("nothing");
  });

  it("never touches, updates or deletes a session that the token does not open", () => {
    for (const token of ["anonymous", "superseded", "expired"] as const) {
      for (const changes of everything)
        expect(["nothing", "create", "drop", "confirm"]).toContain(plan(token, changes));
    }
  });

  it("lets a sign-out win over every other change of a live session", () => {
    for (const changes of everything.filter(({ signedOut }) => signedOut)) {
      expect(plan("live", changes)).toBe("delete");
    }
  });
});

describe("retry", () => {
  it.each([
    ["alive", false, "again"],
    ["alive", true, "again"],
    ["ended", false, "detach"],
    ["ended", true, "drop"],
    ["superseded", false, "detach"],
    ["superseded", true, "refuse"],
  ])("with the newest record %s, and changes: %s, decides for %s", (newest, changes, expected) => {
    expect(retry({ ended: newest === "ended", superseded: newest === "superseded" }, changes)).toBe(expected);
  });

  it("takes an ended session for ended, whatever its token was", () => {
    expect(retry({ ended: true, superseded: true }, true)).toBe("drop");
  });
});
