import { describe, expect, it } from "vitest";
import { slotGroupOf, slotGroupTags } from "./slot-groups.ts";
import { slotOf } from "./slot.ts";

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
