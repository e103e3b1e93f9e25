import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { fileFeed } from "./file-feed.ts";

const MINUTE = 60_000;
let directory: string;

beforeEach(() => {
  vi.useFakeTimers();
  vi.setSystemTime(1_800_000_000_000);
  directory = mkdtempSync(join(tmpdir(), "sojourn-test-"));
});
afterEach(() => {
  vi.useRealTimers();
  rmSync(directory, { recursive: true, force: true });
});

/** Two processes that share a directory, one of which listens. */
function processes() {
  const heard: (string | boolean)[] = [];
  const [here, there] = [fileFeed(directory), fileFeed(directory)];
  here.subscribe({ ended: (id) => void heard.push(id), listening: (is) => void heard.push(is) });
  return { heard, tell: there.tell, look: () => vi.advanceTimersByTime(100) };
}

describe("fileFeed", () => {
  it("hears what was told just before a minute ended, once, and goes on listening", () => {
    const { heard, tell, look } = processes();
    tell("a");
    vi.setSystemTime(Date.now() + MINUTE);
    look();
    tell("b");
    look();
    look();
    expect(heard).toEqual([true, "a", "b"]);
  });

  it.each([
    ["ahead", 60 * MINUTE],
    ["back", -60 * MINUTE],
  ])("hears what was told before the clock was set %s, and says that it may have missed something", (_, by) => {
    const { heard, tell, look } = processes();
    tell("a");
    look();
    tell("b");
    vi.setSystemTime(Date.now() + by);
    look();
    tell("c");
    look();
    expect(heard).toEqual([true, "a", "b", false, true, "c"]);
  });
});
