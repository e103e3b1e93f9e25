import { vi } from "vitest";

/**
 * To be given to `beforeEach`, or its result to `onTestFinished`.
 *
 * Timers and `performance` of this test follow a clock that jumps to the next timer as soon as nothing else is to be
 * done: a timeout takes no time, and none comes because the machine is busy. Timers of `node:timers/promises` and of
 * sockets are the real ones.
 */
export function jumpingClock(): () => void {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
  vi.setTimerTickMode("nextTimerAsync");
  return () => void vi.useRealTimers();
}
