import { parseArgs } from "node:util";
import { TARGETS } from "./targets.ts";

// `npm run fuzz -- --minutes 10`: random inputs of every target in turn, until the time is over. A failure is shrunk and printed
// with the words that repeat it; the corpus (test/fuzz/corpus) keeps what was found.

const { values } = parseArgs({
  options: {
    minutes: { type: "string", default: "1" },
    seed: { type: "string" },
    path: { type: "string" },
    target: { type: "string", default: "" },
  },
});
const seed = values.seed === undefined ? Date.now() & 0x7fff_ffff : Number(values.seed);
const end = Date.now() + Number(values.minutes) * 60_000;
if (!Number.isInteger(seed) || !(end > 0)) throw new TypeError("--seed takes a whole number, --minutes a number");
const targets = TARGETS.filter(({ name }) => name.includes(values.target));
if (targets.length === 0) throw new TypeError(`No target's name has "${values.target}" in it.`);

console.log(`seed ${seed}: ${targets.length} targets for ${values.minutes} minutes`);
const counts = new Map(targets.map(({ name }) => [name, 0]));
const failed = new Set<string>();

for (let round = 0; Date.now() < end || round === 0; round += 1) {
  for (const each of targets) {
    if (failed.has(each.name) || (round > 0 && Date.now() >= end)) continue;
    // The first rounds are npm test's; later ones are longer, since making a generator costs time too.
    const numRuns = each.runs * Math.min(round + 1, 20);
    const run = { seed: seed + round, numRuns, ...(values.path !== undefined && { path: values.path }) };
    const { numRuns: done, failure } = await each.random(run);
    counts.set(each.name, counts.get(each.name)! + done);
    if (!failure) continue;
    failed.add(each.name);
    process.exitCode = 1;
    console.error(`\n${each.name}\n${failure.report}`);
    console.error(
      `Repeat it with: npm run fuzz -- --target "${each.name}" --seed ${failure.seed} --path "${failure.path}"`,
    );
    console.error(`For the corpus: ${JSON.stringify(failure.input)}`);
  }
  if (values.path !== undefined) break;
}

for (const [name, count] of counts) console.log(`${String(count).padStart(12)}  ${name}`);
console.log(`${String([...counts.values()].reduce((a, b) => a + b, 0)).padStart(12)}  in all, ${failed.size} failed`);
