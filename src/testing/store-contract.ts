import assert from "node:assert/strict";
import { setTimeout as delay } from "node:timers/promises";
import { checkOptions, namesOf } from "../checks.ts";
import type { SessionStore } from "../store.ts";
import { capabilityCases } from "./contract-capabilities.ts";
import { expiryCases } from "./contract-expiry.ts";
import { lifecycleCases } from "./contract-lifecycle.ts";
import { raceCases } from "./contract-races.ts";
import { valueCases } from "./contract-values.ts";

/** Makes a store for one case: empty, or at least with nothing under the ids that the case makes up. */
export type MakeStore = (given: { readonly clock: () => number }) => SessionStore | Promise<SessionStore>;

/** What a store may offer beyond the five operations. */
export type Capability = "readLatest" | "idsOfUser" | "all" | "deleteExpired" | "subscribe" | "close";

/** What the suite can control, and what it expects. */
export interface StoreContractOptions {
  /**
   * Whose clock the store goes by. `"injected"` (the default): the one that `makeStore` is given; no case then waits,
   * and expiry is held to the millisecond. `"own"`: the engine's; time then passes by `advance`.
   */
  clock?: "injected" | "own" | undefined;
  /** Lets so many milliseconds pass for an engine with its own clock. Default: really waits. */
  advance?: ((milliseconds: number) => Promise<void>) | undefined;
  /** The engine's time in epoch milliseconds. Default `Date.now`. */
  now?: (() => number) | undefined;
  /**
   * How long sessions last, in milliseconds, in cases that wait for an engine's own clock. Default 500: longer than
   * the engine takes for three operations, or cases fail for no fault of the store's.
   */
  lifetime?: number | undefined;
  /** What the store must have, and nothing beside. Default: whatever it has is held to its rules. */
  capabilities?: readonly Capability[] | undefined;
}

/** One rule of the contract. `run` rejects with an error that says which was broken. */
export interface ContractCase {
  readonly name: string;
  run(): Promise<void>;
}

/** What a case works with. */
export interface Bench {
  readonly store: SessionStore;
  now(): number;
  advance(milliseconds: number): Promise<void>;
  /** A lifetime that the case can wait for. */
  readonly lifetime: number;
  /** Whether time stands still between calls of `advance`. */
  readonly exact: boolean;
}

/** A rule: what it says, and how to tell. */
export type Rule = readonly [name: string, check: (bench: Bench) => Promise<void>];

const DAY = 86_400_000;
const CAPABILITIES = namesOf<Capability>({
  readLatest: true,
  idsOfUser: true,
  all: true,
  deleteExpired: true,
  subscribe: true,
  close: true,
});

/**
 * The contract that every store is held to, one case for each rule, for any test runner:
 *
 * ```ts
 * for (const { name, run } of storeContract(({ clock }) => myStore({ clock }))) it(name, run);
 * ```
 *
 * Each case makes a store of its own and closes it.
 *
 * @throws {TypeError} at an option it doesn't know.
 */
export function storeContract(makeStore: MakeStore, options: StoreContractOptions = {}): ContractCase[] {
  checkOptions("storeContract", options, { clock: true, advance: true, now: true, lifetime: true, capabilities: true });
  const { clock = "injected", capabilities } = options;
  if (clock === "injected" && (options.advance !== undefined || options.now !== undefined)) {
    throw new TypeError('advance and now are for engines with their own clock: add clock: "own", or leave them out');
  }

  const rules: Rule[] = [
    ...(capabilities ? [declarationCase(capabilities)] : []),
    ...lifecycleCases,
    ...valueCases,
    ...expiryCases(clock === "injected"),
    ...raceCases,
    ...capabilityCases(capabilities ?? CAPABILITIES),
  ];
  return rules.map(([name, check]) => ({
    name,
    async run() {
      // Far from both ends of what a number or a date can hold, and no round figure.
      let time = 20_000 * DAY + 123;
      const now = clock === "injected" ? () => time : (options.now ?? Date.now);
      const store = await makeStore({ clock: now });
      const advance =
        clock === "injected"
          ? async (milliseconds: number) => void (time += milliseconds)
          : (options.advance ?? ((milliseconds: number) => delay(milliseconds)));
      try {
        const lifetime = clock === "injected" ? 1000 : (options.lifetime ?? 500);
        await check({ store, now, advance, lifetime, exact: clock === "injected" });
      } finally {
        await store.close?.();
      }
    },
  }));
}

function declarationCase(declared: readonly Capability[]): Rule {
  return [
    "has the capabilities it declares, and no others",
    async ({ store }) => {
      for (const name of CAPABILITIES) {
        const present = typeof store[name] === "function";
        assert.equal(present, declared.includes(name), `${name} is ${present ? "there but not declared" : "missing"}`);
      }
    },
  ];
}
