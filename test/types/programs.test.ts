import { mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { ROOT } from "../../scripts/setup.mjs";
import { compile, MODES, PROGRAMS } from "../../scripts/type-programs.mjs";

// An application's folder. It is not in the repository, where others walk through all folders.
const folder = mkdtempSync(join(tmpdir(), "sojourn-programs-"));
mkdirSync(join(folder, "node_modules"));
symlinkSync(ROOT, join(folder, "node_modules/sojourn"), "junction");
for (const name of ["@types", "express", "fastify", "h3", "hono", "koa", "memorystore", "socket.io", "typescript"]) {
  symlinkSync(join(ROOT, "node_modules", name), join(folder, "node_modules", name), "junction");
}

// The same with other types of Node. Links are kept, since the types beside their targets are those of the repository.
const folderOfNode26 = mkdtempSync(join(tmpdir(), "sojourn-programs-"));
mkdirSync(join(folderOfNode26, "node_modules/@types"), { recursive: true });
mkdirSync(join(folderOfNode26, "node_modules/sojourn"));
for (const name of ["dist", "package.json"])
  symlinkSync(join(ROOT, name), join(folderOfNode26, "node_modules/sojourn", name));
for (const name of ["express", "memorystore", "pg-protocol", "pg-types", "typescript"])
  symlinkSync(join(ROOT, "node_modules", name), join(folderOfNode26, "node_modules", name), "junction");
for (const name of readdirSync(join(ROOT, "node_modules/@types"))) {
  const types = join(ROOT, "node_modules", name === "node" ? "types-node26" : `@types/${name}`);
  symlinkSync(types, join(folderOfNode26, "node_modules/@types", name), "junction");
}

afterAll(() => {
  for (const made of [folder, folderOfNode26]) rmSync(made, { recursive: true, force: true });
});

describe("a strict program without skipLibCheck", () => {
  // `npm run package` compiles all programs in all modes, with an older compiler too.
  it.each(Object.entries(MODES))("has SessionData in every framework, and no misspelt key: %s", async (name, mode) => {
    expect(await compile(folder, `declared-${name}`, PROGRAMS.declared, mode)).toBe("");
  });

  // The types of Koa themselves do not compile beside a newer content-disposition, as Express 5 has it.
  it("has SessionData in Koa", async () => {
    expect(await compile(folder, "koa", ["data.ts", "use.ts", "koa.ts"], { ...MODES.esm, skipLibCheck: true })).toBe(
      "",
    );
  });

  it("has SessionData in socket.io", async () => {
    expect(await compile(folder, "socket.io", ["data.ts", "use.ts", "socket-io.ts"], MODES.esm)).toBe("");
  });

  // h3's own types do not compile without those of the runtimes that it knows.
  it("has SessionData in h3", async () => {
    expect(await compile(folder, "h3", ["data.ts", "use.ts", "h3.ts"], { ...MODES.esm, skipLibCheck: true })).toBe("");
  });

  // docs/compatibility.md says what to do.
  it("is refused where it is CommonJS and the mode is from before require could load an ES module", async () => {
    const mode = { ...MODES.node16, type: "commonjs" };
    const errors = await compile(folder, "old-commonjs", ["data.ts", "fetch.ts", "use.ts"], mode);
    expect(errors).toMatch(/^fetch\.ts\(1,\d+\): error TS1479: /m);
  });

  it("needs no types of Node for the core, fetch, Hono and every store but Redis", async () => {
    expect(await compile(folder, "without-node", PROGRAMS.withoutNode, MODES.bundler)).toBe("");
  });

  it("has the types that it gave to createSessions, where it declares none", async () => {
    expect(await compile(folder, "per-instance", PROGRAMS.perInstance, MODES.esm)).toBe("");
  });

  it("may load @types/express-session, and has its data by sessions.of(req)", async () => {
    expect(await compile(folder, "express-session", PROGRAMS.expressSession, MODES.esm)).toBe("");
  });

  it.each([
    ["has the types of sojourn/express-session for the drop-in", PROGRAMS.dropIn],
    ["keeps those of @types/express-session for the drop-in", PROGRAMS.dropInWithKeptTypes],
  ])("%s", async (name, files) => {
    expect(await compile(folder, name.replaceAll(/\W/g, "-"), files, MODES.esm)).toBe("");
    expect(await compile(folder, `commonjs-${name.replaceAll(/\W/g, "-")}`, files, MODES.commonjs)).toBe("");
  });

  it.each([
    ["20", folder],
    ["26", folderOfNode26],
  ])("makes stores by the factories of others, with the types of Node %s", async (version, place) => {
    const mode = { ...MODES.esm, preserveSymlinks: version === "26" };
    expect(await compile(place, "factories", PROGRAMS.dropInWithFactories, mode)).toBe("");
  });

  it("may not declare req.session twice: the compiler names both files", async () => {
    const errors = await compile(folder, "both-declared", ["both-declared.ts"], MODES.esm);
    expect(errors).toMatch(/^[^\n]*(?:express-session\/index|express-types)\.d\.ts[^\n]* TS2717: [^\n]*'session'/);
  });

  it("that declares no key is told by each error how to", async () => {
    const errors = await compile(folder, "undeclared", ["undeclared.ts"], MODES.esm);
    const remedy = String.raw`declare module \\?"sojourn\\?" { interface SessionData { username\?: string } }`;
    const lines = errors.trim().split("\n");
    expect(lines.map((line) => line.split(/[(,]/)[1])).toEqual(["9", "10", "11", "12"]);
    for (const line of lines) expect(line).toMatch(new RegExp(`Declare the keys first: ${remedy}`));
  });
});
