import { describe, expect, it } from "vitest";
import { withOnly } from "../support/one-client.ts";

describe("openStore without the client's package", () => {
  it.each([
    ["redis://localhost", "redis: URLs need the package redis or ioredis or iovalkey: npm install redis"],
    ["redis+cluster://localhost", "npm install redis"],
    ["postgres://localhost/app", "postgres: URLs need the package pg or postgres: npm install pg"],
    ["mysql://localhost/app", "mysql: URLs need the package mysql2: npm install mysql2"],
    ["sqlite:sessions.db", "sqlite: URLs need the package better-sqlite3: npm install better-sqlite3"],
  ])("names the command that installs it for %s", async (url, message) => {
    const program = `
      import { openStore } from "./dist/stores/open/open.js";
      try { await openStore(process.argv[2]); } catch (error) { console.log(error.message); }
    `;
    expect(await withOnly(undefined, program, url)).toContain(message);
  });
});
