import { describe, expect, it } from "vitest";
import { slotGroupOf, slotGroupTags, slotOf } from "./slots.ts";

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

describe("slotGroupTags", () => {
  it("gives a hash tag in each of 256 groups", () => {
    const tags = slotGroupTags();
    expect(tags).toHaveLength(256);
    for (const [group, tag] of tags.entries()) expect(Math.floor(slotOf(`{${tag}}`) / 64)).toBe(group);
  });

  it("gives the same tags in every version of Sojourn, because processes use them to find each other's channels", () => {
    expect(slotGroupTags().slice(0, 8)).toEqual(["460", "14", "278", "10", "274", "100", "270", "18"]);
  });
});

describe("slotGroupOf", () => {
  it("is the same for neighbouring slots", () => {
    expect(slotGroupOf("123456789")).toBe(0x31c3 >> 6);
    expect(slotGroupOf("")).toBe(0);
  });
});
