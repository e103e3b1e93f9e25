import {
  appendFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { fileSubscription } from "./subscription.ts";

const MINUTE = 60_000;
const START = 1_000_000 * MINUTE;

describe("fileFeed", () => {
  let directory: string;
  beforeEach(() => {
    vi.useFakeTimers({ now: START });
    directory = mkdtempSync(join(tmpdir(), "sojourn-feed-"));
  });
  afterEach(() => {
    vi.useRealTimers();
    rmSync(directory, { recursive: true, force: true });
  });

  const fileNow = () => join(directory, "ended", `${Math.floor(Date.now() / MINUTE)}`);
  const poll = () => vi.advanceTimersByTimeAsync(200);

  /** A process that listens. */
  function listening() {
    const endedIds: string[] = [];
    const states: boolean[] = [];
    const subscription = fileSubscription(directory);
    const end = subscription.subscribe({ ended: (id) => endedIds.push(id), listening: (is) => states.push(is) });
    return { endedIds, states, end, subscription };
  }

  it("tells of what ends in another process, once, over turns of the minute", async () => {
    const other = fileSubscription(directory);
    other.notifyEnded("before");
    const { endedIds, states } = listening();
    for (let minute = 0; minute < 4; minute += 1) {
      other.notifyEnded(`early-${minute}`);
      await vi.advanceTimersByTimeAsync(MINUTE - 50);
      other.notifyEnded(`late-${minute}`);
      await vi.advanceTimersByTimeAsync(50);
    }
    await poll();
    expect(endedIds).toEqual([0, 1, 2, 3].flatMap((minute) => [`early-${minute}`, `late-${minute}`]));
    expect(states).toEqual([true]);
    expect(readdirSync(join(directory, "ended")).length).toBeLessThanOrEqual(2);
  });

  it("says that it may have missed something when it has not polled for longer than notifications are kept", async () => {
    const other = fileSubscription(directory);
    const { endedIds, states } = listening();
    await poll();
    // Stopped, or asleep: others go on, and clear away what it has not read.
    for (let minute = 0; minute < 3; minute += 1) {
      other.notifyEnded(`missed-${minute}`);
      vi.setSystemTime(Date.now() + MINUTE);
    }
    other.notifyEnded("last");
    await poll();
    expect(states).toEqual([true, false, true]);
    expect(endedIds).toContain("last");
    expect(endedIds).not.toContain("missed-0");
  });

  it.each([
    ["ahead", 60 * MINUTE],
    ["back", -60 * MINUTE],
  ])("hears what was told before the clock was set %s, and says that it may have missed something", async (_, by) => {
    const other = fileSubscription(directory);
    const { endedIds, states } = listening();
    other.notifyEnded("before");
    vi.setSystemTime(Date.now() + by);
    await poll();
    other.notifyEnded("after");
    await poll();
    expect(endedIds).toEqual(["before", "after"]);
    expect(states).toEqual([true, false, true]);
  });

  it("says so when what it reads is cut short, replaced or gone", async () => {
    for (const trouble of [
      () => truncateSync(fileNow(), 0),
      () => {
        writeFileSync(`${fileNow()}.new`, "");
        renameSync(`${fileNow()}.new`, fileNow());
      },
      () => rmSync(join(directory, "ended"), { recursive: true }),
    ]) {
      const other = fileSubscription(directory);
      other.notifyEnded("earlier");
      const { endedIds, states, end } = listening();
      trouble();
      await poll();
      expect(states).toEqual([true, false, true]);
      other.notifyEnded("later");
      await poll();
      expect(endedIds).toEqual(["later"]);
      end();
    }
  });

  it("says that it can't hear while it can't read, and tells then what it finds", async () => {
    const other = fileSubscription(directory);
    mkdirSync(fileNow(), { recursive: true });
    const { endedIds, states } = listening();
    await poll();
    expect(states).toEqual([false]);
    rmSync(fileNow(), { recursive: true });
    other.notifyEnded("later");
    await poll();
    expect(states).toEqual([false, true]);
    expect(endedIds).toEqual(["later"]);
  });

  it("tells what could not be written as soon as it can be", async () => {
    const { endedIds, subscription } = listening();
    writeFileSync(join(directory, "ended"), "no folder");
    subscription.notifyEnded("first");
    subscription.notifyEnded("second");
    rmSync(join(directory, "ended"));
    await vi.advanceTimersByTimeAsync(1500);
    expect(endedIds).toEqual(["first", "second"]);
  });

  it("hears what comes after a line that a full disk has cut off, or a writer that died", async () => {
    const other = fileSubscription(directory);
    const { endedIds } = listening();
    other.notifyEnded("first");
    appendFileSync(fileNow(), '"tor');
    other.notifyEnded("second");
    await poll();
    expect(endedIds).toEqual(["first", "second"]);
  });
});
