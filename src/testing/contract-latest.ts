import assert from "node:assert/strict";
import { sameSession, sessionFor, uniqueId } from "./contract-helpers.ts";
import type { Rule } from "./store-contract.ts";

/** The rules of reading past a near cache. */
export const latestCases: readonly Rule[] = [
  [
    "reads the latest of a session, and nothing of one that is missing, ended or expired",
    async (bench) => {
      const { store } = bench;
      const [kept, ended, expired] = [uniqueId(), uniqueId(), uniqueId()];
      for (const id of [kept, ended]) await store.create(id, sessionFor(bench));
      await store.create(expired, sessionFor(bench, { expiresIn: bench.lifetime }));
      for (const id of [kept, ended, expired]) await store.read(id);
      const newer = sessionFor(bench, { text: "newer", version: 2, userId: "ada" });
      await store.update(kept, newer, 1);
      await store.delete(ended);
      await bench.advance(bench.lifetime);
      sameSession(await store.readLatest!(kept), newer, "readLatest must give what update has stored");
      for (const id of [ended, expired, uniqueId()]) {
        assert.equal(await store.readLatest!(id), undefined, "readLatest must give nothing where nothing is live");
      }
    },
  ],
  [
    "reads the latest of what another instance has written, whatever this one has read before",
    async (bench) => {
      const { store, second } = bench;
      const [updated, touched, ended] = [uniqueId(), uniqueId(), uniqueId()];
      const first = sessionFor(bench);
      for (const id of [updated, touched, ended]) {
        await second.create(id, first);
        await store.read(id);
        await store.readLatest!(id);
      }
      const newer = sessionFor(bench, { text: "newer", version: 2 });
      const expiresAt = first.expiresAt + 60_000;
      await second.update(updated, newer, 1);
      sameSession(await store.readLatest!(updated), newer, "readLatest must give what another instance has stored");
      await second.touch(touched, expiresAt);
      sameSession(await store.readLatest!(touched), { ...first, expiresAt }, "readLatest must give the expiry of now");
      await second.delete(ended);
      assert.equal(await store.readLatest!(ended), undefined, "readLatest must not give what another has ended");
    },
  ],
];
