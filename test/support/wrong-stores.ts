import { expect, it } from "vitest";
import type { SessionStore } from "../../src/store.ts";
import { type MakeStore, storeContract } from "../../src/testing/index.ts";
import { type AsyncEngine, asyncEngine, asyncStore, type Hop, tick, timer, turn } from "./async-store.ts";

/** Returns those of the named cases that a store fails. */
async function failures(makeStore: MakeStore, names: readonly string[]) {
  const failed: string[] = [];
  for (const { name, run } of storeContract(makeStore)) {
    if (!names.includes(name)) continue;
    await run().catch(() => failed.push(name));
  }
  return failed;
}

type HonestStore = ReturnType<typeof asyncStore>;

/** A mistake. It is made once for each store, and then replaces operations of each of its two correct instances. */
export type Mistake = (engine: AsyncEngine) => (store: HonestStore) => Partial<SessionStore>;

/** Two instances of a store that is correct except for one mistake. */
const mistaken =
  (mistake: Mistake, hop: Hop): MakeStore =>
  ({ clock }) => {
    const engine = asyncEngine(clock, hop);
    const wrong = mistake(engine);
    const instance = (): SessionStore => {
      const store = asyncStore(engine);
      return { ...store, ...wrong(store) };
    };
    return [instance(), instance()];
  };

/** The distances between a store and its engine. */
const HOPS: Readonly<Record<string, Hop>> = {
  "a promise": tick,
  "a turn of the event loop": turn,
  "a millisecond": timer,
};

/** Checks that the store with the mistake fails at least the cases of these names. */
export function itFindsAStoreThat(mistake: string, names: readonly [string, ...string[]], wrong: Mistake): void {
  // Concurrently, because a case waits seconds for a notification that never comes.
  it.concurrent.each(Object.entries(HOPS))(`finds a store that ${mistake}, %s away from its engine`, async (_, hop) => {
    expect(await failures(mistaken(wrong, hop), names)).toEqual(expect.arrayContaining([...names]));
  });
}
