import { getRequestListener } from "@hono/node-server";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { KEYS } from "../../test/support/stores.ts";
import { createSessions } from "../sessions.ts";
import { memoryStore } from "../stores/memory.ts";
import { faulty } from "../testing/faulty.ts";
import { copyWithHeaders, CopyHeaders } from "./fetch-response.ts";
import { plainHeadersOf } from "./kept-response.ts";

const native = { Request, Response };
beforeAll(() => void getRequestListener(() => new Response()));
afterAll(() => void Object.assign(globalThis, native));

function withWrites(response: Response, ...writes: readonly (readonly ["set" | "append", string, string])[]): Response {
  const headers = new CopyHeaders(response);
  for (const [operation, name, value] of writes) headers[operation](name, value);
  return copyWithHeaders(response, headers);
}

const WRITES = [
  ["set", "Vary", "Cookie"],
  ["append", "Set-Cookie", "session=1"],
  ["set", "Cache-Control", "no-store"],
] as const;

const proto = JSON.parse('{ "__proto__": "kept", "x-app": "yes" }') as Record<string, string>;

/** Whether the copy is made of plain headers, and of what it is made otherwise. */
const cases: Readonly<
  Record<string, [isPlain: boolean, body: ConstructorParameters<typeof Response>[0], init?: ResponseInit]>
> = {
  "a text": [true, "kept"],
  "no body": [true, null, { status: 204 }],
  "a content type": [true, "kept", { headers: { "Content-Type": "text/html" } }],
  "no content type": [false, "kept", { headers: { "x-app": "yes" } }],
  "headers that the session sets, too": [
    true,
    "kept",
    { headers: { VARY: "accept", "cache-control": "public", "content-type": "text/html" } },
  ],
  "a Headers object": [
    true,
    "kept",
    { headers: new Headers({ "x-app": "yes", vary: "accept", "content-type": "text/html" }) },
  ],
  "a Headers object without a type": [false, "kept", { headers: new Headers() }],
  "a cookie of its own": [true, null, { headers: { "set-cookie": "a=1" } }],
  "two cookies": [
    false,
    null,
    {
      headers: new Headers([
        ["set-cookie", "a=1"],
        ["set-cookie", "b=2"],
      ]),
    },
  ],
  "one name in two cases": [false, null, { headers: { "X-App": "yes", "x-app": "no" } }],
  "a list of pairs": [false, null, { headers: [["x-app", "yes"]] }],
  "a number": [false, null, { headers: { age: 1 as unknown as string } }],
  "the name __proto__": [false, null, { headers: proto }],
  "a value with spaces around it": [false, null, { headers: { "x-app": " yes\t" } }],
  bytes: [false, new TextEncoder().encode("kept")],
  "a stream": [false, new Blob(["kept"]).stream(), { headers: { "x-app": "yes" } }],
};

describe("the copy of a response of @hono/node-server", () => {
  it.each(Object.entries(cases))("has the headers that a real one has, with %s", async (_, [isPlain, body, init]) => {
    const response = new Response(body, init);
    expect(plainHeadersOf(response) !== undefined).toBe(isPlain);
    const expected = new Headers(new Response(body === null ? null : "kept", init).headers);
    for (const [operation, name, value] of WRITES) expected[operation](name, value);
    const copy = withWrites(response, ...WRITES);
    expect(Array.from(copy.headers)).toEqual(Array.from(expected));
    expect(copy.statusText).toBe("");
    expect(Array.from(response.headers)).toEqual(Array.from(new Response(body === null ? null : "kept", init).headers));
    expect([copy.status, await copy.text()]).toEqual([init?.status ?? 200, body === null ? "" : "kept"]);
  });

  it("has the cookies of the session, and those of the application", () => {
    const response = new Response("kept", { headers: { "Set-Cookie": "a=1" } });
    const copy = withWrites(response, ["append", "Set-Cookie", "session=1"], ["append", "Set-Cookie", "session=2"]);
    expect(copy.headers.getSetCookie()).toEqual(["a=1", "session=1", "session=2"]);
    const alone = withWrites(new Response("kept"), ["append", "Set-Cookie", "x=1"], ["append", "Set-Cookie", "y=2"]);
    expect(alone.headers.getSetCookie()).toEqual(["x=1", "y=2"]);
  });

  it("has the status text, and reading it leaves the application's response one that can be sent again", async () => {
    const kept = new Response("kept", { status: 201, statusText: "Made" });
    for (const user of ["alice", "bob"]) {
      const copy = withWrites(kept, ["append", "Set-Cookie", `session=${user}`]);
      expect([copy.statusText, copy.status, await copy.text()]).toEqual(["Made", 201, "kept"]);
    }
    expect(kept.headers.getSetCookie()).toEqual([]);
  });

  it("has the class and the properties of the application's response", () => {
    class Page extends Response {}
    expect(withWrites(new Page("kept"), ["set", "Vary", "Cookie"])).toBeInstanceOf(Page);
    const response = Object.assign(new Response("kept"), { title: "home" });
    expect(withWrites(response, ["set", "Vary", "Cookie"])).toHaveProperty("title", "home");
  });

  it("has headers that the application has defined on its response", () => {
    const response = new Response("kept");
    Object.defineProperty(response, "headers", { value: new Headers({ "x-app": "own" }) });
    expect(plainHeadersOf(response)).toBeUndefined();
  });

  it("has the headers that the application has read or changed before", () => {
    const response = new Response("kept", { headers: { "x-app": "yes" } });
    response.headers.append("x-app", "no");
    expect(withWrites(response, ["set", "Vary", "Cookie"]).headers.get("x-app")).toBe("yes, no");
    const read = new Response("kept");
    expect(read.statusText).toBe("");
    expect(withWrites(read, ["set", "Vary", "Cookie"]).headers.get("vary")).toBe("Cookie");
  });

  it("is not the application's response, nor does it share headers with it", () => {
    const headers = { "x-app": "yes" };
    const response = new Response("kept", { headers });
    const copy = withWrites(response, ["set", "X-App", "mine"]);
    copy.headers.set("x-later", "yes");
    expect(copy).not.toBe(response);
    expect([headers, response.headers.get("x-app"), response.headers.get("x-later")]).toEqual([
      { "x-app": "yes" },
      "yes",
      null,
    ]);
  });
});

describe("the commit of a session with a response of @hono/node-server", () => {
  /** A session with a change, whose store takes a while. */
  async function changed() {
    const store = faulty(memoryStore(), { create: () => ({ delay: 1 }) });
    const sessions = createSessions<{ cart?: string }>({ secretKey: KEYS[0], store });
    const session = await sessions.open(new Request("http://localhost/"));
    session.data.cart = "tea";
    return { store, commit: async (response: Response) => sessions.commit(session, response) };
  }

  it("has the headers of its moment, though the application gives the next client other ones in the same object", async () => {
    for (const given of [{ "x-user": "ada" }, new Headers({ "x-user": "ada" })]) {
      const { commit } = await changed();
      const committing = commit(new Response(null, { headers: given }));
      if (given instanceof Headers) given.set("x-user", "bob");
      else given["x-user"] = "bob";
      expect((await committing).headers.get("x-user")).toBe("ada");
    }
  });

  it.each(["/u/Łukasz", "a\r\nb: c", "a\0"])(
    "refuses a header that can't be sent before it stores: %j",
    async (value) => {
      const { store, commit } = await changed();
      await expect(commit(new Response(null, { status: 303, headers: { location: value } }))).rejects.toThrow(
        TypeError,
      );
      expect(store.calls.create).toBe(0);
    },
  );

  it("has the body of a response that is copied meanwhile", async () => {
    const { commit } = await changed();
    const response = new Response("kept");
    const committing = commit(response);
    expect(await response.clone().text()).toBe("kept");
    expect(await (await committing).text()).toBe("kept");
  });
});
