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

describe("copySessions, while the application runs", () => {
  it("loses no update, undoes no sign-out and signs nobody out, although it is killed and run again", async () => {
    const from = `file:${join(directory, "old")}`;
    const to = `file:${join(directory, "new")}`;
    // If a process is killed while it creates a session, no other process can create that session for ten seconds.
    const { requests, kills, copied, ...broken } = await moveUnderLoad({ from, to, killed: "between calls" });
    expect(broken).toEqual({
      lostUpdates: 0,
      resurrected: 0,
      signedOut: 0,
      shortened: 0,
      wrongUser: 0,
      errors: [],
    });
    expect(kills).toBe(4);
    expect(copied).toBeGreaterThan(20);
    expect(Object.keys(requests).toSorted()).toEqual(["count", "read", "revokeAll", "signIn", "signOut"]);
  }, 180_000);
});
