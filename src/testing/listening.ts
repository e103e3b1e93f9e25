import assert from "node:assert/strict";
import { setTimeout as delay } from "node:timers/promises";
import type { SessionStore } from "../store.ts";
import { sessionFor, settled, uniqueId } from "./contract-helpers.ts";
import type { Bench } from "./store-contract.ts";

/** A subscriber and the notifications that it has received. */
export interface Ear {
  readonly ended: string[];
  readonly changed: string[];
  end(): void;
}

/** Subscribes, and waits until the store reports `listening(true)`. */
export async function listen(store: SessionStore, also: { ended?(id: string): void; changed?(id: string): void } = {}) {
  const ended: string[] = [];
  const changed: string[] = [];
  let isListening = false;
  const end = store.subscribe!({
    ended(id) {
      ended.push(id);
      also.ended?.(id);
    },
    changed(id) {
      changed.push(id);
      also.changed?.(id);
    },
    listening: (is) => (isListening = is),
  });
  await settled(() => isListening);
  assert.ok(isListening, "subscribe must call listening(true) once it is ready");
  const ear: Ear = { ended, changed, end };
  return ear;
}

/**
 * Waits until each subscriber has this number of notifications, and one more for a session that each instance ends last.
 * Then it waits a little longer for those that should not come. The parts of an engine may notify in any order.
 */
export async function untilNotified(bench: Bench, count: number, ...ears: readonly Ear[]): Promise<void> {
  for (const store of new Set([bench.store, bench.second])) {
    const last = uniqueId();
    await store.create(last, sessionFor(bench));
    await store.delete(last);
    await settled(() => ears.every(({ ended }) => ended.includes(last) && ended.length > count));
    for (const { ended } of ears) {
      const index = ended.indexOf(last);
      assert.ok(index >= 0, "subscribe must tell of a session that was deleted, through whichever instance");
      ended.splice(index, 1);
    }
  }
  await delay(20);
}
