// The medians of the last run, one small file for each part and version of Node: bench/results/<part>.node<major>.json.
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const FOLDER = join(import.meta.dirname, "..", "results");

export function saveResult(result) {
  mkdirSync(FOLDER, { recursive: true });
  const major = result.node.split(".", 1)[0];
  writeFileSync(join(FOLDER, `${result.part}.node${major}.json`), `${format(result)}\n`);
}

/** Every result, by part; the results of a part in the order of Node's versions. Empty before the first run. */
export function readResults(folder = FOLDER) {
  const results = new Map();
  if (!existsSync(folder)) return results;
  for (const file of readdirSync(folder)
    .filter((name) => name.endsWith(".json"))
    .toSorted()) {
    const result = JSON.parse(readFileSync(join(folder, file), "utf8"));
    results.set(result.part, [...(results.get(result.part) ?? []), result]);
  }
  return results;
}

/** JSON with a line for each cell, so that the change of a figure is the change of a line. */
function format(value, indent = "") {
  const flat = JSON.stringify(value);
  if (typeof value !== "object" || value === null || flat.length <= 110) return flat;
  const deeper = `${indent}  `;
  const entries = Array.isArray(value)
    ? value.map((one) => format(one, deeper))
    : Object.entries(value)
        .filter(([, one]) => one !== undefined)
        .map(([key, one]) => `${JSON.stringify(key)}: ${format(one, deeper)}`);
  const [open, close] = Array.isArray(value) ? "[]" : "{}";
  return `${open}\n${entries.map((entry) => `${deeper}${entry}`).join(",\n")}\n${indent}${close}`;
}
