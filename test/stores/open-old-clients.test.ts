import { describe, expect, it } from "vitest";
import { withOld } from "../support/one-client.ts";

describe("openStore with an old release of the client's package", () => {
  it.each([
    ["redis", "5.12.1", "redis://localhost", "redis@6"],
    ["ioredis", "5.3.2", "redis+cluster://localhost", "ioredis@5"],
    ["iovalkey", "0.3.1", "redis+cluster://localhost", "iovalkey@0.4"],
    ["pg", "8.3.3", "postgres://localhost/app", "pg@8"],
    ["postgres", "3.3.4", "postgres://localhost/app", "postgres@3"],
    ["mysql2", "3.9.7", "mysql://localhost/app", "mysql2@3"],
    ["better-sqlite3", "11.10.0", "sqlite:sessions.db", "better-sqlite3@12"],
  ])("names the command that installs a newer one: %s %s", async (name, version, url, remedy) => {
    const program = `
      import { openStore } from "./dist/stores/open/open.js";
      try { await openStore(process.argv[2]); } catch (error) { console.log(String(error)); }
    `;
    const output = await withOld(name, version, program, url);
    expect(output).toContain(`and this is ${version}: npm install ${remedy}`);
    expect(output).toMatch(/^TypeError: /);
  });
});
