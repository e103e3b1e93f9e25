import { describe, expect, it } from "vitest";
import { EMPTY, Journal } from "./journal.ts";

const LIMITS = { bytes: 1000, depth: 32 };

class Document {
  readonly name = "ada";
  toJSON() {
    return { id: 17 };
  }
}

describe("a journal of values as JSON has them", () => {
  it("puts in place of each other value the one that JSON makes of it", () => {
    const journal = new Journal(EMPTY, { ...LIMITS, asJson: true });
    Object.assign(journal.data, { doc: new Document(), at: new Date(0), none: undefined, run() {}, text: "kept" });
    expect(journal.content().data).toBe('{"doc":{"id":17},"at":"1970-01-01T00:00:00.000Z","text":"kept"}');
    expect(journal.data).toEqual({ doc: { id: 17 }, at: "1970-01-01T00:00:00.000Z", text: "kept" });
  });

  it("leaves the objects that JSON keeps as they are", () => {
    const journal = new Journal(EMPTY, { ...LIMITS, asJson: true });
    const list = [{ a: 1 }];
    journal.data["list"] = list;
    journal.content();
    expect(journal.data["list"]).toBe(list);
  });

  it("refuses a cycle, and data over the limits", () => {
    const journal = new Journal(EMPTY, { ...LIMITS, asJson: true });
    const cycle: Record<string, unknown> = {};
    journal.data["cycle"] = cycle["self"] = cycle;
    expect(() => journal.content()).toThrow(TypeError);
    journal.data["cycle"] = "x".repeat(1001);
    expect(() => journal.content()).toThrow("limits.bytes");
  });
});
