import { expect, it } from "vitest";
import type { SessionStore } from "../../src/store.ts";
import { type MakeStore, storeContract } from "../../src/testing/index.ts";
import { type AsyncEngine, asyncEngine, asyncStore, type Hop, tick, timer, turn } from "./async-store.ts";

/** The names of the cases that a store fails, of those asked for. */
async function failures(makeStore: MakeStore, names: readonly string[]) {
  const failed: string[] = [];
  for (const { name, run } of storeContract(makeStore)) {
    if (!names.includes(name)) continue;
    await run().catch(() => failed.push(name));
  }
  return failed;
}

type HonestStore = ReturnType<typeof asyncStore>;

/** Given once for each store, and then for each of its two instances, whose honest self it gets: what is wrong there. */
export type Mistake = (engine: AsyncEngine) => (store: HonestStore) => Partial<SessionStore>;

/** Two instances of a store that is honest but for one mistake. */
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

/** However far the engine is away. */
const HOPS: Readonly<Record<string, Hop>> = {
  "a promise": tick,
  "a turn of the event loop": turn,
  "a millisecond": timer,
};

/** The store that makes the mistake fails the cases of these names, at the least. */
export function itFindsAStoreThat(mistake: string, names: readonly [string, ...string[]], wrong: Mistake): void {
  // Side by side: a case waits for seconds for what a store should tell.
  it.concurrent.each(Object.entries(HOPS))(`finds a store that ${mistake}, %s away from its engine`, async (_, hop) => {
    expect(await failures(mistaken(wrong, hop), names)).toEqual(expect.arrayContaining([...names]));
  });
}
