// Heap a session costs, at a million sessions, each made by a request of its own.
//
//   node memory.mjs [sessions] [only]
import { APPS, DATA_BYTES } from "./apps.mjs";
import { printTable, start } from "./run.mjs";

const COUNT = Number(process.argv[2] ?? 1_000_000);
const ONLY = process.argv[3] ?? "";
const NAMES = [
  "node:http, sojourn",
  "express, express-session MemoryStore",
  "express, express-session memorystore",
  "fastify, @fastify/session",
].filter((name) => name in APPS && name.includes(ONLY));

const rows = [];
for (const name of NAMES) {
  const contender = await start(name, {
    execArgv: ["--expose-gc", "--max-old-space-size=6144", "--max-semi-space-size=64"],
  });
  rows.push([name, await contender.ask("heap", { count: COUNT })]);
  console.error(`${name}: ${rows.at(-1)[1].toFixed(0)} bytes`);
  contender.stop();
}
console.log(`Bytes of heap a session, at ${COUNT} sessions of ${DATA_BYTES} bytes of JSON\n`);
const [[, own]] = rows;
printTable(
  ["", "bytes", "against sojourn"],
  rows.map(([name, bytes]) => [name, bytes.toFixed(0), `${(bytes / own).toFixed(2)} x`]),
);
