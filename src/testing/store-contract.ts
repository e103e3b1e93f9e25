import assert from "node:assert/strict";
import { setTimeout as delay } from "node:timers/promises";
import { checkOptions, namesOf } from "../checks.ts";
import type { SessionStore } from "../store.ts";
import { capabilityCases } from "./contract-capabilities.ts";
import { expiryCases } from "./contract-expiry.ts";
import { instanceCases } from "./contract-instances.ts";
import { lifecycleCases } from "./contract-lifecycle.ts";
import { meetingCases } from "./contract-meetings.ts";
import { raceCases } from "./contract-races.ts";
import { syncCases } from "./contract-sync.ts";
import { valueCases } from "./contract-values.ts";

/**
 * A store as two instances that share their sessions, as two processes would. One alone only if the store can't be shared,
 * see `oneInstance`.
 */
export type StoreInstances = SessionStore | readonly [store: SessionStore, second: SessionStore];

/** Creates the store for one case. It is empty, or at least has no session under the ids that the case creates. */
export type MakeStore = (given: { readonly clock: () => number }) => StoreInstances | Promise<StoreInstances>;

/** A capability that a store may have beside the five operations. */
export type Capability = "readLatest" | "idsOfUser" | "all" | "deleteExpired" | "subscribe" | "close";

/** The options of {@link storeContract}. */
export interface StoreContractOptions {
  /**
   * The clock that the store uses. Default `"injected"`: the clock that `makeStore` gets. Then no case waits, and
   * expiry is checked to the millisecond. `"own"`: the engine's clock. Then `advance` lets time pass.
   */
  clock?: "injected" | "own" | undefined;
  /** Lets this number of milliseconds pass for an engine with its own clock. Default: waits in real time. */
  advance?: ((milliseconds: number) => Promise<void>) | undefined;
  /** Returns the engine's time in epoch milliseconds. Default `Date.now`. */
  now?: (() => number) | undefined;
  /**
   * Lifetime of sessions, in milliseconds, in cases that wait for an engine's own clock. Default 500. It must be longer
   * than the engine needs for three operations, or cases fail although the store is right.
   */
  lifetime?: number | undefined;
  /**
   * The capabilities that the store must have; it must have no other. Default: each capability that it has is checked.
   */
  capabilities?: readonly Capability[] | undefined;
  /**
   * `true`: the store can't be shared, so `makeStore` returns one instance. A store with `inProcess: true` does not need
   * this option. Default `false`: a case fails if there is no second instance.
   */
  oneInstance?: boolean | undefined;
}

/** One rule of the contract. `run` rejects with an error that names the broken rule. */
export interface ContractCase {
  readonly name: string;
  run(): Promise<void>;
}

/** The tools of a case. */
export interface Bench {
  readonly store: SessionStore;
  /** Another instance over the same sessions. It is `store` itself if there is only one. */
  readonly second: SessionStore;
  now(): number;
  advance(milliseconds: number): Promise<void>;
  /** A lifetime that the case can wait for. */
  readonly lifetime: number;
  /** Whether time passes only by calls of `advance`. */
  readonly exact: boolean;
}

/** A rule: its text, and the function that checks it. */
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
 * Creates the cases that check a store against its contract, one for each rule, for any test runner.
 *
 * Each case creates a store of its own, as two instances that share their sessions, and closes both.
 *
 * Concurrent calls begin at many distances from each other. A gap between two steps of an engine that is much shorter
 * than the call itself may stay undetected.
 *
 * @example
 * const cases = storeContract(({ clock }) => {
 *   const database = emptyDatabase();
 *   return [myStore(database, { clock }), myStore(database, { clock })];
 * });
 * for (const { name, run } of cases) it(name, run);
 *
 * @throws TypeError for an unknown option.
 */
export function storeContract(makeStore: MakeStore, options: StoreContractOptions = {}): ContractCase[] {
  checkOptions("storeContract", options, {
    clock: true,
    advance: true,
    now: true,
    lifetime: true,
    capabilities: true,
    oneInstance: true,
  });
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
    ...syncCases,
    ...capabilityCases(capabilities ?? CAPABILITIES, clock === "injected"),
  ];
  return rules.map(([name, check]) => ({
    name,
    async run() {
      // Neither near a limit of numbers or dates, nor a round number.
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
