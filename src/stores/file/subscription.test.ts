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
  const lookOn = () => vi.advanceTimersByTimeAsync(200);

  /** A process that listens. */
  function listening() {
    const heard: string[] = [];
    const states: boolean[] = [];
    const feed = fileSubscription(directory);
    const end = feed.subscribe({ ended: (id) => heard.push(id), listening: (is) => states.push(is) });
    return { heard, states, end, feed };
  }

  it("tells of what ends in another process, once, over turns of the minute", async () => {
    const other = fileSubscription(directory);
    other.tell("before");
    const { heard, states } = listening();
    for (let minute = 0; minute < 4; minute += 1) {
      other.tell(`early-${minute}`);
      await vi.advanceTimersByTimeAsync(MINUTE - 50);
      other.tell(`late-${minute}`);
      await vi.advanceTimersByTimeAsync(50);
    }
    await lookOn();
    expect(heard).toEqual([0, 1, 2, 3].flatMap((minute) => [`early-${minute}`, `late-${minute}`]));
    expect(states).toEqual([true]);
    expect(readdirSync(join(directory, "ended")).length).toBeLessThanOrEqual(2);
  });

  it("says that it may have missed something when it has not looked for longer than news are kept", async () => {
    const other = fileSubscription(directory);
    const { heard, states } = listening();
    await lookOn();
    // Stopped, or asleep: others go on, and clear away what it has not read.
    for (let minute = 0; minute < 3; minute += 1) {
      other.tell(`missed-${minute}`);
      vi.setSystemTime(Date.now() + MINUTE);
    }
    other.tell("last");
    await lookOn();
    expect(states).toEqual([true, false, true]);
    expect(heard).toContain("last");
    expect(heard).not.toContain("missed-0");
  });

  it.each([
    ["ahead", 60 * MINUTE],
    ["back", -60 * MINUTE],
  ])("hears what was told before the clock was set %s, and says that it may have missed something", async (_, by) => {
    const other = fileSubscription(directory);
    const { heard, states } = listening();
    other.tell("before");
    vi.setSystemTime(Date.now() + by);
    await lookOn();
    other.tell("after");
    await lookOn();
    expect(heard).toEqual(["before", "after"]);
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
      other.tell("earlier");
      const { heard, states, end } = listening();
      trouble();
      await lookOn();
      expect(states).toEqual([true, false, true]);
      other.tell("later");
      await lookOn();
      expect(heard).toEqual(["later"]);
      end();
    }
  });

  it("says that it can't hear while it can't read, and tells then what it finds", async () => {
    const other = fileSubscription(directory);
    mkdirSync(fileNow(), { recursive: true });
    const { heard, states } = listening();
    await lookOn();
    expect(states).toEqual([false]);
    rmSync(fileNow(), { recursive: true });
    other.tell("later");
    await lookOn();
    expect(states).toEqual([false, true]);
    expect(heard).toEqual(["later"]);
  });

  it("tells what could not be written as soon as it can be", async () => {
    const { heard, feed } = listening();
    writeFileSync(join(directory, "ended"), "no folder");
    feed.tell("first");
    feed.tell("second");
    rmSync(join(directory, "ended"));
    await vi.advanceTimersByTimeAsync(1500);
    expect(heard).toEqual(["first", "second"]);
  });

  it("hears what comes after a line that a full disk has cut off, or a writer that died", async () => {
    const other = fileSubscription(directory);
    const { heard } = listening();
    other.tell("first");
    appendFileSync(fileNow(), '"tor');
    other.tell("second");
    await lookOn();
    expect(heard).toEqual(["first", "second"]);
  });
});
