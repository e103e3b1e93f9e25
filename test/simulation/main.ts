import { parseArgs } from "node:util";
import { explore } from "./run.ts";
import { simulate } from "./world.ts";

/** Schedules of one seed: a few seconds of work. */
const BATCH = 500;

const { values } = parseArgs({
  options: {
    seed: { type: "string" },
    path: { type: "string" },
    schedules: { type: "string" },
    minutes: { type: "string" },
  },
});

const began = Date.now();
let seed = Number(values.seed ?? began % 1_000_000_000);
const end = values.minutes === undefined ? Number.POSITIVE_INFINITY : began + Number(values.minutes) * 60_000;
const most = Number(values.schedules ?? (values.minutes === undefined ? 2000 : Number.POSITIVE_INFINITY));

let schedules = 0;
let storeCalls = 0;
while (schedules < most && Date.now() < end) {
  // oxlint-disable-next-line no-await-in-loop
  const { failure, storeCalls: calls } = await explore({
    seed,
    schedules: Math.min(BATCH, most - schedules),
    path: values.path,
  });
  storeCalls += calls;
  if (failure) {
    const { log } = await simulate(failure.scenario);
    console.log(log.join("\n"));
    console.log(JSON.stringify(failure.scenario));
    console.log(`\n${failure.error}`);
    console.log(
      `schedule ${schedules + failure.at} of this run, made smaller in ${failure.shrinks} steps, after ${seconds()} s`,
    );
    console.log(`To repeat it: npm run simulate -- --seed ${failure.seed} --path ${failure.path}`);
    process.exit(1);
  }
  schedules += BATCH;
  seed++;
  if (values.path !== undefined) break;
}
console.log(`${schedules} schedules with ${storeCalls} store calls in ${seconds()} s: no promise was broken`);

function seconds(): string {
  return ((Date.now() - began) / 1000).toFixed(1);
}
