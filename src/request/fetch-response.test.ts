import { H3 } from "h3";
import { describe, expect, it } from "vitest";
import { copyWithHeaders, CopyHeaders } from "./fetch-response.ts";

class Page extends Response {
  /** Fails for an object that another constructor has made. */
  readonly #title = "home";
  static {
    const { get } = Object.getOwnPropertyDescriptor(Response.prototype, "headers")!;
    Object.defineProperty(this.prototype, "headers", {
      get(this: Page) {
        return this.#title && (get!.call(this) as Headers);
      },
    });
  }
}

function answerOfH3(body: string, headers: Record<string, string>): Response | Promise<Response> {
  const app = new H3().get("/", (event) => {
    for (const [name, value] of Object.entries(headers)) event.res.headers.set(name, value);
    return body;
  });
  return app.request("/");
}

describe("the copy of a response with the session's headers", () => {
  function withCookie(response: Response): Response {
    const headers = new CopyHeaders(response);
    headers.append("Set-Cookie", "session=1");
    return copyWithHeaders(response, headers);
  }

  it.each<[string, () => Response | Promise<Response>]>([
    ["one of srvx, which h3 and Nitro answer with", () => answerOfH3("hello", { "x-app": "yes" })],
    ["a class of the application with private fields", () => new Page("hello", { headers: { "x-app": "yes" } })],
    ["a plain one", () => new Response("hello", { headers: { "x-app": "yes" } })],
  ])("can be read where the response is %s", async (_, make) => {
    const copy = withCookie(await make());
    expect([copy.headers.get("x-app"), copy.headers.getSetCookie()]).toEqual(["yes", ["session=1"]]);
    expect([copy.status, await copy.text()]).toEqual([200, "hello"]);
  });

  it("belongs to the class of the application, where that is possible", () => {
    class Plain extends Response {}
    expect(withCookie(new Plain("hello"))).toBeInstanceOf(Plain);
  });
});
