import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { provideServers } from "../../scripts/servers.mjs";

const kettle = { name: "Kettle", commands: ["kettle", "teapot"], aptPackages: ["kettle"], env: "KETTLE_PATH" };

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "sojourn-servers-test-"));
});
afterEach(() => {
  rmSync(folder, { recursive: true, force: true });
});

function program(name: string, exitCode = 0): string {
  const path = join(folder, name);
  writeFileSync(path, `#!/bin/sh\nexit ${exitCode}\n`);
  chmodSync(path, 0o755);
  return path;
}

function provide(env: Record<string, string | undefined>, install: () => boolean = refuse) {
  return provideServers([kettle], { env, install });
}

function refuse(): never {
  throw new Error("nothing was to be installed");
}

// Windows runs no such programs.
describe.skipIf(process.platform === "win32")("provideServers", () => {
  it("takes the path that the environment names", () => {
    const env = { KETTLE_PATH: program("mine"), PATH: folder };
    program("kettle");
    expect(provide(env)).toEqual([]);
    expect(env.KETTLE_PATH).toBe(join(folder, "mine"));
  });

  it("finds a command on the PATH and exports where it is", () => {
    const env: Record<string, string> = { PATH: folder };
    const path = program("teapot");
    expect(provide(env)).toEqual([]);
    expect(env.KETTLE_PATH).toBe(path);
  });

  it("passes over a command that does not run", () => {
    const env: Record<string, string> = { PATH: folder };
    program("kettle", 1);
    const path = program("teapot");
    expect(provide(env)).toEqual([]);
    expect(env.KETTLE_PATH).toBe(path);
  });

  it("installs what is missing and finds it afterwards", () => {
    const env: Record<string, string> = { PATH: folder };
    const missing = provide(env, () => {
      program("kettle");
      return true;
    });
    expect(missing).toEqual([]);
    expect(env.KETTLE_PATH).toBe(join(folder, "kettle"));
  });

  it("says what could not be had", () => {
    expect(provide({ PATH: folder }, () => false)).toEqual([kettle]);
  });
});
