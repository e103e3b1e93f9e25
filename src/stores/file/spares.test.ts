import { describe, expect, it } from "vitest";
import { createSpares } from "./spares.ts";

const file = (key: string) => ({ key, fileId: `${key}-0` });

describe("createSpares", () => {
  it("returns the session's own spare, once", () => {
    const spares = createSpares(3);
    for (const key of ["a", "b"]) expect(spares.keep(file(key))).toBeUndefined();
    expect(spares.take("b")).toEqual(file("b"));
    expect(spares.take("b")).toBeUndefined();
  });

  it("returns the oldest spare of another session if it has as many as it may keep", () => {
    const spares = createSpares(2);
    for (const key of ["a", "b"]) spares.keep(file(key));
    expect(spares.take("c")).toEqual(file("a"));
    expect(spares.take("c")).toBeUndefined();
  });

  it("gives back what it does not keep: the oldest one, or the same session's", () => {
    const spares = createSpares(2);
    for (const key of ["a", "b"]) spares.keep(file(key));
    expect(spares.keep({ key: "b", fileId: "b-1" })).toEqual(file("b"));
    expect(spares.keep(file("c"))).toEqual(file("a"));
  });

  it("forgets the spare of a session that has ended", () => {
    const spares = createSpares(2);
    spares.keep(file("a"));
    expect(spares.forget("a")).toEqual(file("a"));
    expect(spares.take("a")).toBeUndefined();
  });
});
