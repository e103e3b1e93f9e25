import { describe, expect, it } from "vitest";
import { slotOf } from "./slot.ts";

describe("slotOf", () => {
  // The value that the specification of Redis Cluster gives for its CRC16.
  it("follows the specification", () => {
    expect(slotOf("123456789")).toBe(0x31c3);
  });

  it("looks at what is between the first braces, if anything is", () => {
    expect(slotOf("{123456789}other")).toBe(0x31c3);
    expect(slotOf("some{123456789}{other}")).toBe(0x31c3);
    expect(slotOf("a{}{123456789}")).not.toBe(0x31c3);
    expect(slotOf("{123456789")).not.toBe(0x31c3);
  });

  it("counts bytes, not characters", () => {
    expect(slotOf("é")).not.toBe(slotOf("e"));
    expect(slotOf("")).toBe(0);
  });
});
