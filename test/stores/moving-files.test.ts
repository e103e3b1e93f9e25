import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { moveUnderLoad } from "../support/moving-load.ts";

let directory: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "sojourn-moving-"));
});

afterEach(() => {
  rmSync(directory, { recursive: true, force: true });
});

describe("copySessions, of an application that is serving", () => {
  it("loses no update, undoes no sign-out and signs nobody out, although it is killed and run again", async () => {
    const from = `file:${join(directory, "old")}`;
    const to = `file:${join(directory, "new")}`;
    // Who is killed while it creates a file keeps others from creating that session for ten seconds.
    const { did, kills, copied, ...wrong } = await moveUnderLoad({ from, to, killed: "between calls" });
    expect(wrong).toEqual({
      lostUpdates: 0,
      resurrected: 0,
      innocents: 0,
      shortened: 0,
      mistaken: 0,
      errors: [],
    });
    expect(kills).toBe(4);
    expect(copied).toBeGreaterThan(20);
    expect(Object.keys(did).toSorted()).toEqual(["count", "look", "revokeAll", "signIn", "signOut"]);
  }, 180_000);
});
