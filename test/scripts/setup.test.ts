import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { checkNode, ensureBuilt, isBuilt, isInstalled, ROOT, SetupError } from "../../scripts/setup.mjs";

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "sojourn-setup-test-"));
  vi.spyOn(console, "log").mockReturnValue();
});
afterEach(() => {
  rmSync(root, { recursive: true, force: true });
  vi.restoreAllMocks();
});

function write(path: string, content: unknown): void {
  const file = join(root, path);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, typeof content === "string" ? content : JSON.stringify(content));
}

function compiled(): string {
  return readFileSync(join(root, "dist/index.js"), "utf8");
}

describe("checkNode", () => {
  it.each(["20.19.0", "20.20.2", "22.0.0", "24.1.0"])("accepts Node %s", (version) => {
    expect(() => checkNode(version)).not.toThrow();
  });

  it.each(["18.20.8", "20.18.3"])("refuses Node %s and says what is needed", (version) => {
    expect(() => checkNode(version)).toThrow(`Sojourn needs Node 20.19 or later; this is ${version}.`);
  });
});

describe("isInstalled", () => {
  const tea = { version: "1.0.0", integrity: "sha512-tea" };
  const milk = { version: "2.0.0", integrity: "sha512-milk" };
  const forOtherPlatforms = { version: "3.0.0", integrity: "sha512-ice", optional: true };

  beforeEach(() => {
    write("package.json", { devDependencies: { tea: "^1.0.0" } });
    write("package-lock.json", {
      packages: { "": {}, "node_modules/tea": tea, "node_modules/milk": milk, "node_modules/ice": forOtherPlatforms },
    });
    write("node_modules/tea/package.json", {});
    write("node_modules/milk/package.json", {});
    write("node_modules/.package-lock.json", { packages: { "node_modules/tea": tea, "node_modules/milk": milk } });
  });

  it("is true after a whole install, whatever is optional", () => {
    expect(isInstalled(root)).toBe(true);
  });

  it("notices that nothing was ever installed", () => {
    rmSync(join(root, "node_modules"), { recursive: true });
    expect(isInstalled(root)).toBe(false);
  });

  it("notices an install that was broken off before npm wrote its account", () => {
    rmSync(join(root, "node_modules/.package-lock.json"));
    expect(isInstalled(root)).toBe(false);
  });

  it("notices an account that was broken off while it was written", () => {
    write("node_modules/.package-lock.json", '{ "packages": { "node_mod');
    expect(isInstalled(root)).toBe(false);
  });

  it("notices a package whose folder is gone", () => {
    rmSync(join(root, "node_modules/milk"), { recursive: true });
    expect(isInstalled(root)).toBe(false);
  });

  it("notices that the lock file asks for another version since", () => {
    write("package-lock.json", { packages: { "node_modules/tea": { ...tea, version: "1.0.1" } } });
    expect(isInstalled(root)).toBe(false);
  });

  it("notices that the lock file asks for one package more since", () => {
    const honey = { version: "1.0.0", integrity: "sha512-honey" };
    write("package-lock.json", { packages: { "node_modules/tea": tea, "node_modules/honey": honey } });
    expect(isInstalled(root)).toBe(false);
  });

  it("goes by package.json where there is no lock file", () => {
    rmSync(join(root, "package-lock.json"));
    expect(isInstalled(root)).toBe(true);
    write("package.json", { devDependencies: { tea: "^1.0.0", honey: "^1.0.0" } });
    expect(isInstalled(root)).toBe(false);
  });
});

describe("ensureBuilt", () => {
  beforeEach(() => {
    mkdirSync(join(root, "node_modules"));
    symlinkSync(join(ROOT, "node_modules/typescript"), join(root, "node_modules/typescript"), "junction");
    const compilerOptions = {
      module: "NodeNext",
      strict: true,
      types: [],
      lib: ["ES5"],
      skipLibCheck: true,
      rootDir: "src",
      outDir: "dist",
    };
    write("package.json", { type: "module" });
    write("tsconfig.build.json", { compilerOptions, include: ["src"], exclude: ["src/**/*.test.ts"] });
    write("src/index.ts", "export const answer: number = 1;\n");
  });

  it("builds once, and again only after a source has changed", () => {
    expect(isBuilt(root)).toBe(false);
    ensureBuilt(root);
    expect(isBuilt(root)).toBe(true);
    expect(compiled()).toContain("answer = 1");

    write("src/index.ts", "export const answer: number = 2;\n");
    expect(isBuilt(root)).toBe(false);
    ensureBuilt(root);
    expect(compiled()).toContain("answer = 2");
  });

  it("has nothing to do again if a source only declares types", () => {
    write("src/types.d.ts", "export type Answer = number;\n");
    ensureBuilt(root);
    expect(isBuilt(root)).toBe(true);
  });

  it("leaves nothing in dist whose source is gone", () => {
    write("src/old.ts", "export {};\n");
    ensureBuilt(root);
    rmSync(join(root, "src/old.ts"));
    ensureBuilt(root);
    expect(() => readFileSync(join(root, "dist/old.js"))).toThrow("ENOENT");
  });

  it("repairs a dist of which a file is missing", () => {
    ensureBuilt(root);
    rmSync(join(root, "dist/index.js"));
    ensureBuilt(root);
    expect(compiled()).toContain("answer = 1");
  });

  it("does not take a failed build for a build", () => {
    write("src/index.ts", 'export const answer: number = "one";\n');
    expect(() => ensureBuilt(root)).toThrow(SetupError);
    expect(isBuilt(root)).toBe(false);
  });

  it("builds once for two processes at once", async () => {
    const setup = JSON.stringify(new URL("../../scripts/setup.mjs", import.meta.url));
    const script = `import { ensureBuilt } from ${setup}; ensureBuilt(${JSON.stringify(root)});`;
    const both = await Promise.all([runNode(script), runNode(script)]);
    expect(both.map(({ code }) => code)).toEqual([0, 0]);
    expect(both.filter(({ output }) => output.includes("Building"))).toHaveLength(1);
    expect(compiled()).toContain("answer = 1");
  });
});

async function runNode(script: string): Promise<{ code: number; output: string }> {
  const child = spawn(process.execPath, ["--input-type=module", "-e", script]);
  let output = "";
  child.stdout.on("data", (chunk) => (output += String(chunk)));
  child.stderr.on("data", (chunk) => (output += String(chunk)));
  const [code] = await once(child, "close");
  return { code: Number(code), output };
}
