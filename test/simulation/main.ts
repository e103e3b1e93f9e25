import { parseArgs } from "node:util";
import { explore, logOf, type Failure } from "./run.ts";
import { describeScenario } from "./scenario.ts";

/** Schedules of one seed. */
const BATCH = 250;

const HELP = `npm run simulate -- [--minutes 30 | --schedules 100000] [--seed 1] [--path …]

  --minutes    as many schedules as there is time for
  --cpu        the same, in seconds of processor time: it counts nothing while others use the processor
  --schedules  so many (default 2000)
  --seed       of the first 250; the next seed is one higher (default: the time)
  --path       replays one schedule of the seed, as a failure prints it
  --terse      prints the failure alone, and does not make it smaller: the fastest way to know that there is one
`;

const { values } = parseArgs({
  options: {
    seed: { type: "string" },
    path: { type: "string" },
    schedules: { type: "string" },
    minutes: { type: "string" },
    cpu: { type: "string" },
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
const isTimed = values.minutes !== undefined || values.cpu !== undefined;
const most = Number(values.schedules ?? (isTimed ? Number.POSITIVE_INFINITY : 2000));
const mostCpu = Number(values.cpu ?? Number.POSITIVE_INFINITY);
const firstSeed = Number(values.seed ?? began % 1_000_000_000);

let toldAt = began;
let schedules = 0;
let storeCalls = 0;
for (let seed = firstSeed; schedules < most && Date.now() < end && cpu() < mostCpu; seed++) {
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
  if (Date.now() - toldAt >= 60_000) {
    toldAt = Date.now();
    console.log(`${schedules} schedules with ${storeCalls} store calls until now, the next seed is ${seed + 1}`);
  }
}
console.log(
  `${schedules} schedules with ${storeCalls} store calls in ${seconds()} s, ${cpu().toFixed(1)} s of the processor, seeds from ${firstSeed}: no promise was broken`,
);

async function report({ scenario, error, seed, path, at, shrinks }: Failure): Promise<void> {
  const where = `schedule ${schedules + at}, after ${seconds()} s, ${cpu().toFixed(1)} s of the processor`;
  if (values.terse) return console.log(`${error.split("\n", 1)[0]}\n${where}: --seed ${seed} --path ${path}`);
  const log = await logOf(scenario);
  console.log(`${describeScenario(scenario)}\n\n${log.join("\n")}\n\n${error}`);
  console.log(`Found in ${where}; made smaller in ${shrinks} steps.`);
  console.log(`To repeat it: npm run simulate -- --seed ${seed} --path ${path}`);
}

function cpu(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}

function seconds(): string {
  return ((Date.now() - began) / 1000).toFixed(1);
}
