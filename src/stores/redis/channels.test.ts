import { describe, expect, it } from "vitest";
import { groupOf, groupTags } from "./channels.ts";
import { slotOf } from "./slot.ts";

describe("groupTags", () => {
  it("names a slot of each of 256 groups", () => {
    const tags = groupTags();
    expect(tags).toHaveLength(256);
    for (const [group, tag] of tags.entries()) expect(Math.floor(slotOf(`{${tag}}`) / 64)).toBe(group);
  });

  it("names the same in every version of Sojourn, or processes would not hear each other", () => {
    expect(groupTags().slice(0, 8)).toEqual(["460", "14", "278", "10", "274", "100", "270", "18"]);
  });
});

describe("groupOf", () => {
  it("is the same for slots that follow each other", () => {
    expect(groupOf("123456789")).toBe(0x31c3 >> 6);
    expect(groupOf("")).toBe(0);
  });
});
