import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { describe, expect, it } from "vitest";
import { ROOT } from "../../scripts/setup.mjs";
import { requireEntries } from "../support/require-entries.ts";

const run = promisify(execFile);

describe("require in a CommonJS program", () => {
  it("gives every entry what import gives, without a flag and without a warning", async () => {
    const { stdout, stderr } = await requireEntries(process.execPath);
    const exported = JSON.parse(stdout) as Record<string, string[]>;
    const { exports: entries } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as { exports: object };
    expect(Object.keys(exported)).toEqual(
      Object.keys(entries).filter((entry) => !["./next", "./package.json"].includes(entry)),
    );
    const empty = Object.keys(exported).filter((entry) => exported[entry]!.length === 0);
    expect(empty.toSorted()).toEqual(["./express-session/types", "./express/types"]);
    expect(stderr).toBe("");
  });

  it("gives the function itself for sojourn/express-session, with the classes as its properties", async () => {
    const program = `
      const session = require("sojourn/express-session");
      const { Store, MemoryStore, Session, Cookie, expressStore } = session;
      console.log(typeof session, [Store, MemoryStore, Session, Cookie, expressStore].map((one) => typeof one).join());
      import("sojourn/express-session").then((module) => console.log(module.default === session, module.Store === Store));
    `;
    const { stdout } = await run(process.execPath, ["--input-type=commonjs", "-e", program], { cwd: ROOT });
    expect(stdout).toBe(`function ${Array.from({ length: 5 }, () => "function").join()}\ntrue true\n`);
  });

  it("and import in the same process give the same sessions", async () => {
    const program = `
      const { createSessions } = require("sojourn");
      const { memoryStore } = require("sojourn/memory");
      const { randomBytes } = require("node:crypto");
      const sessions = createSessions({ secretKey: randomBytes(32), store: memoryStore() });
      import("sojourn/fetch").then(async ({ withSession }) => {
        const handle = withSession(sessions, (request, session) => new Response(String(session.isNew)));
        console.log(await (await handle(new Request("http://localhost/"))).text());
        await sessions.close();
      });
    `;
    const { stdout } = await run(process.execPath, ["--input-type=commonjs", "-e", program], { cwd: ROOT });
    expect(stdout).toBe("true\n");
  });
});
