import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { createKeyring } from "../record/keyring.ts";

const sojourn = (...args: string[]) =>
  spawnSync(process.execPath, ["--import", "tsx", fileURLToPath(new URL("sojourn.ts", import.meta.url)), ...args], {
    encoding: "utf8",
  });

describe("npx sojourn", () => {
  it("prints a new key of 256 bits each time, which the keyring accepts", () => {
    const keys = [sojourn("keygen"), sojourn("keygen")].map((run) => run.stdout.trim());
    expect(new Set(keys).size).toBe(2);
    for (const key of keys) {
      expect(key).toMatch(/^[\w-]{43}$/);
      expect(createKeyring(key, "session").sign("text")).toHaveLength(32);
    }
  });

  it("prints its usage, and fails for an unknown command", () => {
    expect(sojourn("--help")).toMatchObject({ status: 0, stdout: expect.stringContaining("keygen") as string });
    expect(sojourn()).toMatchObject({ status: 2, stderr: expect.stringContaining("Usage") as string });
    expect(sojourn("frobnicate")).toMatchObject({ status: 2, stderr: expect.stringContaining("frobnicate") as string });
  });
});
