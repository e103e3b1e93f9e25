import { parseArgs } from "node:util";
import { explore, type Failure } from "./run.ts";
import { describeScenario } from "./scenario.ts";
import { simulate } from "./world.ts";

/** Schedules of one seed. */
const BATCH = 500;

const HELP = `npm run simulate -- [--minutes 30 | --schedules 100000] [--seed 1] [--path …]

  --minutes    as many schedules as there is time for
  --schedules  so many (default 2000)
  --seed       of the first 500; the next seed is one higher (default: the time)
  --path       replays one schedule of the seed, as a failure prints it
  --terse      prints the failure alone, and does not make it smaller: the fastest way to know that there is one
`;

const { values } = parseArgs({
  options: {
    seed: { type: "string" },
    path: { type: "string" },
    schedules: { type: "string" },
    minutes: { type: "string" },
    terse: { type: "boolean" },
    help: { type: "boolean" },
  },
});
if (values.help) {
  console.log(HELP);
  process.exit(0);
}

const began = Date.now();
const end = values.minutes === undefined ? Number.POSITIVE_INFINITY : began + Number(values.minutes) * 60_000;
const most = Number(values.schedules ?? (values.minutes === undefined ? 2000 : Number.POSITIVE_INFINITY));
const firstSeed = Number(values.seed ?? began % 1_000_000_000);

let schedules = 0;
let storeCalls = 0;
for (let seed = firstSeed; schedules < most && Date.now() < end; seed++) {
  const size = Math.min(BATCH, most - schedules);
  // oxlint-disable-next-line no-await-in-loop
  const found = await explore({ seed, schedules: size, path: values.path, shrinks: values.terse !== true });
  storeCalls += found.storeCalls;
  if (found.failure) {
    // oxlint-disable-next-line no-await-in-loop
    await report(found.failure);
    process.exit(1);
  }
  schedules += values.path === undefined ? size : 1;
  if (values.path !== undefined) break;
}
console.log(
  `${schedules} schedules with ${storeCalls} store calls in ${seconds()} s, seeds from ${firstSeed}: no promise was broken`,
);

async function report({ scenario, error, seed, path, at, shrinks }: Failure): Promise<void> {
  const where = `schedule ${schedules + at}, after ${seconds()} s`;
  if (values.terse) return console.log(`${error.split("\n", 1)[0]}\n${where}: --seed ${seed} --path ${path}`);
  const { log } = await simulate(scenario);
  console.log(`${describeScenario(scenario)}\n\n${log.join("\n")}\n\n${error}`);
  console.log(`Found in ${where}; made smaller in ${shrinks} steps.`);
  console.log(`To repeat it: npm run simulate -- --seed ${seed} --path ${path}`);
}

function seconds(): string {
  return ((Date.now() - began) / 1000).toFixed(1);
}
