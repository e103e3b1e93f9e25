import assert from "node:assert/strict";
import { setTimeout as delay } from "node:timers/promises";
import { sessionFor, settled, uniqueId } from "./contract-helpers.ts";
import { listen, untilNotified } from "./listening.ts";
import type { Rule } from "./store-contract.ts";

/** The rules of several listeners: one that subscribes, leaves or throws does not affect the others. */
export const listenerCases: readonly Rule[] = [
  [
    "notifies every listener, and goes on for the others when one has left",
    async (bench) => {
      const { store, second } = bench;
      const ids = [uniqueId(), uniqueId(), uniqueId()] as const;
      for (const id of ids) await store.create(id, sessionFor(bench));
      const [one, other] = [await listen(store), await listen(store)];
      await store.delete(ids[0]);
      await untilNotified(bench, 1, one, other);
      one.end();
      await store.delete(ids[1]);
      await second.delete(ids[2]);
      await untilNotified(bench, 3, other);
      other.end();
      assert.deepEqual(one.ended, [ids[0]], "who has left must hear nothing more");
      assert.deepEqual(other.ended.toSorted(), ids.toSorted(), "who has stayed must hear of all");
    },
  ],
  [
    "goes on for the others when somebody's listening is ended twice",
    async (bench) => {
      const { store, second } = bench;
      const id = uniqueId();
      await store.create(id, sessionFor(bench));
      const [one, other] = [await listen(store), await listen(store)];
      for (let calls = 0; calls < 3; calls += 1) one.end();
      await second.delete(id);
      await untilNotified(bench, 1, other);
      other.end();
      other.end();
      assert.deepEqual(other.ended, [id], "ending twice must not end somebody else's listening");
      const again = await listen(store);
      other.end();
      await untilNotified(bench, 0, again);
      again.end();
    },
  ],
  [
    "notifies the others, where a listener ends its own subscription while it is notified",
    async (bench) => {
      const { store } = bench;
      const [first, next] = [uniqueId(), uniqueId()];
      for (const id of [first, next]) await store.create(id, sessionFor(bench));
      const before = await listen(store);
      let leave = (): void => {};
      const leaving = await listen(store, { ended: () => leave() });
      leave = leaving.end;
      const after = await listen(store);
      await store.delete(first);
      await untilNotified(bench, 1, before, after);
      await store.delete(next);
      await untilNotified(bench, 2, before, after);
      before.end();
      after.end();
      for (const { ended } of [before, after]) {
        assert.deepEqual(ended, [first, next], "a listener that leaves must not keep the others from hearing");
      }
      assert.deepEqual(leaving.ended, [first], "who has left must hear nothing more");
    },
  ],
  [
    "goes on, and notifies the others, where a listener throws",
    async (bench) => {
      const { store } = bench;
      const [first, second] = [uniqueId(), uniqueId()];
      const endFaulty = store.subscribe!({
        ended() {
          throw new Error("a listener's own mistake");
        },
      });
      const ear = await listen(store);
      // A store may warn of this. The warning is expected here, so it is not shown.
      const { emitWarning } = process;
      process.emitWarning = () => {};
      try {
        for (const id of [first, second]) {
          await store.create(id, sessionFor(bench));
          assert.equal(await store.delete(id), true, "delete must not fail for a listener's mistake");
        }
        await untilNotified(bench, 2, ear);
      } finally {
        process.emitWarning = emitWarning;
        endFaulty();
        ear.end();
      }
      assert.deepEqual(
        ear.ended.toSorted(),
        [first, second].toSorted(),
        "a listener that throws must not keep the others from hearing",
      );
    },
  ],
  [
    "gives each call of subscribe a subscription of its own, also where two have the same listener",
    async (bench) => {
      const { store } = bench;
      const [first, second, third] = [uniqueId(), uniqueId(), uniqueId()];
      for (const id of [first, second, third]) await store.create(id, sessionFor(bench));
      const ended: string[] = [];
      const ready: boolean[] = [];
      const listener = {
        ended: (id: string) => ended.push(id),
        listening: (is: boolean) => is && ready.push(is),
      };
      const [end, endOther] = [store.subscribe!(listener), store.subscribe!(listener)];
      await settled(() => ready.length >= 2);
      await store.delete(first);
      await settled(() => ended.length >= 2);
      assert.deepEqual(ended, [first, first], "a listener that is subscribed twice must hear of each end twice");
      end();
      end();
      await store.delete(second);
      await settled(() => ended.length >= 3);
      assert.deepEqual(ended.slice(2), [second], "ending a subscription, also twice, must leave the other one alone");
      endOther();
      await store.delete(third);
      await delay(20);
      assert.deepEqual(ended.slice(3), [], "there must be no notification after both subscriptions have ended");
    },
  ],
];
