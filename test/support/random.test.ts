import { describe, expect, it } from "vitest";
import { seededRandom } from "./random.ts";

function draw(seed: number, count: number): number[] {
  return Array.from({ length: count }, seededRandom(seed));
}

describe("seededRandom", () => {
  it("repeats itself for the same seed, and only for the same", () => {
    expect(draw(7, 100)).toEqual(draw(7, 100));
    expect(draw(7, 100)).not.toEqual(draw(8, 100));
  });

  it("spreads evenly over [0, 1)", () => {
    const tenths = Array.from({ length: 10 }, () => 0);
    for (const value of draw(1, 10_000)) tenths[Math.floor(value * 10)]! += 1;
    expect(tenths).toHaveLength(10);
    for (const count of tenths) expect(Math.abs(count - 1000)).toBeLessThan(150);
  });
});
