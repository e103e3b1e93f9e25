import assert from "node:assert/strict";
import { everyId, sameSession, sessionFor, uniqueId } from "./contract-helpers.ts";
import { listen, untilNotified } from "./listening.ts";
import type { Rule } from "./store-contract.ts";

/** The rules of `close`. */
export const closeCases: readonly Rule[] = [
  [
    "rejects every operation once closed",
    async (bench) => {
      const { store } = bench;
      const id = uniqueId();
      await store.create(id, sessionFor(bench, { userId: "ada" }));
      await store.close?.();
      await store.close?.();
      const calls: Record<string, (() => Promise<unknown>) | undefined> = {
        read: () => store.read(id),
        create: () => store.create(uniqueId(), sessionFor(bench)),
        update: () => store.update(id, sessionFor(bench, { version: 2 }), 1),
        touch: () => store.touch(id, bench.now() + 7_200_000),
        delete: () => store.delete(id),
        readLatest: store.readLatest === undefined ? undefined : async () => store.readLatest?.(id),
        idsOfUser: store.idsOfUser === undefined ? undefined : async () => store.idsOfUser?.("ada"),
        all: store.all === undefined ? undefined : () => everyId(store),
        deleteExpired: store.deleteExpired === undefined ? undefined : async () => store.deleteExpired?.(1),
        subscribe: store.subscribe === undefined ? undefined : async () => store.subscribe?.({}),
      };
      for (const [name, call] of Object.entries(calls)) {
        if (call !== undefined) await assert.rejects(call, Error, `${name} of a closed store must fail`);
      }
    },
  ],
  [
    "keeps what it holds when one instance is closed, and goes on with the others",
    async (bench) => {
      const { store, second } = bench;
      // A store in this process's memory may lose its sessions.
      if (second === store) return;
      const id = uniqueId();
      const stored = sessionFor(bench);
      await store.create(id, stored);
      const closed = store.subscribe === undefined ? undefined : await listen(store);
      const open = second.subscribe === undefined ? undefined : await listen(second);
      await store.close?.();
      sameSession(await second.read(id), stored, "what a closed instance has created must be there for the others");
      const next = sessionFor(bench, { version: 2 });
      assert.equal(await second.update(id, next, 1), true, "the other instances must go on");
      assert.equal(await second.delete(id), true, "the other instances must go on");
      if (closed === undefined || open === undefined) return;
      await untilNotified({ ...bench, store: second }, 1, open);
      open.end();
      closed.end();
      assert.deepEqual(open.ended, [id], "who listens through another instance must hear on");
      assert.deepEqual(closed.ended, [], "a closed instance must tell nothing more");
    },
  ],
];
