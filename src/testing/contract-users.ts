import assert from "node:assert/strict";
import { idsOf, inBatches, sessionFor, times, uniqueId } from "./contract-helpers.ts";
import type { Rule } from "./store-contract.ts";

/** More sessions than one page of the engines that we know: their pages have 100, 128, 250, 500 or 1000 entries. */
const MANY = 1025;

/** The rules of a user's sessions. They are exact to the millisecond only if the suite's clock is used. */
export const userCases = (exact: boolean): readonly Rule[] => [...cases, ...(exact ? exactCases : [])];

const cases: readonly Rule[] = [
  [
    "finds a user's sessions, and nobody else's",
    async (bench) => {
      const { store } = bench;
      const [ada, grace] = [uniqueId(), uniqueId()];
      const ids = [uniqueId(), uniqueId()];
      for (const id of ids) await store.create(id, sessionFor(bench, { userId: ada }));
      const other = uniqueId();
      await store.create(other, sessionFor(bench, { userId: grace }));
      await store.create(uniqueId(), sessionFor(bench));
      assert.deepEqual(await idsOf(store, ada), ids.toSorted(), "idsOfUser must find all of a user's sessions");
      assert.deepEqual(await idsOf(store, grace), [other], "idsOfUser must find nobody else's sessions");
      assert.deepEqual(await idsOf(store, uniqueId()), [], "a user without sessions has none");
      for (const tricky of ["", "*", "__proto__", "%"]) {
        const found = await idsOf(store, tricky);
        assert.ok(!found.includes(other), `idsOfUser(${JSON.stringify(tricky)}) must not match another user`);
      }
    },
  ],
  [
    "follows a session to another user, and to none",
    async (bench) => {
      const { store } = bench;
      const [ada, grace] = [uniqueId(), uniqueId()];
      const id = uniqueId();
      await store.create(id, sessionFor(bench));
      await store.update(id, sessionFor(bench, { version: 2, userId: ada }), 1);
      assert.deepEqual(await idsOf(store, ada), [id], "a session must be found by a user that an update gave it");
      await store.update(id, sessionFor(bench, { version: 3, userId: grace }), 2);
      assert.deepEqual(await idsOf(store, ada), [], "a session must not be found by its former user");
      assert.deepEqual(await idsOf(store, grace), [id], "a session must be found by its new user");
      await store.update(id, sessionFor(bench, { version: 4, userId: ada }), 2);
      assert.deepEqual(await idsOf(store, grace), [id], "a refused update must not change the user");
      await store.touch(id, bench.now() + 7_200_000);
      await store.update(id, sessionFor(bench, { version: 4, userId: grace }), 3);
      assert.deepEqual(await idsOf(store, grace), [id], "a session must stay its user's through touch and update");
      await store.update(id, sessionFor(bench, { version: 5 }), 4);
      assert.deepEqual(await idsOf(store, grace), [], "a session without a user is nobody's");
    },
  ],
  [
    "forgets a user's ended sessions",
    async (bench) => {
      const { store } = bench;
      const ada = uniqueId();
      const [deleted, expired] = [uniqueId(), uniqueId()];
      await store.create(deleted, sessionFor(bench, { userId: ada }));
      await store.create(expired, sessionFor(bench, { userId: ada, expiresIn: bench.lifetime }));
      await store.delete(deleted);
      await bench.advance(bench.lifetime + 1);
      assert.deepEqual(await idsOf(store, ada), [], "idsOfUser must leave out what was deleted or has expired");
      await store.create(deleted, sessionFor(bench));
      assert.deepEqual(await idsOf(store, ada), [], "a session created anew must not inherit a user");
    },
  ],
  [
    "finds a user's session for as long as it lives, whatever has extended or shortened it",
    async (bench) => {
      const { store, lifetime } = bench;
      const ada = uniqueId();
      const [touched, updated, extended, shortened] = [uniqueId(), uniqueId(), uniqueId(), uniqueId()];
      const begin = (expiresIn: number) => sessionFor(bench, { userId: ada, expiresIn });
      const next = (expiresIn: number) => sessionFor(bench, { userId: ada, version: 2, expiresIn });
      for (const id of [touched, updated, extended]) await store.create(id, begin(lifetime));
      await store.create(shortened, begin(3_600_000));
      await store.touch(touched, bench.now() + 3_600_000);
      await store.update(updated, next(3_600_000), 1);
      await store.update(extended, { ...next(3_600_000), extendOnly: true }, 1);
      await store.update(shortened, next(lifetime), 1);
      await bench.advance(lifetime + 1);
      const wanted = [touched, updated, extended].toSorted();
      assert.deepEqual(await idsOf(store, ada), wanted, "idsOfUser must go by the expiry that a session has now");
    },
  ],
  [
    "forgets whose an expired session was once another has taken its place",
    async (bench) => {
      const { store } = bench;
      const [ada, grace] = [uniqueId(), uniqueId()];
      const [owned, anonymous] = [uniqueId(), uniqueId()];
      for (const id of [owned, anonymous]) {
        await store.create(id, sessionFor(bench, { userId: ada, expiresIn: bench.lifetime }));
      }
      await bench.advance(bench.lifetime + 1);
      await store.create(owned, sessionFor(bench, { userId: grace }));
      await store.create(anonymous, sessionFor(bench));
      assert.deepEqual(
        await idsOf(store, ada),
        [],
        "a session must not be found by the user of its expired forerunner",
      );
      assert.deepEqual(await idsOf(store, grace), [owned], "a session must be found by its own user");
    },
  ],
  [
    "does not make a user of whom a refused create has named",
    async (bench) => {
      const { store } = bench;
      const [ada, eve] = [uniqueId(), uniqueId()];
      const id = uniqueId();
      await store.create(id, sessionFor(bench, { userId: ada }));
      await store.create(id, sessionFor(bench, { userId: eve }));
      assert.deepEqual(await idsOf(store, eve), [], "a refused create must not change the user");
      assert.deepEqual(await idsOf(store, ada), [id], "a session must stay its user's when a create is refused");
    },
  ],
  [
    "keeps users apart who differ in one character, or in how it is written",
    async (bench) => {
      const { store } = bench;
      const own = uniqueId();
      const sessions = new Map(ALIKE.map((userId) => [userId.replaceAll("OWN", own), uniqueId()]));
      for (const [userId, id] of sessions) await store.create(id, sessionFor(bench, { userId }));
      for (const [userId, id] of sessions) {
        const others = new Set(sessions.values());
        others.delete(id);
        // The engine may still have sessions of the shorter user ids from an earlier run.
        const found = (await idsOf(store, userId)).filter((one) => one === id || others.has(one));
        assert.deepEqual(found, [id], `the user ${JSON.stringify(userId.slice(0, 40))} must have one session`);
      }
      for (const id of sessions.values()) await store.delete(id);
    },
  ],
  [
    `finds all of ${MANY} sessions of one user, each once`,
    async (bench) => {
      const { store } = bench;
      const ada = uniqueId();
      const ids = times(MANY, () => uniqueId());
      await inBatches(ids, (id) => store.create(id, sessionFor(bench, { userId: ada })));
      assert.deepEqual(await idsOf(store, ada), ids.toSorted(), "idsOfUser must find all, however many there are");
      await inBatches(ids, (id) => store.delete(id));
      assert.deepEqual(await idsOf(store, ada), [], "idsOfUser must find none of those that were deleted");
    },
  ],
];

const exactCases: readonly Rule[] = [
  [
    "finds a user's session until the last millisecond, and not from then on",
    async (bench) => {
      const { store } = bench;
      const ada = uniqueId();
      const [created, touched, updated] = [uniqueId(), uniqueId(), uniqueId()];
      const end = bench.now() + 1000;
      await store.create(created, sessionFor(bench, { userId: ada, expiresIn: 1000 }));
      await store.create(touched, sessionFor(bench, { userId: ada, expiresIn: 500 }));
      await store.touch(touched, end);
      await store.create(updated, sessionFor(bench, { userId: ada, expiresIn: 5000 }));
      await store.update(updated, sessionFor(bench, { userId: ada, version: 2, expiresIn: 1000 }), 1);
      await bench.advance(999);
      const all = [created, touched, updated].toSorted();
      assert.deepEqual(await idsOf(store, ada), all, "idsOfUser must find a session one millisecond before expiresAt");
      await bench.advance(1);
      assert.deepEqual(await idsOf(store, ada), [], "idsOfUser must leave a session out from expiresAt on");
    },
  ],
];

const ALIKE = [
  "",
  "OWN",
  "OWN ",
  " OWN",
  "OWN\0",
  "OWN\n",
  "OWN:",
  "OWN:x",
  "OWN/x",
  "OWN*",
  "OWN%",
  "OWNk",
  "OWNK",
  "OWN\u00e9",
  "OWNe\u0301",
  "OWN\ud83e",
  "OWN\ufffd",
  `OWN${"x".repeat(5000)}`,
  `OWN${"x".repeat(5000)}y`,
];
