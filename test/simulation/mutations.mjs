// Breaks the library on purpose, one mistake at a time, and has the simulation find each:
//
//   node test/simulation/mutations.mjs [part of a name …] [--seconds 120] [--jobs 1]
//
// Works in copies of the sources. A mistake counts as found if the printed seed fails again with it, and passes without it.
// A mutation whose text is not found any more is an error: adjust it.
import { spawn } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { exitWith, prepare, ROOT } from "../../scripts/setup.mjs";
import { MUTATIONS, patchesOf, staleMutations } from "./mutations/all.mjs";

const SIMULATION = ["--no-warnings", "--import", "tsx", "test/simulation/main.ts", "--terse"];
const SEED = "1";

/** Seconds are those of the processor: others may use it as well. */
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { seconds: { type: "string", default: "120" }, jobs: { type: "string", default: "1" } },
});
const chosen =
  positionals.length === 0
    ? MUTATIONS
    : MUTATIONS.filter(({ name }) => positionals.some((part) => name.includes(part)));

try {
  prepare();
} catch (error) {
  exitWith(error);
}
const stale = staleMutations(ROOT);
if (stale.length > 0) exitWith(new Error(stale.join("\n")));

const left = [...chosen];
const times = [];
console.log("| mistake | found in schedule | after | broken promise |\n|---|---|---|---|");
await Promise.all(Array.from({ length: Number(values.jobs) }, work));
const median = times.toSorted((a, b) => a - b)[Math.floor(times.length / 2)];
console.log(`\n${times.length} of ${chosen.length} found; half of them within ${median} s`);
process.exit(times.length < chosen.length ? 1 : 0);

async function work() {
  const folder = mkdtempSync(join(tmpdir(), "sojourn-mutations-"));
  try {
    for (const name of ["package.json", "tsconfig.json", "tsconfig.build.json"])
      cpSync(join(ROOT, name), join(folder, name));
    symlinkSync(join(ROOT, "node_modules"), join(folder, "node_modules"));
    for (let mutation = left.shift(); mutation; mutation = left.shift()) {
      // oxlint-disable-next-line no-await-in-loop
      const { cells, seconds } = await find(mutation, folder);
      if (seconds !== undefined) times.push(seconds);
      console.log(`| ${[mutation.name, ...cells].join(" | ")} |`);
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Has the simulation look for one mistake, and repeats the schedule that it names. */
async function find(mutation, folder) {
  for (const part of ["src", "test/simulation", "test/support"]) {
    rmSync(join(folder, part), { recursive: true, force: true });
    mkdirSync(join(folder, part), { recursive: true });
    cpSync(join(ROOT, part), join(folder, part), { recursive: true });
  }
  for (const { file, from, to } of patchesOf(mutation)) {
    const path = join(folder, file);
    writeFileSync(
      path,
      readFileSync(path, "utf8").replace(from, () => to),
    );
  }
  const built = await run(folder, ["node_modules/typescript/bin/tsc", "-p", "tsconfig.build.json", "--noCheck"]);
  if (built.status !== 0) throw new Error(`${mutation.name} does not compile:\n${built.output}`);
  const search = await run(folder, [...SIMULATION, "--seed", SEED, "--cpu", values.seconds]);
  const found =
    /^(?<promise>.*)\nschedule (?<at>\d+), after [\d.]+ s, (?<seconds>[\d.]+) s of the processor: (?<replay>--seed \d+ --path \S+)$/m.exec(
      search.output,
    );
  if (!found) return { cells: ["NOT FOUND", "–", search.output.trim().slice(-300).replaceAll("\n", " ")] };
  const { promise, at, seconds, replay } = found.groups;
  const [again, clean] = await Promise.all([
    run(folder, [...SIMULATION, ...replay.split(" ")]),
    run(ROOT, [...SIMULATION, ...replay.split(" ")]),
  ]);
  if (again.status !== 1) return { cells: ["NOT REPEATED", "–", replay] };
  if (clean.status !== 0) return { cells: ["FAILS WITHOUT THE MISTAKE", "–", replay] };
  return { cells: [at, `${seconds} s`, promise.slice(0, 110)], seconds: Number(seconds) };
}

function run(cwd, words) {
  const child = spawn(process.execPath, words, { cwd, stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding("utf8").on("data", (text) => (output += text));
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (status) => resolve({ status, output }));
  });
}
