import { describe, expect, it } from "vitest";
import { slotOf } from "./slot.ts";

describe("slotOf", () => {
  // The specification of Redis Cluster gives this value as an example of its CRC16.
  it("computes the CRC16 of the specification", () => {
    expect(slotOf("123456789")).toBe(0x31c3);
  });

  it("hashes only the text between the first braces, unless that is empty", () => {
    expect(slotOf("{123456789}other")).toBe(0x31c3);
    expect(slotOf("some{123456789}{other}")).toBe(0x31c3);
    expect(slotOf("a{}{123456789}")).not.toBe(0x31c3);
    expect(slotOf("{123456789")).not.toBe(0x31c3);
  });

  it("hashes bytes, not characters", () => {
    expect(slotOf("é")).not.toBe(slotOf("e"));
    expect(slotOf("")).toBe(0);
  });
});
