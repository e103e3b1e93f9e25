import { describe, expect, it } from "vitest";
import { check, type Promises, type Rule } from "./check.ts";
import type { Container, Operation, Outcome, Seen, SessionRequest } from "./history.ts";

// Operations of session `s` of the user ada, unless others are named: what, from, to.
type Details = Partial<SessionRequest>;

function request(kind: SessionRequest["kind"], began: number, ended: number, details: Details = {}): SessionRequest {
  const user = details.outcome === "failed" || details.outcome === "unknown" ? undefined : "ada";
  return { kind, session: "s", generation: 1, cookie: 1, user, began, ended, outcome: "ok", ...details };
}
const signIn = (began: number, ended: number, details: Details = {}) =>
  request("sign-in", began, ended, { generation: 0, cookie: 0, user: "ada", id: `id-${began}`, ...details });
const add = (container: Container, element: string, began: number, ended: number, details: Details = {}) =>
  request("add", began, ended, { container, element, ...details });
const count = (began: number, ended: number, outcome: Outcome = "ok") => request("count", began, ended, { outcome });
const read = (seen: Partial<Seen>, began: number, ended: number, details: Details = {}) =>
  request("read", began, ended, { seen: { count: 0, list: [], set: [], map: [], ...seen }, ...details });
const signOut = (began: number, ended: number, outcome: Outcome = "ok") =>
  request("sign-out", began, ended, { outcome });
const nobody = (began: number, ended: number, details: Details = {}) =>
  request("read", began, ended, { outcome: "failed", signedOut: true, ...details });
const revoke = (began: number, ended: number, outcome: Outcome = "ok"): Operation => ({
  kind: "revoke",
  session: "s",
  began,
  ended,
  outcome,
});
const revokeAll = (began: number, ended: number, user = "ada"): Operation => ({
  kind: "revoke-all",
  user,
  began,
  ended,
  outcome: "ok",
});
const list = (ids: readonly string[], began: number, ended: number): Operation => ({
  kind: "list",
  user: "ada",
  ids,
  began,
  ended,
  outcome: "ok",
});

const UNKNOWN = { outcome: "unknown" } as const;
const FAILED = { outcome: "failed" } as const;

const wrong: [name: string, rule: Rule, history: Operation[], promises?: Promises][] = [
  ["an acknowledged array item is never there", "lost update", [signIn(0, 1), add("list", "a", 2, 3), read({}, 4, 5)]],
  [
    "one of two parallel additions to a Set is overwritten",
    "lost update",
    [signIn(0, 1), add("set", "a", 2, 5), add("set", "b", 3, 6), read({ set: ["b"] }, 7, 8)],
  ],
  [
    "a Map's key was there and is then gone",
    "lost update",
    [signIn(0, 1), add("map", "a", 2, 3), read({ map: ["a"] }, 4, 5), read({}, 6, 7)],
  ],
  [
    "a redirect shows the state from before the save",
    "stale read",
    [signIn(0, 1), add("list", "a", 2, 3), read({}, 4, 5), read({ list: ["a"] }, 6, 7)],
  ],
  [
    "a near cache answers for longer than its maximum age",
    "stale read",
    [signIn(0, 1), add("list", "a", 2, 3), read({}, 104, 105), read({ list: ["a"] }, 300, 301)],
    { staleness: 100 },
  ],
  [
    "what nobody has acknowledged was seen and is then gone",
    "lost after it was seen",
    [signIn(0, 1), add("list", "a", 2, 3, UNKNOWN), read({ list: ["a"] }, 4, 5), read({}, 6, 7)],
  ],
  ["an element comes from nowhere", "never asked for", [signIn(0, 1), read({ set: ["x"] }, 2, 3)]],
  [
    "an element of another session is there",
    "another session's",
    [
      signIn(0, 1),
      signIn(0.5, 1, { session: "t", user: "bob" }),
      add("list", "x", 2, 3, { session: "t", user: "bob" }),
      read({ list: ["x"] }, 4, 5),
    ],
  ],
  [
    "an element is there before it was asked for",
    "seen before it was asked for",
    [signIn(0, 1), read({ list: ["a"] }, 2, 3), add("list", "a", 4, 5)],
  ],
  [
    "a refused change was made all the same",
    "refused, and there",
    [signIn(0, 1), add("list", "a", 2, 3, FAILED), read({ list: ["a"] }, 4, 5)],
  ],
  [
    "a retry has appended an item again",
    "twice",
    [signIn(0, 1), add("list", "a", 2, 3), read({ list: ["a", "a"] }, 4, 5)],
  ],
  [
    "a retry of an unknown write has appended an item again",
    "twice",
    [signIn(0, 1), add("list", "a", 2, 3, UNKNOWN), read({ list: ["a", "a"] }, 4, 5)],
  ],
  [
    "two reads show the items in different orders",
    "order changed",
    [
      signIn(0, 1),
      add("list", "a", 2, 5),
      add("list", "b", 2, 5),
      read({ list: ["a", "b"] }, 6, 7),
      read({ list: ["b", "a"] }, 8, 9),
    ],
  ],
  [
    "an item stands before one that was acknowledged earlier",
    "out of order",
    [signIn(0, 1), add("list", "a", 2, 3), add("list", "b", 4, 5), read({ list: ["b", "a"] }, 6, 7)],
  ],
  [
    "one of two parallel increments is lost",
    "counter too low",
    [signIn(0, 1), count(2, 4), count(3, 5), read({ count: 1 }, 6, 7)],
  ],
  [
    "an increment was counted twice",
    "counter too high",
    [signIn(0, 1), count(2, 3, "unknown"), read({ count: 2 }, 4, 5)],
  ],
  [
    "a refused increment was counted",
    "counter too high",
    [signIn(0, 1), count(2, 3, "failed"), read({ count: 1 }, 4, 5)],
  ],
  [
    "a counter goes back, although nothing acknowledged is missing",
    "counter went back",
    [signIn(0, 1), count(2, 3, "unknown"), read({ count: 1 }, 4, 5), read({ count: 0 }, 6, 7)],
  ],
  [
    "a request is served after the sign-out was acknowledged",
    "alive after its end",
    [signIn(0, 1), signOut(2, 3), read({}, 4, 5)],
  ],
  [
    "a request in flight writes the session back after its sign-out",
    "alive after its end",
    [signIn(0, 1), add("list", "a", 2, 5), signOut(3, 4), read({ list: ["a"] }, 6, 7)],
  ],
  ["a request is served after a revocation", "alive after its end", [signIn(0, 1), revoke(2, 3), count(4, 5)]],
  [
    "a session of the user survives revokeAll",
    "alive after its end",
    [signIn(0, 1), revokeAll(2, 3), nobody(4, 5, { generation: 0 }), read({}, 4, 5)],
  ],
  [
    "a near cache serves a revoked session for too long",
    "alive after its end",
    [signIn(0, 1), revoke(2, 3), read({}, 104, 105)],
    { staleness: 100 },
  ],
  [
    "a token from before the second sign-in is served",
    "old token alive",
    [signIn(0, 1), signIn(2, 3, { generation: 1, cookie: 1 }), read({}, 4, 5)],
  ],
  [
    "a sign-out of which the answer was lost is undone",
    "back after it was gone",
    [signIn(0, 1), signOut(2, 3, "unknown"), nobody(4, 5), read({}, 6, 7)],
  ],
  [
    "a sign-out that has failed is taken back after its answer",
    "back after it was gone",
    [signIn(0, 1), signOut(2, 5, "unknown"), nobody(6, 7), read({}, 8, 9)],
  ],
  [
    "a sign-out that has failed within its time is taken back later, where a network holds writes back",
    "back after it was gone",
    [signIn(0, 1), signOut(2, 5, "unknown"), nobody(6, 7), read({}, 8, 9)],
    { heldBack: { timeout: 10, longest: 100 } },
  ],
  [
    "a sign-out that ran out of time is taken back later than a network holds writes back",
    "back after it was gone",
    [signIn(0, 1), signOut(2, 12, "unknown"), nobody(120, 121), read({}, 130, 131)],
    { heldBack: { timeout: 10, longest: 100 } },
  ],
  ["a client is signed out, and nobody asked for it", "signed out without a cause", [signIn(0, 1), nobody(2, 3)]],
  [
    "a client is signed out by the sign-out of another session",
    "signed out without a cause",
    [signIn(0, 1), signIn(0.5, 1, { session: "t" }), { ...signOut(2, 3), session: "t" }, nobody(4, 5)],
  ],
  [
    "a client is signed out by a revocation that was refused",
    "signed out without a cause",
    [signIn(0, 1), revoke(2, 3, "failed"), nobody(4, 5)],
  ],
  [
    "a client is signed out as a replay within the grace",
    "signed out without a cause",
    [signIn(0, 1), count(2, 50), { ...count(10, 11), cookie: 2 }, nobody(60, 61, { cookie: 2 })],
    { grace: 100 },
  ],
  [
    "a client gets the session of another user",
    "another user's session",
    [signIn(0, 1), read({}, 2, 3, { user: "bob" })],
  ],
  [
    "a revoked session is listed",
    "listed after its end",
    [signIn(0, 1, { id: "one" }), revoke(2, 3), list(["one"], 4, 5)],
  ],
  [
    "a live session is not listed",
    "missing from the list",
    [signIn(0, 1, { id: "one" }), signIn(0, 1, { session: "t", id: "two" }), list(["two"], 4, 5)],
  ],
  [
    "two sessions get the same id",
    "one id twice",
    [signIn(0, 1, { id: "one" }), signIn(0, 1, { session: "t", id: "one" })],
  ],
];

const right: [name: string, history: Operation[], promises?: Promises][] = [
  ["nothing has happened", []],
  [
    "a read shows what was acknowledged",
    [signIn(0, 1), add("list", "a", 2, 3), count(2, 3), read({ list: ["a"], count: 1 }, 4, 5)],
  ],
  ["a read that overlaps a change does not show it", [signIn(0, 1), add("list", "a", 2, 5), read({}, 3, 6)]],
  ["a read that overlaps a change shows it", [signIn(0, 1), add("list", "a", 2, 5), read({ list: ["a"] }, 3, 4)]],
  [
    "a change of which the answer was lost appears long after",
    [signIn(0, 1), add("set", "a", 2, 3, UNKNOWN), read({}, 4, 5), read({ set: ["a"] }, 60, 61)],
  ],
  [
    "a change of which the answer was lost never appears",
    [signIn(0, 1), add("set", "a", 2, 3, UNKNOWN), count(2, 3, "unknown"), read({}, 4, 5)],
  ],
  [
    "of two overlapping reads the later one to end shows less",
    [signIn(0, 1), add("list", "a", 2, 9), read({ list: ["a"] }, 3, 5), read({}, 4, 6)],
  ],
  [
    "parallel items stand in the order of neither their beginnings nor their ends",
    [
      signIn(0, 1),
      add("list", "a", 2, 8),
      add("list", "b", 3, 7),
      add("list", "c", 4, 9),
      read({ list: ["b", "c", "a"] }, 10, 11),
    ],
  ],
  [
    "an item of an unknown request stands after later ones",
    [signIn(0, 1), add("list", "a", 2, 3, UNKNOWN), add("list", "b", 4, 5), read({ list: ["b", "a"] }, 6, 7)],
  ],
  [
    "a change is refused, and is not there",
    [signIn(0, 1), add("map", "a", 2, 3, FAILED), count(2, 3, "failed"), read({}, 4, 5)],
  ],
  ["a request that overlaps the sign-out is served", [signIn(0, 1), signOut(2, 5), read({}, 4, 6), nobody(7, 8)]],
  ["a request that overlaps the sign-out is not served", [signIn(0, 1), signOut(2, 5), nobody(3, 4)]],
  [
    "an acknowledged change goes with the session that ends meanwhile",
    [signIn(0, 1), add("list", "a", 2, 5), revoke(3, 4), nobody(6, 7)],
  ],
  [
    "a sign-out of which the answer was lost had no effect",
    [signIn(0, 1), signOut(2, 3, "unknown"), read({}, 4, 5), read({}, 600, 601)],
  ],
  [
    "a sign-out of which the answer was lost takes effect late",
    [signIn(0, 1), signOut(2, 3, "unknown"), read({}, 4, 5), nobody(600, 601)],
  ],
  [
    "a sign-out that fails is taken back before its answer",
    [signIn(0, 1), signOut(2, 9, "unknown"), nobody(3, 4), read({}, 6, 7), read({}, 10, 11)],
  ],
  [
    "a sign-in that ran out of time is taken back after its answer, by a write that the network held back",
    [
      signIn(0, 1),
      signIn(2, 12, { generation: 1, cookie: 1, ...UNKNOWN, id: undefined }),
      nobody(13, 20),
      read({}, 30, 31),
    ],
    { heldBack: { timeout: 10, longest: 100 } },
  ],
  [
    "a failover takes back a sign-out of which the answer was lost, and what was dropped with it",
    [signIn(0, 1), signOut(2, 3, "unknown"), add("set", "a", 2, 5), count(3, 4), read({}, 8, 9)],
    { seenStays: false },
  ],
  ["revokeAll leaves a session that begins at the same moment", [signIn(2, 5), revokeAll(3, 4), read({}, 6, 7)]],
  ["revokeAll leaves a session that begins afterwards", [signIn(5, 6), revokeAll(3, 4), read({}, 7, 8)]],
  ["revokeAll of another user ends nothing", [signIn(0, 1), revokeAll(2, 3, "bob"), read({}, 4, 5)]],
  [
    "revokeAll meets a second sign-in and misses it",
    [
      signIn(0, 1),
      signIn(2, 5, { generation: 1, cookie: 1 }),
      revokeAll(3, 4),
      read({}, 6, 7, { generation: 2, cookie: 2 }),
    ],
  ],
  [
    "a token from before the second sign-in is anonymous",
    [
      signIn(0, 1),
      signIn(2, 3, { generation: 1, cookie: 1 }),
      nobody(4, 5),
      read({}, 6, 7, { generation: 2, cookie: 2 }),
    ],
  ],
  [
    "a token is anonymous after a second sign-in of which the answer was lost",
    [signIn(0, 1), signIn(2, 3, { generation: 1, cookie: 1, ...UNKNOWN, id: undefined }), nobody(4, 5)],
  ],
  [
    "a near cache serves an old state within its maximum age",
    [
      signIn(0, 1),
      add("list", "a", 2, 3),
      read({ list: ["a"] }, 4, 5),
      read({}, 50, 51),
      revoke(60, 61),
      read({}, 90, 91),
    ],
    { staleness: 100 },
  ],
  [
    "a failover takes back what was seen and not acknowledged",
    [
      signIn(0, 1),
      add("list", "a", 2, 3, UNKNOWN),
      count(2, 3, "unknown"),
      read({ list: ["a"], count: 1 }, 4, 5),
      add("list", "b", 6, 7),
      read({ list: ["b"] }, 8, 9),
    ],
    { seenStays: false },
  ],
  [
    "a request that was late by more than the grace ends the session as a replay",
    [signIn(0, 1), count(2, 150), { ...count(10, 11), cookie: 2 }, nobody(160, 161, { cookie: 2 })],
    { grace: 100 },
  ],
  ["an ended session is still listed while it ends", [signIn(0, 1, { id: "one" }), revoke(2, 5), list(["one"], 4, 6)]],
  ["a sign-in of which the answer was lost is listed", [signIn(0, 1, UNKNOWN), list(["whose?"], 2, 3)]],
];

describe("the checker of histories", () => {
  it.each(wrong)("reports it when %s (%s)", (_name, rule, history, promises) => {
    expect(check(history, promises).map((breach) => breach.rule)).toEqual([rule]);
  });

  it.each(right)("accepts it when %s", (_name, history, promises) => {
    expect(check(history, promises)).toEqual([]);
  });

  it("reports one lost element once, with the operations that contradict each other", () => {
    const lost = add("list", "a", 2, 3);
    const firstRead = read({}, 4, 5);
    const history = [signIn(0, 1), lost, firstRead, read({}, 6, 7), read({}, 8, 9)];
    expect(check(history)).toEqual([{ rule: "lost update", session: "s", detail: "a", evidence: [lost, firstRead] }]);
  });
});
