import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { environmentFor, exampleNames, folderOf, nodeFor } from "../../scripts/examples.mjs";

const SCRIPT = fileURLToPath(new URL("../../scripts/example.mjs", import.meta.url));
const run = (...words: string[]) => spawnSync(process.execPath, [SCRIPT, ...words], { encoding: "utf8" });

describe("npm run example", () => {
  it("says which examples there are if none is named, and if there is no such example", () => {
    const { status, stderr } = run();
    expect(status).toBe(1);
    expect(stderr).toBe(`Which one? npm run example -- ${exampleNames().join(" | ")}\n`);
    expect(run("koala").stderr).toMatch(/^There is no example "koala"\. There are: .*koa/);
  });

  it("runs an example on this Node if it is new enough", () => {
    expect(nodeFor("koa")).toBe(process.execPath);
  });

  it.each(exampleNames())(
    "has the library from this folder, and no registry's address, in the lock file of %s",
    (name) => {
      const lock = readFileSync(join(folderOf(name), "package-lock.json"), "utf8");
      expect(JSON.parse(lock).packages["node_modules/sojourn"].resolved).toBe("file:../..");
      expect(lock).not.toMatch(/"resolved": "http/);
    },
  );

  it("lets the programs of an example find its Node first", () => {
    const { PATH, NODE_OPTIONS } = environmentFor("/newer/bin/node", { PATH: "/usr/bin", NODE_OPTIONS: "--inspect" });
    expect(PATH).toMatch(/^\/newer\/bin.\/usr\/bin$/);
    expect(NODE_OPTIONS).toBe("");
  });

  it("builds an example for production, also within a test", () => {
    expect(environmentFor("/newer/bin/node", { PATH: "/usr/bin", NODE_ENV: "test" }).NODE_ENV).toBeUndefined();
  });
});
