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

describe("fileSubscription", () => {
  let directory: string;
  beforeEach(() => {
    vi.useFakeTimers({ now: START });
    directory = mkdtempSync(join(tmpdir(), "sojourn-subscription-"));
  });
  afterEach(() => {
    vi.useRealTimers();
    rmSync(directory, { recursive: true, force: true });
  });

  const fileNow = () => join(directory, "ended", `${Math.floor(Date.now() / MINUTE)}`);
  const poll = () => vi.advanceTimersByTimeAsync(200);

  /** Subscribes as another process would, and collects its notifications. */
  function subscribe() {
    const endedIds: string[] = [];
    const states: boolean[] = [];
    const subscription = fileSubscription(directory);
    const unsubscribe = subscription.subscribe({
      ended: (id) => endedIds.push(id),
      listening: (is) => states.push(is),
    });
    return { endedIds, states, unsubscribe, subscription };
  }

  it("notifies once of each session that another process ends, across changes of the file", async () => {
    const other = fileSubscription(directory);
    other.notifyEnded("before");
    const { endedIds, states } = subscribe();
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

  it("reports possibly missed notifications if it has not polled for longer than they are kept", async () => {
    const other = fileSubscription(directory);
    const { endedIds, states } = subscribe();
    await poll();
    // As if the process was suspended: another process writes, and deletes files that this one has not read.
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
  ])("receives notifications from before the clock was set %s, and reports possibly missed ones", async (_, by) => {
    const other = fileSubscription(directory);
    const { endedIds, states } = subscribe();
    other.notifyEnded("before");
    vi.setSystemTime(Date.now() + by);
    await poll();
    other.notifyEnded("after");
    await poll();
    expect(endedIds).toEqual(["before", "after"]);
    expect(states).toEqual([true, false, true]);
  });

  it("reports possibly missed notifications if the file is truncated, replaced or deleted", async () => {
    for (const damage of [
      () => truncateSync(fileNow(), 0),
      () => {
        writeFileSync(`${fileNow()}.new`, "");
        renameSync(`${fileNow()}.new`, fileNow());
      },
      () => rmSync(join(directory, "ended"), { recursive: true }),
    ]) {
      const other = fileSubscription(directory);
      other.notifyEnded("earlier");
      const { endedIds, states, unsubscribe } = subscribe();
      damage();
      await poll();
      expect(states).toEqual([true, false, true]);
      other.notifyEnded("later");
      await poll();
      expect(endedIds).toEqual(["later"]);
      unsubscribe();
    }
  });

  it("reports that it can't listen while it can't read the file, and then notifies of the sessions in it", async () => {
    const other = fileSubscription(directory);
    mkdirSync(fileNow(), { recursive: true });
    const { endedIds, states } = subscribe();
    await poll();
    expect(states).toEqual([false]);
    rmSync(fileNow(), { recursive: true });
    other.notifyEnded("later");
    await poll();
    expect(states).toEqual([false, true]);
    expect(endedIds).toEqual(["later"]);
  });

  it("notifies later if the notification could not be written at first", async () => {
    const { endedIds, subscription } = subscribe();
    writeFileSync(join(directory, "ended"), "no folder");
    subscription.notifyEnded("first");
    subscription.notifyEnded("second");
    rmSync(join(directory, "ended"));
    await vi.advanceTimersByTimeAsync(1500);
    expect(endedIds).toEqual(["first", "second"]);
  });

  it("reads the notifications after an incomplete line", async () => {
    const other = fileSubscription(directory);
    const { endedIds } = subscribe();
    other.notifyEnded("first");
    appendFileSync(fileNow(), '"tor');
    other.notifyEnded("second");
    await poll();
    expect(endedIds).toEqual(["first", "second"]);
  });
});
