import { describe, expect, it } from "vitest";
import { explore } from "./run.ts";

/** Few enough for each run of the tests: `npm run simulate -- --minutes 30` goes on from there. */
const SCHEDULES = 3000;
const SEED = 12;
/** It is all computing: on a busy machine it takes as long as it takes. */
const TIMEOUT = 1_800_000;

describe("Sessions, in a simulation of processes, clients and a store that fails", () => {
  it(
    `keep every promise in ${SCHEDULES} schedules`,
    async () => {
      const { failure } = await explore({ seed: SEED, schedules: SCHEDULES });
      const repeat = failure && `npm run simulate -- --seed ${failure.seed} --path ${failure.path}`;
      expect(failure?.error, `to see it: ${repeat}`).toBeUndefined();
    },
    TIMEOUT,
  );

  it(
    "go the same way each time that a schedule is carried out",
    async () => {
      const first = await explore({ seed: SEED, schedules: 100 });
      const second = await explore({ seed: SEED, schedules: 100 });
      expect(second).toEqual(first);
      expect(first.storeCalls).toBeGreaterThan(1000);
    },
    TIMEOUT,
  );
});
