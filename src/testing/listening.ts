import assert from "node:assert/strict";
import { setTimeout as delay } from "node:timers/promises";
import type { SessionStore } from "../store.ts";
import { sessionFor, settled, uniqueId } from "./contract-helpers.ts";
import type { Bench } from "./store-contract.ts";

/** Somebody who listens, and what they were told since. */
export interface Ear {
  readonly ended: string[];
  readonly changed: string[];
  end(): void;
}

/** Listens, from the moment on that the store says it hears. */
export async function listen(store: SessionStore, also: { ended?(id: string): void; changed?(id: string): void } = {}) {
  const ended: string[] = [];
  const changed: string[] = [];
  let hears = false;
  const end = store.subscribe!({
    ended(id) {
      ended.push(id);
      also.ended?.(id);
    },
    changed(id) {
      changed.push(id);
      also.changed?.(id);
    },
    listening: (is) => (hears = is),
  });
  await settled(() => hears);
  assert.ok(hears, "subscribe must tell listening(true) once it hears");
  const ear: Ear = { ended, changed, end };
  return ear;
}

/**
 * Waits until all of them have heard of so many sessions, and of one that each instance has ended last, and a little
 * longer: by then has come whatever should not have been told. What parts of an engine tell may come in any order.
 */
export async function overheard(bench: Bench, count: number, ...ears: readonly Ear[]): Promise<void> {
  for (const store of new Set([bench.store, bench.second])) {
    const last = uniqueId();
    await store.create(last, sessionFor(bench));
    await store.delete(last);
    await settled(() => ears.every(({ ended }) => ended.includes(last) && ended.length > count));
    for (const { ended } of ears) {
      const told = ended.indexOf(last);
      assert.ok(told >= 0, "subscribe must tell of a session that was deleted, through whichever instance");
      ended.splice(told, 1);
    }
  }
  await delay(20);
}
