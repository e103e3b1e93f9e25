import { execFile } from "node:child_process";
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { storeContract } from "../../src/testing/index.ts";
import { fetchCases } from "../fixtures/fetch-cases.mjs";
import { requireEntries } from "../support/require-entries.ts";
import { casesIn, runtimes } from "../support/runtimes.ts";
import { removeFolder } from "../support/throwaway.ts";

let folder: string;
beforeAll(() => (folder = mkdtempSync(join(tmpdir(), "sojourn-runtimes-"))));
afterAll(() => removeFolder(folder));

const neverMade = (): never => {
  throw new Error("only the names of the cases are asked for");
};
const contract = storeContract(neverMade, {
  capabilities: ["idsOfUser", "all", "deleteExpired", "subscribe", "close"],
}).map(({ name }) => name);
const announcing = { table: "Order", announceChanges: true };

const requiring = runtimes.filter(({ name }) => name.startsWith("Node"));

describe.each(requiring)("require on $name", ({ command }) => {
  it.skipIf(!command)("gives every entry what import gives, without a flag and without a warning", async () => {
    const { stdout, stderr } = await requireEntries(command!);
    expect(JSON.parse(stdout)).toEqual(JSON.parse((await requireEntries(process.execPath)).stdout));
    expect(stderr).toBe("");
  });
});

const deno = runtimes.find(({ name }) => name === "Deno")!;

it.skipIf(!deno.command)("sessions need no permission of Deno to read the environment", async () => {
  const entry = (path: string) => JSON.stringify(new URL(`../../dist/${path}.js`, import.meta.url).href);
  const program = join(folder, "without-permission.mjs");
  writeFileSync(
    program,
    `import { createSessions } from ${entry("index")};
     import { memoryStore } from ${entry("stores/memory")};
     createSessions({ secretKey: "mX3v9Kq0rTz7PwL1cYb5NdQ8hJ2sGf4uEo6iAaRkV_-", store: memoryStore() });
     console.log("made");`,
  );
  const { stdout } = await promisify(execFile)(deno.command!, ["run", "--no-prompt", "--allow-read", program]);
  expect(stdout).toBe("made\n");
});

for (const runtime of runtimes) {
  const subjects = [
    { what: "memoryStore", subject: "memory", names: contract },
    { what: "fileStore", subject: "file", names: contract },
    { what: `sqliteStore with ${runtime.sqlite}`, subject: runtime.sqlite, names: contract },
    { what: "sqliteStore, announcing changes,", subject: runtime.sqlite, names: contract, options: announcing },
    { what: "the fetch adapter", subject: "fetch", names: fetchCases.map(({ name }) => name) },
  ];
  describe.skipIf(!runtime.command).each(subjects)(`$what on ${runtime.name}`, ({ what, subject, names, options }) => {
    let said: Map<string, string | null>;
    beforeAll(async () => {
      said = await casesIn(runtime, subject, `${folder}/${runtime.name} ${what}`, options);
    });
    it.each(names)("%s", (name) => {
      expect(said.get(name)).toBeNull();
    });
  });
}
