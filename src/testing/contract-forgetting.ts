import assert from "node:assert/strict";
import { setImmediate as nextTurn } from "node:timers/promises";
import type { SessionStore, StoredSession } from "../store.ts";
import { idsOf, inBatches, latest, sameSession, sessionFor, times, uniqueId } from "./contract-helpers.ts";
import { staggered } from "./stagger.ts";
import type { Bench, Rule } from "./store-contract.ts";

/** The rules of removing expired sessions. */
export const forgettingCases: readonly Rule[] = [
  [
    "forgets expired sessions, as many as it is told, and says how many",
    async (bench) => {
      const { store } = bench;
      await forgetExpired(bench);
      const kept = uniqueId();
      await store.create(kept, sessionFor(bench));
      for (let n = 0; n < 6; n += 1) await store.create(uniqueId(), sessionFor(bench, { expiresIn: bench.lifetime }));
      const touched = uniqueId();
      await store.create(touched, sessionFor(bench, { expiresIn: bench.lifetime }));
      await store.touch(touched, bench.now() + 3_600_000);
      const nearItsEnd = uniqueId();
      await store.create(
        nearItsEnd,
        sessionFor(bench, { expiresIn: bench.exact ? bench.lifetime + 2 : 2 * bench.lifetime }),
      );
      await bench.advance(bench.lifetime + 1);
      assert.equal(await store.deleteExpired?.(1), 1, "deleteExpired(1) must forget one of the expired sessions");
      assert.ok((await store.read(nearItsEnd)) !== undefined, "deleteExpired must wait for a session's very end");
      const counts: number[] = [];
      for (let call = 0; call < 4; call += 1) counts.push((await store.deleteExpired?.(2)) ?? Number.NaN);
      assert.deepEqual(counts, [2, 2, 1, 0], "deleteExpired(2) of the other 5 must forget 2, 2, 1 and then none");
      assert.ok((await store.read(kept)) !== undefined, "deleteExpired must leave live sessions alone");
      assert.ok((await store.read(touched)) !== undefined, "deleteExpired must leave extended sessions alone");
    },
  ],
  [
    "leaves alone what an update has extended, and forgets what an update has shortened",
    async (bench) => {
      const { store, lifetime } = bench;
      await forgetExpired(bench);
      const [updated, extended, shortened] = [uniqueId(), uniqueId(), uniqueId()];
      for (const id of [updated, extended]) await store.create(id, sessionFor(bench, { expiresIn: lifetime }));
      await store.create(shortened, sessionFor(bench));
      await store.update(updated, sessionFor(bench, { version: 2 }), 1);
      await store.update(extended, { ...sessionFor(bench, { version: 2 }), extendOnly: true }, 1);
      await store.update(shortened, sessionFor(bench, { version: 2, expiresIn: lifetime }), 1);
      await bench.advance(lifetime + 1);
      // A store that consists of two stores may count a marker too.
      const forgotten = (await store.deleteExpired?.(10)) ?? 0;
      assert.ok(forgotten >= 1, "deleteExpired must go by the expiry that a session has now");
      for (const id of [updated, extended]) {
        assert.ok((await store.read(id)) !== undefined, "deleteExpired must leave extended sessions alone");
      }
    },
  ],
  [
    "leaves alone what is created in the place of expired sessions meanwhile",
    async (bench) => {
      await forgetExpired(bench);
      const ada = uniqueId();
      const again = () => sessionFor(bench, { text: "again", userId: ada });

      async function expired(store: SessionStore, count: number): Promise<string[]> {
        const ids = times(count, () => uniqueId());
        await inBatches(ids, (id) => store.create(id, sessionFor(bench, { userId: ada, expiresIn: bench.lifetime })));
        await bench.advance(bench.lifetime + 1);
        return ids;
      }

      async function check(store: SessionStore, ids: readonly string[], stored: StoredSession): Promise<void> {
        for (const id of ids) {
          sameSession(await latest(store, id), stored, "deleteExpired must not end a session created meanwhile");
        }
        if (store.idsOfUser !== undefined) {
          const found = await idsOf(store, ada);
          const kept = ids.filter((id) => found.includes(id));
          assert.equal(kept.length, ids.length, "deleteExpired must not take a user's session away");
        }
        await inBatches(ids, (id) => store.delete(id));
      }

      // One create after the other, while `deleteExpired` is under way.
      const ids = await expired(bench.store, 40);
      const stored = again();
      const forgotten = bench.second.deleteExpired!(1000);
      const created: Promise<boolean>[] = [];
      for (const id of ids) {
        created.push(bench.store.create(id, stored));
        await nextTurn();
      }
      assert.ok((await Promise.all(created)).every(Boolean), "create over an expired session must say true");
      assert.ok((await forgotten) >= 0, "deleteExpired must say how many it forgot");
      await check(bench.second, ids, stored);

      // At every distance, but only if the case does not wait in real time.
      if (!bench.exact) return;
      await staggered(bench, async (one, other) => {
        const few = await expired(one, 3);
        const next = again();
        return {
          one: async () => (await one.deleteExpired!(few.length)) >= 0,
          other: async () => (await Promise.all(few.map((id) => other.create(id, next)))).every(Boolean),
          async check(_, isCreated) {
            assert.equal(isCreated, true, "create over an expired session must say true while others are forgotten");
            await check(one, few, next);
          },
        };
      });
    },
  ],
];

const DAY = 86_400_000;

/**
 * Removes the sessions that earlier cases or runs have left in the store, so that they do not count. It first advances the
 * clock until all of them have expired, by a random time, so that no other case begins at the same time.
 */
async function forgetExpired({ store, lifetime, advance, exact }: Bench): Promise<void> {
  await advance(exact ? Math.floor((500 + 300 * Math.random()) * DAY) : lifetime + 2);
  for (let calls = 0; calls < 1000; calls += 1) if (!(await store.deleteExpired?.(1000))) return;
}
