import assert from "node:assert/strict";
import { setTimeout as delay } from "node:timers/promises";
import { checkOptions, namesOf } from "../checks.ts";
import type { SessionStore } from "../store.ts";
import { capabilityCases } from "./contract-capabilities.ts";
import { expiryCases } from "./contract-expiry.ts";
import { lifecycleCases } from "./contract-lifecycle.ts";
import { raceCases } from "./contract-races.ts";
import { valueCases } from "./contract-values.ts";

/** Creates the store for one case. It is empty, or at least has no session under the ids that the case creates. */
export type MakeStore = (given: { readonly clock: () => number }) => SessionStore | Promise<SessionStore>;

/** A capability that a store may have beside the five operations. */
export type Capability = "readLatest" | "idsOfUser" | "all" | "deleteExpired" | "subscribe" | "close";

/** The options of {@link storeContract}. */
export interface StoreContractOptions {
  /**
   * The clock that the store uses. `"injected"` (the default): the clock that `makeStore` gets. Then no case waits, and
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
}

/** One rule of the contract. `run` rejects with an error that names the broken rule. */
export interface ContractCase {
  readonly name: string;
  run(): Promise<void>;
}

/** The tools of a case. */
export interface Bench {
  readonly store: SessionStore;
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
 * Each case creates a store of its own and closes it.
 *
 * @example
 * for (const { name, run } of storeContract(({ clock }) => myStore({ clock }))) it(name, run);
 *
 * @throws {TypeError} for an unknown option.
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
      // Neither near a limit of numbers or dates, nor a round number.
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
