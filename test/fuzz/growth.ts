import assert from "node:assert/strict";
import * as fc from "fast-check";
import { target, type Target } from "./target.ts";

const SMALL = 4096;
const FACTOR = 16;
/** Of a linear function about 1, of a quadratic one about 16. */
const MOST = 6;
/** Other processes can only make a measurement worse: one that is good is enough. */
const ATTEMPTS = 12;

interface Pump {
  readonly before: string;
  readonly unit: string;
  readonly after: string;
}

/**
 * Checks that a function's work grows no faster than its input: sixteen calls with a text must take about as long as one call
 * with a text sixteen times as long. Texts are a piece that comes again and again, between two others.
 *
 * @param pieces - what texts are made of.
 */
export function growth(
  name: string,
  pieces: readonly string[],
  call: (text: string) => unknown,
  wrap: (text: string) => string = (text) => text,
): Target {
  const piece = fc.array(fc.constantFrom(...pieces), { maxLength: 3 }).map((parts) => parts.join(""));
  const inputs: fc.Arbitrary<Pump> = fc.record({ before: piece, unit: piece, after: piece });
  return target({
    name: `${name}: growth`,
    runs: 12,
    inputs,
    check({ before, unit, after }) {
      if (unit === "") return;
      const textOf = (length: number) => flat(wrap(before + unit.repeat(Math.ceil(length / unit.length)) + after));
      const [small, large] = [textOf(SMALL), textOf(SMALL * FACTOR)];
      let ratio = Infinity;
      for (let attempt = 0; attempt < ATTEMPTS && ratio > MOST; attempt += 1) {
        const few = timeOf(() => {
          for (let i = 0; i < FACTOR; i += 1) attempted(call, small);
        });
        ratio = Math.min(ratio, timeOf(() => attempted(call, large)) / few);
      }
      assert.ok(ratio <= MOST, `${FACTOR} times the text takes ${Math.round(ratio * FACTOR)} times as long`);
    },
  });
}

function timeOf(work: () => void): number {
  const began = performance.now();
  work();
  return performance.now() - began;
}

function attempted(call: (text: string) => unknown, text: string): void {
  try {
    call(text);
  } catch {
    // Refusing takes its time too; whether it is right is for other targets.
  }
}

/** One piece of memory: V8 joins the pieces of a text when it is first looked at. */
const flat = (text: string): string => Buffer.from(text, "utf16le").toString("utf16le");
