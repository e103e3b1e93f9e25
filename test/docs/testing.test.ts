import { spawnSync } from "node:child_process";
import { dirname, join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { document, ROOT, workshop } from "../support/http/blocks.ts";

const page = document("docs/testing.md");
const files = Array.from(page.matchAll(/<!-- file: (\S+) -->\n```ts\n(.*?)```/gs), ([, name = "", code = ""]) => ({
  name,
  code,
}));
const place = workshop();
afterAll(place.clear);

describe("the page on testing an application", () => {
  const paths = files.map(({ name, code }) => place.file(name, code));

  it("says of each block of TypeScript what its file is called", () => {
    expect(files.length).toBeGreaterThan(5);
    expect(page.match(/```ts\n/g)).toHaveLength(files.length);
  });

  it("shows code whose types are right", async () => {
    expect(await place.typeErrors(files.map(({ code }) => code))).toBe("");
  });

  it("shows tests that pass", () => {
    const root = dirname(paths[0]!);
    place.file("vitest.config.mjs", "export default {};\n");
    const vitest = join(ROOT, "node_modules/vitest/vitest.mjs");
    const tests = files.filter(({ name }) => name.endsWith(".test.ts"));
    const { stdout, stderr, status } = spawnSync(
      process.execPath,
      [vitest, "run", "--root", root, "--reporter=json", "--maxWorkers=1", "--no-isolate"],
      { encoding: "utf8" },
    );
    expect({ status, stderr, stdout }).toMatchObject({ status: 0, stderr: "" });
    expect((JSON.parse(stdout) as { testResults: unknown[] }).testResults).toHaveLength(tests.length);
  });
});
