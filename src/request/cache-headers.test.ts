import { describe, expect, it } from "vitest";
import { forbidCaching, forbidSharing, markPrivate, varyBy } from "./cache-headers.ts";

const after = (act: (head: Headers) => void, given: Record<string, string>): Record<string, string> => {
  const head = new Headers(given);
  act(head);
  return Object.fromEntries(head);
};

describe("varyBy", () => {
  it.each([
    [undefined, "Cookie"],
    ["", "Cookie"],
    ["Accept", "Accept, Cookie"],
    ["accept, COOKIE", "accept, COOKIE"],
    ["*", "*"],
    ["Accept, *", "Accept, *"],
    ["X-Cookie, Cookie2", "X-Cookie, Cookie2, Cookie"],
    [",, Accept ,", ",, Accept ,, Cookie"],
  ])("makes of Vary %j %j", (vary, expected) => {
    expect(after(varyBy, vary === undefined ? {} : { vary }).vary?.replace(/^,+ /, "")).toBe(
      expected.replace(/^,+ /, ""),
    );
  });
});

describe("forbidSharing", () => {
  it.each([
    [undefined, "no-store"],
    ["public, max-age=60", "no-store"],
    ["private, max-age=60", "private, max-age=60"],
    ["PRIVATE", "PRIVATE"],
    ["public, no-store", "public, no-store"],
    ["no-cache", "no-store"],
    // These directives apply to something else.
    ['private="x-name"', "no-store"],
    ['public, ext="a, private, b"', "no-store"],
    ['ext="\\", no-store, \\""', "no-store"],
    ["s-maxage=60, x-private", "no-store"],
  ])("makes of Cache-Control %j %j", (value, expected) => {
    expect(after(forbidSharing, value === undefined ? {} : { "cache-control": value })["cache-control"]).toBe(expected);
  });

  it("leaves no other header that overrides it", () => {
    expect(
      after(forbidSharing, { "CDN-Cache-Control": "max-age=1", "Cache-Control": "private", Expires: "0" }),
    ).toEqual({
      "cache-control": "private",
      "cdn-cache-control": "no-store",
      expires: "0",
    });
  });
});

describe("forbidCaching", () => {
  it("leaves no header of the application that allows it", () => {
    expect(
      after(forbidCaching, { "cache-control": "private", vary: "Origin", "surrogate-control": "max-age=9" }),
    ).toEqual({
      "cache-control": "no-store",
      "surrogate-control": "no-store",
      vary: "Origin, Cookie",
    });
  });
});

describe("markPrivate", () => {
  it("sets the header if the application has set none", () => {
    expect(after(markPrivate, {})).toEqual({ "cache-control": "private" });
    expect(after(markPrivate, { "cache-control": "max-age=1" })).toEqual({ "cache-control": "max-age=1" });
  });
});
