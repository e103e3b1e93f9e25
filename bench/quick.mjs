// The small bench of CI. It reports, and never fails: ratios for the eye, and counts that have no noise, against those that
// were kept in bench/counts.json.
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { contender } from "./contenders.mjs";
import { startContender } from "./lib/processes.mjs";
import { measureAllocations } from "./parts/allocations.mjs";
import { measureLayers } from "./parts/layer.mjs";
import { figure, ratio, table } from "./report/tables.mjs";

const COUNTS = join(import.meta.dirname, "counts.json");

const RATIOS = [
  ["fastify · sojourn · memory", "fastify · @fastify/session, not rolling · memory"],
  ["express · sojourn · memory", "express · express-session, MemoryStore · memory"],
];
const COUNTED = ["node:http · sojourn · memory", "fastify · sojourn · memory", "express · sojourn · memory"];
const PATHS = ["untouched", "read", "write", "sign-in"];
const SECONDS = 25;
const COUNT = 500;
const INSTRUCTION_COUNT = 2000;
/** What differs from run to run, because of the compiler's timing: instructions by a hundredth, bytes by up to three. */
const NOTABLE = { instructions: 0.05, bytes: 0.03 };

export async function runQuick({ runtimes, save }) {
  await reportRatios();
  for (const { path, version } of runtimes) await reportCounts({ node: path, version, save });
}

async function reportRatios() {
  const rows = RATIOS.flat().map(contender);
  const { contenders, machine } = await measureLayers(rows, {
    node: process.execPath,
    rounds: 9,
    seconds: SECONDS,
    paths: ["untouched", "read", "write"],
    log() {},
  });
  const of = (name, path) => contenders.find((one) => one.name === name).cells[path].layer;
  const lines = RATIOS.map(([own, peer]) => [
    own,
    ...["untouched", "read", "write"].map((path) => figure(of(own, path).median)),
    peer,
    ratio(of(own, "read"), of(peer, "read")),
    ratio(of(own, "write"), of(peer, "write")),
  ]);
  console.log(`The layer, µs of CPU over the bare framework; others used ${machine.others ?? "?"} cores\n`);
  console.log(table(["", "untouched", "read", "write", "against", "read", "write"], lines));
}

async function reportCounts({ node, version, save }) {
  const now = {};
  const hasPerf = spawnSync("perf", ["stat", "-e", "instructions:u", "true"]).status === 0;
  const allocations = await measureAllocations([...new Set([...RATIOS.flat(), ...COUNTED])].map(contender), { node });
  for (const name of COUNTED) {
    const app = await startContender(contender(name), {}, { node });
    await app.ask("seed");
    now[name] = {};
    const { cells } = allocations.find((one) => one.name === name);
    for (const path of PATHS) {
      const order = { path, anonymous: path === "untouched" || path === "sign-in" };
      await app.ask("run", { ...order, count: 10 * COUNT });
      const instructions = hasPerf ? await instructionsOf(app, order) : undefined;
      const counts = await app.ask("counts", { ...order, count: COUNT });
      now[name][path] = { ...counts, bytes: cells[path].total, instructions };
    }
    await app.stop();
  }
  const kept = existsSync(COUNTS) ? JSON.parse(readFileSync(COUNTS, "utf8")) : {};
  const major = `node${version.split(".", 1)[0]}`;
  console.log(`\nNode ${version}: bytes of heap that a request allocates over the bare framework\n`);
  console.log(comparedBytes(allocations));
  report(now, kept[major] ?? {});
  if (save) writeFileSync(COUNTS, `${JSON.stringify({ ...kept, [major]: now }, null, 2)}\n`);
}

function comparedBytes(allocations) {
  const layers = (name) => allocations.find((one) => one.name === name).cells;
  const rows = RATIOS.map(([own, peer]) => [
    own,
    ...PATHS.map((path) => figure(layers(own)[path].layer)),
    peer,
    ...PATHS.map((path) => figure(layers(peer)[path].layer)),
  ]);
  return table(["", ...PATHS, "against", ...PATHS], rows);
}

/** Instructions a request in user space, counted by perf while the process does nothing else. */
async function instructionsOf({ pid, ask }, order) {
  const perf = spawn("perf", ["stat", "-x", ",", "-e", "instructions:u", "-p", String(pid)]);
  let output = "";
  perf.stderr.on("data", (text) => (output += text));
  await sleep(200); // it says nothing when it has attached itself
  await ask("run", { ...order, count: INSTRUCTION_COUNT });
  const ended = once(perf, "close");
  perf.kill("SIGINT");
  await ended;
  const instructions = Number(output.split(",", 1)[0]);
  return Number.isNaN(instructions) ? undefined : Math.round(instructions / INSTRUCTION_COUNT);
}

function report(now, kept) {
  const written = (what, value, before) => {
    if (value === undefined) return "–";
    const isNotable = what in NOTABLE ? Math.abs(value / before - 1) > NOTABLE[what] : value !== before;
    return before !== undefined && isNotable ? `${figure(value)} (was ${figure(before)})` : figure(value);
  };
  const whats = ["promises", "timers", "ticks", "bytes", "instructions"];
  const rows = Object.entries(now).flatMap(([name, paths]) =>
    Object.entries(paths).map(([path, counts]) => [
      `${name}: ${path}`,
      ...whats.map((what) => written(what, counts[what], kept[name]?.[path]?.[what])),
    ]),
  );
  console.log("\nCounts a request, framework included; the first three are exact\n");
  console.log(table(["", ...whats], rows));
}
