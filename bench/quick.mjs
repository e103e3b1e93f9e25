// The small bench of CI. It reports, and never fails: ratios for the eye, and counts that have no noise, against those that
// were kept in bench/counts.json.
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { contender } from "./contenders.mjs";
import { startContender } from "./lib/processes.mjs";
import { measureLayers } from "./parts/layer.mjs";
import { figure, ratio, table } from "./report/tables.mjs";

const COUNTS = join(import.meta.dirname, "counts.json");
const MAJOR = `node${process.versions.node.split(".", 1)[0]}`;

const RATIOS = [
  ["fastify · sojourn · memory", "fastify · @fastify/session, not rolling · memory"],
  ["express · sojourn · memory", "express · express-session, MemoryStore · memory"],
];
const COUNTED = ["node:http · sojourn · memory", "fastify · sojourn · memory", "express · sojourn · memory"];
const PATHS = ["untouched", "read", "write", "sign-in"];
const SECONDS = 25;
const COUNT = 500;
const INSTRUCTION_COUNT = 2000;
/** Instructions differ by about a hundredth from run to run, because of the compiler's timing. */
const NOTABLE = 0.05;

export async function runQuick({ save }) {
  await reportRatios();
  await reportCounts(save);
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

async function reportCounts(save) {
  const kept = existsSync(COUNTS) ? JSON.parse(readFileSync(COUNTS, "utf8")) : {};
  const now = {};
  const hasPerf = spawnSync("perf", ["stat", "-e", "instructions:u", "true"]).status === 0;
  for (const name of COUNTED) {
    const app = await startContender(contender(name), {}, {});
    await app.ask("seed");
    now[name] = {};
    for (const path of PATHS) {
      const order = { path, anonymous: path === "untouched" || path === "sign-in" };
      await app.ask("run", { ...order, count: 10 * COUNT });
      const instructions = hasPerf ? await instructionsOf(app, order) : undefined;
      now[name][path] = { ...(await app.ask("counts", { ...order, count: COUNT })), instructions };
    }
    await app.stop();
  }
  report(now, kept[MAJOR] ?? {});
  if (save) writeFileSync(COUNTS, `${JSON.stringify({ ...kept, [MAJOR]: now }, null, 2)}\n`);
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
    const isNotable = what === "instructions" ? Math.abs(value / before - 1) > NOTABLE : value !== before;
    return before !== undefined && isNotable ? `${figure(value)} (was ${figure(before)})` : figure(value);
  };
  const rows = Object.entries(now).flatMap(([name, paths]) =>
    Object.entries(paths).map(([path, counts]) => [
      `${name}: ${path}`,
      ...["promises", "timers", "ticks", "instructions"].map((what) =>
        written(what, counts[what], kept[name]?.[path]?.[what]),
      ),
    ]),
  );
  console.log("\nCounts a request, framework included; the first three are exact\n");
  console.log(table(["", "promises", "timers", "ticks", "instructions"], rows));
}
