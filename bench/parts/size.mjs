// What importing a package costs: the time, and the size of its code, minified and compressed.
import { spawnSync } from "node:child_process";
import { builtinModules } from "node:module";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";
import { inRounds } from "../lib/rounds.mjs";
import { summary } from "../lib/stats.mjs";

export const title = "Import time and size of each entry";
export const nodes = "both";
export const budget = 15;

const FOLDER = join(import.meta.dirname, "..");
const PEERS = [
  "express-session",
  "cookie-session",
  "@fastify/session",
  "@fastify/secure-session",
  "koa-session",
  "@hono/session",
  "hono-sessions",
  "iron-session",
  "@remix-run/session",
];

const { exports, peerDependencies } = JSON.parse(
  readFileSync(join(FOLDER, "node_modules/sojourn/package.json"), "utf8"),
);
/** Frameworks and clients of databases, which are the application's own. */
const EXTERNAL = Object.keys(peerDependencies).flatMap((name) => [name, `${name}/*`]);

export async function run({ node, rounds = 11, budget: seconds = budget, log }) {
  const names = [...ownEntries().filter((name) => hasItsFramework(node, name, log)), ...PEERS];
  const cells = names.map((name) => ({ key: name, measure: () => importTime(node, name) }));
  const { values, machine } = await inRounds([cells], { count: rounds, budget: seconds, warmUp: 0, log });
  const entries = [];
  for (const name of names) {
    entries.push({ name, ms: summary(values.get(name)), ...(await sizeOf(name)) });
  }
  return { machine, entries };
}

function ownEntries() {
  const entries = Object.entries(exports).filter(([, target]) => target.default && !target.default.includes("types"));
  return entries.map(([path]) => `sojourn${path.slice(1)}`).filter((name) => !name.endsWith("/types"));
}

/** Some entries import their framework, and not all frameworks are installed here. */
function hasItsFramework(node, name, log) {
  const { stderr } = imported(node, name);
  const missing = /Cannot find package '([^']+)'/.exec(stderr)?.[1];
  if (missing) log(`${name} is left out, because it needs ${missing}`);
  return !missing;
}

function imported(node, name) {
  const script = `const before = process.cpuUsage(); await import(${JSON.stringify(name)});
const { user, system } = process.cpuUsage(before); console.log((user + system) / 1000); process.exit();`;
  return spawnSync(node, ["--no-warnings", "--input-type=module", "-e", script], { cwd: FOLDER, encoding: "utf8" });
}

/** Milliseconds of a process's CPU, so that a busy machine does not count. */
function importTime(node, name) {
  const { stdout, stderr } = imported(node, name);
  const ms = Number(stdout);
  if (!stdout || Number.isNaN(ms)) throw new Error(`${name}: ${stderr}`);
  return ms;
}

/** Bytes of an entry with all that it imports, except frameworks and clients. */
async function sizeOf(name) {
  const { outputFiles } = await build({
    stdin: { contents: `export * from ${JSON.stringify(name)};`, resolveDir: FOLDER },
    bundle: true,
    minify: true,
    write: false,
    format: "esm",
    platform: "node",
    logLevel: "silent",
    external: [...builtinModules, "node:*", ...EXTERNAL],
  });
  const [{ contents }] = outputFiles;
  return { bytes: contents.length, gzip: gzipSync(contents).length };
}
