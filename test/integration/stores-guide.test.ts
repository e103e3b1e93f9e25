import { execFile } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { blocksOfPages, pagesIn, ROOT, runBlock, workshop } from "../support/http/blocks.ts";
import { engines } from "../support/engines.ts";
import { NODE22 } from "../support/sqlite.ts";

const blocks = blocksOfPages(pagesIn("docs/stores"));

/** For each kind of code block: its engine, and the environment variable with the URL. */
const ENGINES = [
  ["with redis", "Redis", "REDIS_URL"],
  ["with postgres", "PostgreSQL", "DATABASE_URL"],
  ["with mysql", "MariaDB", "MYSQL_URL"],
] as const;
const place = workshop();
afterAll(place.clear);

describe.each(ENGINES)("the pages on the stores %s", (how, name, variable) => {
  const engine = engines.find((one) => one.name === name)!;
  let server: Awaited<ReturnType<typeof engine.start>> | undefined;
  beforeAll(async () => {
    if (engine.isHere) server = await engine.start();
  });
  afterAll(() => server?.stop());

  const ownBlocks = blocks.filter((block) => block.how === how);
  it.skipIf(!engine.isHere).each(ownBlocks)("have code that runs: $page, block $i", async ({ code }) => {
    const url = server!.url.split("?", 1)[0];
    expect((await runBlock(place, code, { [variable]: url })).stderr).toBe("");
  });
});

describe("the pages on the stores with node 22", () => {
  it.skipIf(!NODE22)("have code that runs on Node 22", async () => {
    // Inside the package, so that `sojourn` is the package itself.
    const folder = mkdtempSync(join(ROOT, "test/docs/.blocks-"));
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
