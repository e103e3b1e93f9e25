import { describe, expect, it } from "vitest";
import { isPrefetch } from "./prefetch.ts";

describe("isPrefetch", () => {
  const asked = (headers: Record<string, string>) => isPrefetch(new Request("https://shop.example/", { headers }));

  it.each([
    { "sec-purpose": "prefetch" },
    { "sec-purpose": "prefetch;prerender" },
    { "sec-purpose": "prefetch;anonymous-client-ip" },
    { purpose: "prefetch" },
    { "x-moz": "prefetch" },
  ])("is true for a page that nobody has opened yet: %j", (headers) => {
    expect(asked(headers)).toBe(true);
  });

  it.each([{}, { "sec-purpose": "" }, { "sec-purpose": "prefetched" }, { "sec-fetch-mode": "navigate" }])(
    "is false for a page that is opened: %j",
    (headers) => {
      expect(asked(headers)).toBe(false);
    },
  );

  it("reads the headers of node:http", () => {
    const headers = { "sec-purpose": "prefetch" };
    expect(isPrefetch({ headers, socket: {}, url: "/", httpVersion: "1.1" } as never)).toBe(true);
  });
});
