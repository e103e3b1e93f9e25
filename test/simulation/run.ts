import { asyncProperty, check } from "fast-check";
import { replaceEnvironment } from "./environment.ts";
import type { Scenario } from "./scenario.ts";
import { scenarios } from "./schedules.ts";
import { simulate } from "./world.ts";

export interface Run {
  readonly seed: number;
  readonly schedules: number;
  /** Where a failure is to be replayed: which schedule of the seed, and its way to the smallest. */
  readonly path?: string | undefined;
  /** Whether a failure is made smaller. Default `true`. */
  readonly shrinks?: boolean;
}

export interface Failure {
  readonly seed: number;
  readonly path: string;
  readonly scenario: Scenario;
  readonly error: string;
  /** The schedule of this number, counted from 1, was the first to fail. */
  readonly at: number;
  readonly shrinks: number;
}

/** The log of one schedule, with every call of the store. */
export async function logOf(scenario: Scenario): Promise<readonly string[]> {
  const environment = replaceEnvironment();
  return (await simulate(scenario, environment, { traces: true }).finally(() => environment.restore())).log;
}

/** Carries out schedules until one of them breaks a promise; then makes that one smaller. */
export async function explore({
  seed,
  schedules,
  path,
  shrinks = true,
}: Run): Promise<{ failure: Failure | undefined; storeCalls: number }> {
  let storeCalls = 0;
  const environment = replaceEnvironment();
  const property = asyncProperty(scenarios, async (scenario) => {
    const outcome = await simulate(scenario, environment);
    storeCalls += outcome.storeCalls;
    if (outcome.breach) throw outcome.breach;
  });
  const { failed, counterexample, counterexamplePath, errorInstance, numRuns, numShrinks } = await check(property, {
    seed,
    numRuns: path === undefined ? schedules : 1,
    endOnFailure: path !== undefined || !shrinks,
    ...(path === undefined ? {} : { path }),
  }).finally(() => environment.restore());
  if (!failed) return { failure: undefined, storeCalls };
  return {
    storeCalls,
    failure: {
      seed,
      path: counterexamplePath ?? "",
      scenario: counterexample![0],
      error: errorInstance instanceof Error ? errorInstance.message : String(errorInstance),
      at: numRuns,
      shrinks: numShrinks,
    },
  };
}
