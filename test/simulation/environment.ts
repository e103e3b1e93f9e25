import crypto from "node:crypto";
import { syncBuiltinESMExports } from "node:module";
import { seededRandom } from "../support/random.ts";
import { as, currentActor, START, Timeline } from "./virtual-time.ts";

/** Sources of time and randomness that go by a timeline. */
export interface Environment {
  /** From now on it is this timeline, and randomness begins anew. */
  begin(timeline: Timeline): void;
  restore(): void;
}

/**
 * Replaces every source of time and randomness that the library has: timers, `performance`, `Date`, `hrtime`, `Math.random`
 * and `node:crypto`. The keys that are derived from the secret key are computed once: that takes long, and schedules
 * share it.
 */
export function replaceEnvironment(): Environment {
  let timeline = new Timeline();
  let random = seededRandom(1);
  let bytes = seededRandom(2);
  const real = {
    setTimeout: globalThis.setTimeout,
    clearTimeout: globalThis.clearTimeout,
    now: Date.now,
    random: Math.random,
    hrtime: process.hrtime.bigint,
    fill: crypto.randomFillSync,
    hkdf: crypto.hkdfSync,
  };
  const derived = new Map<string, ArrayBuffer>();

  globalThis.setTimeout = ((run: (...args: unknown[]) => void, delay = 0, ...args: unknown[]) => {
    const actor = currentActor();
    const cancel = timeline.after(delay, () => (actor ? as(actor, () => run(...args)) : run(...args)));
    return new Timer(cancel);
  }) as unknown as typeof setTimeout;
  globalThis.clearTimeout = (timer?: unknown) => {
    if (timer instanceof Timer) timer.cancel();
  };
  Object.defineProperty(performance, "now", { value: () => timeline.now, configurable: true });
  Date.now = () => Math.floor(START + timeline.now);
  Math.random = () => random();
  process.hrtime.bigint = () => BigInt(Math.floor(timeline.now * 1e6));
  crypto.randomFillSync = ((buffer: Uint8Array, from = 0, size = buffer.length - from) => {
    for (let at = from; at < from + size; at++) buffer[at] = bytes() * 256;
    return buffer;
  }) as typeof crypto.randomFillSync;
  crypto.hkdfSync = (...args: Parameters<typeof crypto.hkdfSync>) => {
    const name = args
      .map((arg) => (typeof arg === "object" ? Buffer.from(arg as Uint8Array).toString("hex") : arg))
      .join();
    const known = derived.get(name) ?? real.hkdf(...args);
    derived.set(name, known);
    return known.slice(0);
  };
  syncBuiltinESMExports();

  const restore = () => {
    globalThis.setTimeout = real.setTimeout;
    globalThis.clearTimeout = real.clearTimeout;
    Reflect.deleteProperty(performance, "now");
    Date.now = real.now;
    Math.random = real.random;
    process.hrtime.bigint = real.hrtime;
    crypto.randomFillSync = real.fill;
    crypto.hkdfSync = real.hkdf;
    syncBuiltinESMExports();
  };
  return {
    begin(next) {
      timeline = next;
      random = seededRandom(1);
      bytes = seededRandom(2);
    },
    restore,
  };
}

/** What `setTimeout` gives under virtual time. */
class Timer {
  readonly cancel: () => void;

  constructor(cancel: () => void) {
    this.cancel = cancel;
  }

  unref(): this {
    return this;
  }

  ref(): this {
    return this;
  }
}
