import { describe, expect, it } from "vitest";
import { site } from "../../test/support/stores.ts";

describe("a fetch response whose body is a stream with a Content-Length", () => {
  it.each([
    ["one byte at a time", ["a", "b", "c"]],
    ["all at once", ["abc"]],
    ["an empty chunk between", ["ab", "", "c"]],
    ["more than was declared", ["abcd", "e"]],
  ])("arrives whole, with the changes that came last: %s", async (_, chunks) => {
    const browser = site().browser();
    await browser.visit((session) => (session.data["first"] = 1));
    const { session, end } = await browser.begin();
    session.data["first"] = 2;
    const left = [...chunks];
    const body = new ReadableStream({
      pull(controller) {
        const chunk = left.shift();
        if (chunk !== undefined) return controller.enqueue(new TextEncoder().encode(chunk));
        session.data["last"] = 1;
        controller.close();
      },
    });
    const response = await end(new Response(body, { headers: { "content-length": "3" } }));
    expect(await response.text()).toBe("abc");
    expect(await browser.data()).toEqual({ first: 2, last: 1 });
  });
});
