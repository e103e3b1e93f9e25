import { execFile } from "node:child_process";
import { writeFileSync } from "node:fs";
import { mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { NODE22 } from "../support/sqlite.ts";
import { blocksOf, document, ROOT, workshop } from "./support/blocks.ts";
import { engines } from "../support/engines.ts";

const blocks = blocksOf(document("docs/stores.md")).map((block, i) => ({ ...block, i: i + 1 }));

/** The engine that a block is run on, and the variable that its URL is in. */
const ENGINES: Record<string, readonly [name: string, variable: string]> = {
  "with redis": ["Redis", "REDIS_URL"],
  "with postgres": ["PostgreSQL", "DATABASE_URL"],
  "with mysql": ["MariaDB", "MYSQL_URL"],
};
const env: NodeJS.ProcessEnv = {};
const stops: (() => Promise<void>)[] = [];
const { typeErrors, run, clear } = workshop();

const isHere = (how: string): boolean => {
  const [name] = ENGINES[how] ?? [];
  return name === undefined || engines.some((engine) => engine.name === name && engine.isHere);
};

beforeAll(async () => {
  for (const [name, variable] of Object.values(ENGINES)) {
    const engine = engines.find((one) => one.name === name)!;
    if (!engine.isHere) continue;
    const { url, stop } = await engine.start();
    stops.push(stop);
    env[variable] = url.split("?", 1)[0];
  }
});
afterAll(async () => {
  for (const stop of stops) await stop();
  clear();
});

describe("the guide to the stores", () => {
  it("says of each block of code how it is run", () => {
    const known = ["with nothing", "types only", "with node 22", ...Object.keys(ENGINES)];
    expect(blocks.filter(({ how }) => !known.includes(how))).toEqual([]);
    expect(blocks.length).toBeGreaterThan(8);
  });

  it("shows code whose types are right", async () => {
    // Those of Node 20 know nothing of node:sqlite.
    expect(await typeErrors(blocks.filter(({ how }) => how !== "with node 22").map(({ code }) => code))).toBe("");
  });

  for (const { i, how, code } of blocks) {
    if (how === "types only" || how === "with node 22") continue;
    it.skipIf(!isHere(how))(`shows code that runs: block ${i}, ${how}`, async () => {
      // A script closes what it has opened, and ends by itself; an application keeps it open for as long as it runs.
      const end = /^await \w+\.close\(\);$/m.test(code) ? "" : "process.exit();\n";
      const { stderr } = await run(`${code}\n${end}`, env);
      expect(stderr).toBe("");
    });
  }

  it.skipIf(!NODE22)("shows code that runs on Node 22", async () => {
    // Inside the package, so that `sojourn` is the package itself.
    const folder = mkdtempSync(join(ROOT, "test/integration/.blocks-"));
    try {
      for (const { code } of blocks.filter(({ how }) => how === "with node 22")) {
        writeFileSync(join(folder, "program.mjs"), code);
        const program = ["--no-warnings", join(folder, "program.mjs")];
        expect((await promisify(execFile)(NODE22!, program, { cwd: folder })).stderr).toBe("");
      }
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});
