import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { check, type Rule } from "./check.ts";
import { CONTAINERS, isSessionRequest, type Operation, type Seen, type SessionRequest } from "./history.ts";
import { closingReads, closingRequests, intents, perform } from "./random-history.ts";

const SEED = 12;
const RUNS = 250;

/** Makes a history wrong in one place, or returns `undefined` where it has no such place. */
type Plant = (history: readonly Operation[]) => Operation[] | undefined;

/** Changes what a closing read shows. `change` returns `undefined` where it does not fit. */
function inClosingRead(change: (seen: Seen, own: SessionRequest[]) => Seen | undefined): Plant {
  return (history) => {
    for (const read of closingReads(history)) {
      const own = history.filter(isSessionRequest).filter(({ session }) => session === read.session);
      const seen = change(read.seen, own);
      if (seen) return history.map((one) => (one === read ? { ...read, seen } : one));
    }
    return undefined;
  };
}

const acknowledged = (own: SessionRequest[], kind: string) =>
  own.filter((one) => one.kind === kind && one.outcome === "ok");

const plants: [name: string, rules: Rule[], plant: Plant][] = [
  [
    "an acknowledged element is missing from the last read",
    ["lost update"],
    inClosingRead((seen, own) => {
      const [add] = acknowledged(own, "add");
      if (!add?.container) return undefined;
      return { ...seen, [add.container]: seen[add.container].filter((element) => element !== add.element) };
    }),
  ],
  [
    "an element that was seen is missing from the last read",
    ["lost update", "lost after it was seen"],
    inClosingRead((seen, own) => {
      const first = own.find((one) => one.seen && one.seen !== seen && one.seen.set.length > 0)?.seen?.set[0];
      return first === undefined ? undefined : { ...seen, set: seen.set.filter((element) => element !== first) };
    }),
  ],
  [
    "an element is there twice",
    ["twice"],
    inClosingRead((seen) => (seen.list[0] === undefined ? undefined : { ...seen, list: [...seen.list, seen.list[0]] })),
  ],
  [
    "an element comes from nowhere",
    ["never asked for"],
    inClosingRead((seen) => ({ ...seen, map: [...seen.map, "?"] })),
  ],
  [
    "the element of another session is there",
    ["another session's"],
    (history) => {
      const [first, second] = closingReads(history);
      const element = CONTAINERS.flatMap((container) => second?.seen[container] ?? [])[0];
      if (!first || element === undefined) return undefined;
      const seen = { ...first.seen, set: [...first.seen.set, element] };
      return history.map((one) => (one === first ? { ...first, seen } : one));
    },
  ],
  [
    "a refused change is there",
    ["refused, and there"],
    inClosingRead((seen, own) => {
      const refused = own.find(({ kind, outcome }) => kind === "add" && outcome === "failed");
      if (!refused?.container) return undefined;
      return { ...seen, [refused.container]: [...seen[refused.container], refused.element!] };
    }),
  ],
  [
    "an increment is lost",
    ["counter too low"],
    inClosingRead((seen, own) => {
      const least = acknowledged(own, "count").length;
      return least > 0 ? { ...seen, count: least - 1 } : undefined;
    }),
  ],
  [
    "an increment is counted twice",
    ["counter too high"],
    inClosingRead((seen, own) => {
      const most = own.filter(({ kind, outcome }) => kind === "count" && outcome !== "failed").length;
      return { ...seen, count: most + 1 };
    }),
  ],
  [
    "an item stands before one that was acknowledged earlier",
    ["out of order"],
    inClosingRead((seen, own) => {
      const [first, second] = seen.list.slice(-2).map((element) => own.find((one) => one.element === element)!);
      if (!first || !second || first.outcome !== "ok" || first.ended >= second.began) return undefined;
      return { ...seen, list: [...seen.list.slice(0, -2), second.element!, first.element!] };
    }),
  ],
  [
    "a session is served after its end",
    ["alive after its end"],
    (history) => {
      const end = history.find((one) => (one.kind === "sign-out" || one.kind === "revoke") && one.outcome === "ok");
      if (end?.kind !== "sign-out" && end?.kind !== "revoke") return undefined;
      const user = history.find((one) => isSessionRequest(one) && one.session === end.session) as SessionRequest;
      const late: SessionRequest = {
        ...user,
        kind: "read",
        generation: 9,
        cookie: 9,
        began: 9e6,
        ended: 9e6,
        id: undefined,
      };
      return [...history, late];
    },
  ],
  [
    "a token from before another sign-in is served",
    ["old token alive"],
    (history) => {
      const signIn = history.find((one) => one.kind === "sign-in" && one.generation > 0 && one.outcome === "ok");
      if (signIn?.kind !== "sign-in") return undefined;
      return [...history, { ...signIn, kind: "count", began: 9e6, ended: 9e6, id: undefined }];
    },
  ],
  [
    "a session that was gone is back",
    ["back after it was gone"],
    (history) => {
      // Only a closing read: an end that fails may be taken back while it is under way.
      const gone = closingRequests(history).find(({ signedOut }) => signedOut);
      if (!gone) return undefined;
      const user = history.find((one) => isSessionRequest(one) && one.session === gone.session) as SessionRequest;
      return [
        ...history,
        { ...gone, kind: "count", began: 9e6, ended: 9e6, outcome: "ok", user: user.user, signedOut: undefined },
      ];
    },
  ],
  [
    "a client is signed out without a cause",
    ["signed out without a cause"],
    (history) => {
      const mayBeEnded = (read: SessionRequest) =>
        history.some(
          (one) =>
            one.outcome !== "failed" &&
            (one.kind === "revoke-all" ||
              ((one.kind === "revoke" || one.kind === "sign-out" || (one.kind === "sign-in" && one.generation > 0)) &&
                one.session === read.session)),
        );
      const read = closingReads(history).find((one) => !mayBeEnded(one));
      if (!read) return undefined;
      const { seen: _, user: __, ...rest } = read;
      return history.map((one) => (one === read ? { ...rest, outcome: "failed", signedOut: true } : one));
    },
  ],
  [
    "an ended session is listed",
    ["listed after its end"],
    (history) => {
      const end = history.find((one) => (one.kind === "sign-out" || one.kind === "revoke") && one.outcome === "ok");
      if (end?.kind !== "sign-out" && end?.kind !== "revoke") return undefined;
      const { user, id } = history.find(
        (one) => isSessionRequest(one) && one.session === end.session,
      ) as SessionRequest;
      return [...history, { kind: "list", user: user!, ids: [id!], began: 9e6, ended: 9e6, outcome: "ok" }];
    },
  ],
];

describe("the checker of histories, over generated ones", () => {
  it("accepts what servers without a mistake have answered", () => {
    fc.assert(
      fc.property(intents, (plan) => {
        expect(check(perform(plan))).toEqual([]);
      }),
      { seed: SEED, numRuns: RUNS },
    );
  });

  it.each(plants)("reports it when %s", (_name, rules, plant) => {
    let planted = 0;
    fc.assert(
      fc.property(intents, (plan) => {
        const history = plant(perform(plan));
        if (!history) return;
        planted += 1;
        const found = check(history).map(({ rule }) => rule);
        expect(rules.some((rule) => found.includes(rule))).toBe(true);
      }),
      { seed: SEED, numRuns: RUNS },
    );
    expect(planted).toBeGreaterThan(RUNS / 50);
  });
});
