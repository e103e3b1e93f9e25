import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { engines, type HistoryEngine } from "./engines.ts";
import { peers } from "./peers.ts";
import { runHistory, type HistoryReport } from "./run.ts";

const HELP = `npm run histories -- [--minutes 5] [--engine redis] [--peers] [--calm]

  --minutes  for each engine (default 1)
  --engine   only this one; may be repeated: ${engines.map(({ name }) => name).join(", ")}
  --peers    express-session and @fastify/session instead: see what the checker finds there
  --calm     without faults: clients at once are all that happens
`;

const { values } = parseArgs({
  options: {
    minutes: { type: "string", default: "1" },
    engine: { type: "string", multiple: true },
    peers: { type: "boolean", default: false },
    calm: { type: "boolean", default: false },
    help: { type: "boolean", default: false },
  },
});
if (values.help) {
  console.log(HELP);
  process.exit(0);
}

const contenders: readonly HistoryEngine[] = values.peers ? peers : engines;
const unknown = values.engine?.find((name) => !contenders.some((one) => one.name === name));
if (unknown !== undefined) {
  console.error(`There is no engine ${unknown}.\n\n${HELP}`);
  process.exit(1);
}

const COLUMNS = "engine,processes,operations,kills,cuts,restarts,failovers,acknowledged,unknown,breaches".split(",");
const rows: (string | number)[][] = [];
let isBroken = false;
for (const engine of contenders) {
  if (values.engine && !values.engine.includes(engine.name)) continue;
  if (!engine.isHere) {
    console.log(`${engine.name}: left out, because its programs are missing`);
    continue;
  }
  // One after the other: they would take each other's processor time.
  // oxlint-disable-next-line no-await-in-loop
  const report = await runHistory(engine, { seconds: Number(values.minutes) * 60, calm: values.calm });
  rows.push(rowOf(report));
  if (report.breaches.length + report.errors.length > 0) {
    isBroken = true;
    describe(report);
  }
  console.log(rowOf(report).join("  "));
}
printTable([COLUMNS, ...rows]);
process.exit(isBroken ? 1 : 0);

function rowOf({ engine, processes, history, faults, breaches }: HistoryReport): (string | number)[] {
  const count = (outcome: string) => history.filter((one) => one.outcome === outcome).length;
  const { kill, cut, restart, failover } = faults;
  const outcomes = [count("ok"), count("unknown"), breaches.length];
  return [engine, processes, history.length, kill, cut, restart, failover, ...outcomes];
}

function describe({ engine, history, breaches, errors }: HistoryReport): void {
  const file = join(mkdtempSync(join(tmpdir(), "sojourn-history-")), `${engine.replaceAll(/\W+/g, "-")}.json`);
  writeFileSync(file, JSON.stringify({ breaches, errors, history }, undefined, 1));
  const rules = new Map<string, number>();
  for (const { rule } of breaches) rules.set(rule, (rules.get(rule) ?? 0) + 1);
  console.log(`${engine}: ${Array.from(rules, ([rule, times]) => `${rule} ${times}`).join(", ")}`);
  for (const error of new Set(errors)) console.log(`${engine}: ${error}`);
  console.log(`${engine}: the history is in ${file}`);
}

function printTable(lines: readonly (readonly (string | number)[])[]): void {
  const widths = COLUMNS.map((_, column) => Math.max(...lines.map((line) => String(line[column]).length)));
  console.log();
  for (const line of lines) {
    const cells = line.map((cell, column) => {
      const text = String(cell);
      return column === 0 ? text.padEnd(widths[column]!) : text.padStart(widths[column]!);
    });
    console.log(cells.join("  "));
  }
}
