// npm run bench: Sojourn against its peers, on this machine, and docs/benchmarks.md from what was measured.
//
//   npm run bench                          every part, on this Node and on Node 24
//   npm run bench -- redis http            these parts
//   npm run bench -- layer --only express  the contenders whose name contains it
//   npm run bench -- --node24              Node 24 alone; --node20 is the Node that runs this
//   npm run bench -- --rounds 1            fewer rounds; the results are printed and not kept, unless with --save
//   npm run bench -- --report              page and plots from the results of the last run
//   npm run bench:quick                    for CI: ratios, and counts that are exact (--save keeps the counts)
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { describeMachine, packageVersions } from "./lib/machine.mjs";
import { saveResult } from "./lib/results.mjs";
import { findServers } from "./lib/servers.mjs";

const PARTS = [
  "floors",
  "allocations",
  "layer",
  "http",
  "latency",
  "redis",
  "stores",
  "correctness",
  "merging",
  "memory",
  "expiry",
  "size",
  "growth",
  "revocation",
];

const USAGE = `npm run bench -- [part …] [--only NAME] [--rounds N] [--node20 | --node24] [--save] [--report]
The parts are ${PARTS.join(", ")}. Without one, all are run.`;

const { values: options, positionals } = argumentsGiven();
if (options.help) {
  console.log(USAGE);
  process.exit();
}
const unknown = positionals.filter((part) => !PARTS.includes(part));
if (unknown.length > 0) {
  console.error(`No such part: ${unknown.join(", ")}. ${USAGE}`);
  process.exit(1);
}

if (options.quick) {
  const { runQuick } = await import("./quick.mjs");
  await runQuick({ runtimes: runtimesAsked(), save: options.save });
  process.exit();
}
if (!options.report) await measure();
if (options.report || isKept()) {
  const { writeReport } = await import("./report/write.mjs");
  await writeReport();
}
process.exit();

function argumentsGiven() {
  try {
    return parseArgs({
      allowPositionals: true,
      options: {
        rounds: { type: "string" },
        save: { type: "boolean" },
        only: { type: "string" },
        node20: { type: "boolean" },
        node24: { type: "boolean" },
        report: { type: "boolean" },
        quick: { type: "boolean" },
        help: { type: "boolean" },
      },
    });
  } catch (error) {
    console.error(`${error.message}\n${USAGE}`);
    process.exit(1);
  }
}

/** A run with fewer rounds or contenders is a look at the bench, not a result. */
function isKept() {
  return options.save || (options.rounds === undefined && options.only === undefined);
}

async function measure() {
  const missing = findServers();
  for (const name of missing) console.log(`${name} is missing: what needs it is left out.`);
  const runtimes = runtimesAsked();
  const parts = positionals.length > 0 ? positionals : PARTS;
  const took = new Map();
  for (const name of parts) {
    const part = await import(`./parts/${name}.mjs`);
    for (const runtime of part.nodes === "both" ? runtimes : runtimes.slice(0, 1)) {
      const began = performance.now();
      console.log(`\n${part.title}, Node ${runtime.version}`);
      const result = await runPart(part, runtime, missing);
      if (!result) continue;
      const seconds = Math.round((performance.now() - began) / 1000);
      took.set(name, (took.get(name) ?? 0) + seconds);
      const whole = {
        part: name,
        node: runtime.version,
        seconds,
        ...describeMachine(),
        ...versionsIn(name),
        ...result,
      };
      if (isKept()) saveResult(whole);
      else console.log(JSON.stringify(whole, null, 1));
      console.log(`  ${seconds} s; CPU of others: ${result.machine?.others ?? "not watched"} cores`);
    }
  }
  reportSeconds(took);
}

function reportSeconds(took) {
  const sum = [...took.values()].reduce((all, seconds) => all + seconds, 0);
  console.log(`\n${sum} s in all: ${Array.from(took, ([name, seconds]) => `${name} ${seconds}`).join(", ")}`);
}

/** A part that fails does not keep the others from running. */
async function runPart(part, runtime, missing) {
  try {
    return await part.run({
      node: runtime.path,
      missing,
      ...(options.rounds && { rounds: Number(options.rounds) }),
      only: (row) => row.name.includes(options.only ?? ""),
      log: (text) => console.error(`  ${text}`),
    });
  } catch (error) {
    console.error(error);
    process.exitCode = 1;
    return undefined;
  }
}

/** Once in a run: the results of the first part say which versions were measured. */
function versionsIn(part) {
  return part === PARTS[0] ? { versions: packageVersions() } : {};
}

function runtimesAsked() {
  const here = { path: process.execPath, version: process.versions.node };
  const node24 = node24Path();
  const newer = node24 && { path: node24, version: versionOf(node24) };
  if (!newer) console.log("Node 24 is missing: npm has none for this platform.");
  if (options.node24 && !options.node20) return [newer].filter(Boolean);
  if (options.node20 && !options.node24) return [here];
  return [here, newer].filter(Boolean);
}

function node24Path() {
  const name = `node-${process.platform}-${process.arch}`;
  const path = join(import.meta.dirname, "node_modules", name, "bin/node");
  return existsSync(path) ? path : undefined;
}

function versionOf(path) {
  return spawnSync(path, ["--version"], { encoding: "utf8" }).stdout.trim().slice(1);
}
