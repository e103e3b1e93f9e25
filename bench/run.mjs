// What the benchmarks share: contenders in their own processes, medians, tables.
import { fork } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Starts a contender, whose store is at `place`; gives the function that asks it for something. */
export async function start(name, { execArgv = [], place } = {}) {
  const child = fork(join(import.meta.dirname, "contender.mjs"), [name, ...(place ? [place] : [])], {
    execArgv,
    env: { ...process.env, NODE_ENV: "production" },
  });
  const answer = async () => {
    const [message] = await once(child, "message");
    if (message.error) throw new Error(`${name}: ${message.error}`);
    return message.answer;
  };
  child.on("exit", (code) => {
    if (code) {
      console.error(`${name} ended with ${code}`);
      process.exit(1);
    }
  });
  await answer();
  return {
    name,
    ask(order, rest) {
      const answered = answer();
      child.send({ order, ...rest });
      return answered;
    },
    stop: () => child.disconnect(),
  };
}

/** Runs `work` with a directory that is gone afterwards. */
export async function withDirectory(work) {
  const directory = mkdtempSync(join(tmpdir(), "sojourn-bench-"));
  try {
    return await work(directory);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

export function median(values) {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

export const us = (value) => (Math.abs(value) < 10 ? value.toFixed(1) : value.toFixed(0));

export function printTable(head, rows) {
  const widths = head.map((name, i) => Math.max(name.length, ...rows.map((row) => String(row[i]).length)));
  const line = (cells) => `| ${cells.map((cell, i) => String(cell).padEnd(widths[i])).join(" | ")} |`;
  console.log(line(head));
  console.log(line(widths.map((width) => "-".repeat(width))));
  for (const row of rows) console.log(line(row));
  console.log();
}

/** What the session layer costs: a contender's time less that of the bare framework in the same round. */
export function layersOf(samples, contenders) {
  const layers = new Map();
  for (const { name } of contenders) {
    const bare = samples.get(bareOf(name)).untouched;
    const layer = {};
    for (const [path, values] of Object.entries(samples.get(name))) {
      layer[path] = median(values.map((value, round) => value - bare[round]));
    }
    layers.set(name, layer);
  }
  return layers;
}

export const bareOf = (name) => `${name.split(/,| bare/, 1)[0]} bare`;
export const isBare = (name) => name.endsWith(" bare");

/** The table of layers: own against each peer on the same framework. */
export function printLayers(samples, contenders, ours = "sojourn") {
  const layers = layersOf(samples, contenders);
  const rows = [];
  for (const { name } of contenders) {
    if (isBare(name)) {
      rows.push([name, `(${us(median(samples.get(name).untouched))})`, "", "", "", ""]);
      continue;
    }
    const own = layers.get(`${name.split(",", 1)[0]}, ${ours}`);
    const { untouched, read, write } = layers.get(name);
    const ratio = (path, value) => (own === layers.get(name) ? "1" : (own[path] / value).toFixed(2));
    rows.push([name, us(untouched), us(read), us(write), ratio("read", read), ratio("write", write)]);
  }
  printTable(["", "untouched", "read", "write", `${ours} / it, read`, "write"], rows);
}
