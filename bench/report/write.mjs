// Writes the generated blocks of the documents and the plots, from bench/results.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { readResults } from "../lib/results.mjs";
import { DOCUMENTS, fillBlocks } from "./blocks.mjs";
import { drawPlots } from "./plots.mjs";

const ROOT = join(import.meta.dirname, "../..");

export async function writeReport() {
  const results = readResults();
  for (const [name, pictures] of Object.entries(DOCUMENTS)) {
    const path = join(ROOT, name);
    const text = readFileSync(path, "utf8");
    const filled = fillBlocks(text, results, pictures);
    if (filled !== text) writeFileSync(path, filled);
  }
  await drawPlots(results, join(ROOT, "docs/pictures"));
  console.log(`\nWritten: ${Object.keys(DOCUMENTS)[0]}, docs/pictures`);
}
