import assert from "node:assert/strict";
import { everyId, inBatches, sessionFor, times, uniqueId } from "./contract-helpers.ts";
import type { Rule } from "./store-contract.ts";

/** More sessions than one page of the engines that we know: their pages have 100, 128, 250, 500 or 1000 entries. */
const MANY = 1025;

/** The rules of listing all sessions. They are exact to the millisecond only if the suite's clock is used. */
export const listingCases = (exact: boolean): readonly Rule[] => [...cases, ...(exact ? exactCases : [])];

const cases: readonly Rule[] = [
  [
    "lists all live sessions",
    async (bench) => {
      const { store } = bench;
      const ids = [uniqueId(), uniqueId(), uniqueId()];
      const [deleted, expired] = [uniqueId(), uniqueId()];
      for (const id of [...ids, deleted]) await store.create(id, sessionFor(bench));
      await store.create(expired, sessionFor(bench, { expiresIn: bench.lifetime }));
      await store.update(ids[0] ?? "", sessionFor(bench, { version: 2 }), 1);
      await store.delete(deleted);
      await bench.advance(bench.lifetime + 1);
      const found = await everyId(store);
      assert.equal(new Set(found).size, found.length, "all must list each session once");
      for (const id of ids) assert.ok(found.includes(id), "all must list every live session");
      for (const id of [deleted, expired]) assert.ok(!found.includes(id), "all must leave out ended sessions");
    },
  ],
  [
    `lists each of ${MANY} sessions that stay, while others come and go`,
    async (bench) => {
      const { store, second } = bench;
      const kept = times(MANY, () => uniqueId());
      const gone = times(MANY >> 4, () => uniqueId());
      const come: string[] = [];
      const mixed = kept.flatMap((id, n) => (n % 16 === 0 && gone[n >> 4] ? [id, gone[n >> 4]!] : [id]));
      await inBatches(mixed, (id) => store.create(id, sessionFor(bench)));
      const leaving = new Set(gone);
      const found: string[] = [];
      for await (const id of store.all!()) {
        found.push(id);
        // The end of a session that was listed already moves later ones to a smaller offset.
        if (!leaving.delete(id)) continue;
        await second.delete(id);
        const comes = uniqueId();
        await second.create(comes, sessionFor(bench));
        come.push(comes);
      }
      const listed = new Set(found);
      const missing = kept.filter((id) => !listed.has(id));
      assert.equal(missing.length, 0, "all must list every session that lives from its beginning to its end");
      assert.equal(leaving.size, 0, "all must list what lives until it is listed");
      const left = new Set(await everyId(store));
      assert.ok(!gone.some((id) => left.has(id)), "all must leave out what was deleted before it began");
      assert.ok(
        [...kept, ...come].every((id) => left.has(id)),
        "all must list what was created before it began",
      );
      await inBatches([...kept, ...come], (id) => store.delete(id));
    },
  ],
  [
    "lists a session for as long as it lives, whatever has extended or shortened it",
    async (bench) => {
      const { store, lifetime } = bench;
      const [touched, updated, shortened] = [uniqueId(), uniqueId(), uniqueId()];
      for (const id of [touched, updated]) await store.create(id, sessionFor(bench, { expiresIn: lifetime }));
      await store.create(shortened, sessionFor(bench));
      await store.touch(touched, bench.now() + 3_600_000);
      await store.update(updated, sessionFor(bench, { version: 2 }), 1);
      await store.update(shortened, sessionFor(bench, { version: 2, expiresIn: lifetime }), 1);
      await bench.advance(lifetime + 1);
      const found = new Set(await everyId(store));
      assert.ok(found.has(touched) && found.has(updated), "all must list what a touch or an update has extended");
      assert.ok(!found.has(shortened), "all must leave out what an update has shortened");
    },
  ],
];

const exactCases: readonly Rule[] = [
  [
    "lists a session until the last millisecond, and not from then on",
    async (bench) => {
      const { store } = bench;
      const [created, touched] = [uniqueId(), uniqueId()];
      await store.create(created, sessionFor(bench, { expiresIn: 1000 }));
      await store.create(touched, sessionFor(bench, { expiresIn: 500 }));
      await store.touch(touched, bench.now() + 1000);
      await bench.advance(999);
      const before = await everyId(store);
      for (const id of [created, touched]) {
        assert.ok(before.includes(id), "all must list a session one millisecond before expiresAt");
      }
      await bench.advance(1);
      const after = await everyId(store);
      for (const id of [created, touched]) {
        assert.ok(!after.includes(id), "all must leave a session out from expiresAt on");
      }
    },
  ],
];
