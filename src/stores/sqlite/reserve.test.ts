import { existsSync, mkdirSync, mkdtempSync, rmSync, statSync, truncateSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { reserveBeside } from "./reserve.ts";

const MIB = 2 ** 20;

describe("reserveBeside", () => {
  let folder: string;
  beforeEach(() => void (folder = mkdtempSync(join(tmpdir(), "sojourn-reserve-"))));
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  const time = { now: 0 };
  const path = () => join(folder, "sessions.db");
  const reserve = () => reserveBeside(path(), () => time.now);

  it("makes a file of 4 MiB beside the database, and deletes it", () => {
    const kept = reserve();
    kept.release();
    kept.ensure();
    const { size, blocks, ino } = statSync(`${path()}-reserve`);
    expect(size).toBe(4 * MIB);
    expect(512 * blocks).toBeGreaterThanOrEqual(4 * MIB);
    kept.ensure();
    reserve().ensure();
    expect(statSync(`${path()}-reserve`).ino).toBe(ino);
    kept.release();
    expect(existsSync(`${path()}-reserve`)).toBe(false);
    kept.ensure();
    truncateSync(`${path()}-reserve`, MIB);
    kept.ensure();
    expect(statSync(`${path()}-reserve`).size).toBe(4 * MIB);
  });

  it("rejects while the disk has no space for it, tries again after a second, and then succeeds", () => {
    const kept = reserveBeside(join(folder, "later", "sessions.db"), () => time.now);
    expect(() => kept.ensure()).toThrow(/the disk is full: sessions can end/);
    mkdirSync(join(folder, "later"));
    time.now += 999;
    expect(() => kept.ensure()).toThrow(/the disk is full: sessions can end/);
    time.now += 1;
    kept.ensure();
    expect(statSync(join(folder, "later", "sessions.db-reserve")).size).toBe(4 * MIB);
  });
});
