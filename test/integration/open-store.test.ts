import { execFile } from "node:child_process";
import { cpSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { NODE22 } from "../support/sqlite.ts";
import { engines } from "./support/engines.ts";

const run = promisify(execFile);
const ROOT = join(import.meta.dirname, "../..");

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "sojourn-open-store-"));
});
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

/** Keeps a session, and ends by itself: nothing that was opened may keep a process alive. */
const PROGRAM = `
  import { openStore } from "sojourn/open";
  const store = await openStore(process.argv[2], { migrate: true });
  const stored = { payload: new Uint8Array([1, 2, 3]), version: 1, expiresAt: Date.now() + 60_000, owner: "ada" };
  const created = await store.create("an-id-of-twenty-two-ch", stored);
  const found = await store.read("an-id-of-twenty-two-ch");
  console.log(created, found?.version, (await store.idsOf("ada")).join());
  await store.close();
`;

describe.each(engines)("openStore of a URL of $name", ({ isHere, start }) => {
  it.skipIf(!isHere)("opens a store that lets the process end once it is closed", async () => {
    const { url, stop } = await start();
    try {
      const args = ["--input-type=module", "-e", PROGRAM, "program", url];
      const { stdout, stderr } = await run(process.execPath, args, { cwd: ROOT, timeout: 50_000 });
      expect(stdout + stderr).toBe("true 1 an-id-of-twenty-two-ch\n");
    } finally {
      await stop();
    }
  });
});

describe("openStore of a URL of SQLite", () => {
  it.skipIf(!NODE22)("takes what Node itself has where better-sqlite3 is not installed", async () => {
    const args = [
      "--no-warnings",
      "--input-type=module",
      "-e",
      PROGRAM,
      "program",
      `sqlite:${join(folder, "sessions.db")}`,
    ];
    const { stdout } = await run(NODE22!, args, { cwd: ROOT, timeout: 50_000 });
    expect(stdout).toBe("true 1 an-id-of-twenty-two-ch\n");
  });
});

describe("openStore without the client's package", () => {
  it.each([
    ["redis://localhost", "redis: URLs need the package redis or ioredis or iovalkey: npm install redis"],
    ["redis+cluster://localhost", "npm install redis"],
    ["postgres://localhost/app", "postgres: URLs need the package pg or postgres: npm install pg"],
    ["mysql://localhost/app", "mysql: URLs need the package mysql2: npm install mysql2"],
    ["sqlite:sessions.db", "sqlite: URLs need the package better-sqlite3: npm install better-sqlite3"],
  ])("names the command that installs it for %s", async (url, message) => {
    // A library of its own, with nothing around it.
    cpSync(join(ROOT, "dist"), join(folder, "dist"), { recursive: true });
    writeFileSync(join(folder, "package.json"), JSON.stringify({ type: "module" }));
    const program = `
      import { openStore } from "./dist/stores/open.js";
      try { await openStore(process.argv[2]); } catch (error) { console.log(error.message); }
    `;
    const args = ["--input-type=module", "-e", program, "program", url];
    const { stdout } = await run(process.execPath, args, { cwd: folder });
    expect(stdout).toContain(message);
  });
});
