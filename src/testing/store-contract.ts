import assert from "node:assert/strict";
import { setTimeout as delay } from "node:timers/promises";
import type { SessionStore } from "../store.ts";
import { capabilityCases } from "./contract-capabilities.ts";
import { expiryCases } from "./contract-expiry.ts";
import { instanceCases } from "./contract-instances.ts";
import { lifecycleCases } from "./contract-lifecycle.ts";
import { meetingCases } from "./contract-meetings.ts";
import { raceCases } from "./contract-races.ts";
import { valueCases } from "./contract-values.ts";

/**
 * A store, as two instances that share what they keep: what two processes would have. One alone only where the store
 * can't be shared, see `oneInstance`.
 */
export type StoreInstances = SessionStore | readonly [store: SessionStore, second: SessionStore];

/** Makes the store for one case: empty, or at least with nothing under the ids that the case makes up. */
export type MakeStore = (given: { readonly clock: () => number }) => StoreInstances | Promise<StoreInstances>;

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
  /**
   * `true`: nothing that this store keeps can be shared, so that `makeStore` gives one instance alone. A store that is
   * `inProcess` has said so already. Default `false`: a case fails without the second instance.
   */
  oneInstance?: boolean | undefined;
}

/** One rule of the contract. `run` rejects with an error that says which was broken. */
export interface ContractCase {
  readonly name: string;
  run(): Promise<void>;
}

/** What a case works with. */
export interface Bench {
  readonly store: SessionStore;
  /** Another instance over the same sessions. The same one, where the store has but one. */
  readonly second: SessionStore;
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
const CAPABILITIES: readonly Capability[] = ["readLatest", "idsOfUser", "all", "deleteExpired", "subscribe", "close"];
const OPTIONS = new Set(["clock", "advance", "now", "lifetime", "capabilities", "oneInstance"]);

/**
 * The contract that every store is held to, one case for each rule, for any test runner:
 *
 * ```ts
 * const cases = storeContract(({ clock }) => {
 *   const database = emptyDatabase();
 *   return [myStore(database, { clock }), myStore(database, { clock })];
 * });
 * for (const { name, run } of cases) it(name, run);
 * ```
 *
 * Each case makes a store of its own, as two instances that share what they keep, and closes both.
 *
 * Calls that meet are begun at many distances from each other, and each case says what it holds the store to. A gap
 * between two steps of an engine that is much shorter than the call itself may stay unseen.
 *
 * @throws {TypeError} at an option it doesn't know.
 */
export function storeContract(makeStore: MakeStore, options: StoreContractOptions = {}): ContractCase[] {
  for (const name of Object.keys(options)) {
    if (!OPTIONS.has(name)) throw new TypeError(`storeContract has no option "${name}": remove it`);
  }
  const { clock = "injected", capabilities, oneInstance = false } = options;
  if (clock === "injected" && (options.advance !== undefined || options.now !== undefined)) {
    throw new TypeError('advance and now are for engines with their own clock: add clock: "own", or leave them out');
  }

  const rules: Rule[] = [
    ...(capabilities ? [declarationCase(capabilities)] : []),
    instancesCase(oneInstance),
    ...lifecycleCases,
    ...valueCases,
    ...expiryCases(clock === "injected"),
    ...instanceCases,
    ...raceCases,
    ...meetingCases,
    ...capabilityCases(capabilities ?? CAPABILITIES, clock === "injected"),
  ];
  return rules.map(([name, check]) => ({
    name,
    async run() {
      // Far from both ends of what a number or a date can hold, and no round figure.
      let time = 20_000 * DAY + 123;
      const now = clock === "injected" ? () => time : (options.now ?? Date.now);
      const made = await makeStore({ clock: now });
      const [store, second = store] = "read" in made ? [made] : made;
      const advance =
        clock === "injected"
          ? async (milliseconds: number) => void (time += milliseconds)
          : (options.advance ?? ((milliseconds: number) => delay(milliseconds)));
      try {
        const lifetime = clock === "injected" ? 1000 : (options.lifetime ?? 500);
        await check({ store, second, now, advance, lifetime, exact: clock === "injected" });
      } finally {
        await Promise.all([store, second].map(async (instance) => instance.close?.()));
      }
    },
  }));
}

function instancesCase(oneInstance: boolean): Rule {
  return [
    "comes as two instances that share what they keep, unless it can't be shared",
    async ({ store, second }) => {
      if (oneInstance) assert.ok(second === store, "there is a second instance: remove oneInstance");
      else if (!store.inProcess) {
        assert.ok(second !== store, "return [store, second] from makeStore, or declare oneInstance: true");
      }
    },
  ];
}

function declarationCase(declared: readonly Capability[]): Rule {
  return [
    "has the capabilities it declares, and no others",
    async ({ store, second }) => {
      for (const instance of [store, second]) {
        for (const name of CAPABILITIES) {
          const present = typeof instance[name] === "function";
          assert.equal(present, declared.includes(name), `${name} is ${present ? "there, not declared" : "missing"}`);
        }
      }
    },
  ];
}
