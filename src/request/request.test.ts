import { describe, expect, it } from "vitest";
import type { IncomingHttpHeaders } from "node:http";
import { cookieHeader, innermost, isSecure, linkReplacement, routeOf, type AnyRequest } from "./request.ts";

const HTTP = "http://shop.example/";
const fetched = (url: string, headers: Record<string, string> = {}) => new Request(url, { headers });
const incoming = (headers: IncomingHttpHeaders, encrypted?: boolean) => ({ headers, socket: { encrypted } });

describe("isSecure", () => {
  it("is what the connection was", () => {
    expect(isSecure(fetched("https://shop.example/"), false)).toBe(true);
    expect(isSecure(fetched(HTTP), false)).toBe(false);
    expect(isSecure(incoming({}, true), false)).toBe(true);
    expect(isSecure(incoming({}, false), false)).toBe(false);
    expect(isSecure(incoming({}), false)).toBe(false);
    expect(isSecure({ raw: incoming({}, true) }, false)).toBe(true);
  });

  it("believes a framework that has its own setting for proxies", () => {
    expect(isSecure({ ...incoming({}), protocol: "https" } as AnyRequest, false)).toBe(true);
    expect(isSecure({ ...incoming({}), protocol: "http" } as AnyRequest, false)).toBe(false);
  });

  const forms: [Record<string, string>, boolean][] = [
    [{ "x-forwarded-proto": "https" }, true],
    [{ "x-forwarded-proto": "HTTPS" }, true],
    [{ "x-forwarded-proto": "https, http" }, true],
    [{ "x-forwarded-proto": " https ,http" }, true],
    [{ "x-forwarded-proto": "http, https" }, false],
    [{ "x-forwarded-proto": "http" }, false],
    [{ "x-forwarded-proto": "" }, false],
    [{ "x-forwarded-proto": "httpss" }, false],
    [{ "x-forwarded-proto": "xhttps" }, false],
    [{ "x-forwarded-proto": "on" }, false],
    [{ "x-forwarded-ssl": "on" }, false],
    [{ forwarded: "proto=https" }, true],
    [{ forwarded: "for=192.0.2.60;proto=https;by=203.0.113.43" }, true],
    [{ forwarded: 'for=192.0.2.60; Proto="https"' }, true],
    [{ forwarded: "FOR=192.0.2.60;PROTO=HTTPS" }, true],
    [{ forwarded: "for=192.0.2.60;proto=http, for=198.51.100.17;proto=https" }, false],
    [{ forwarded: "for=192.0.2.60;proto=https, for=198.51.100.17;proto=http" }, true],
    [{ forwarded: "for=192.0.2.60, for=198.51.100.17;proto=https" }, false],
    [{ forwarded: "proto=httpsx" }, false],
    [{ forwarded: "xproto=https" }, false],
    [{ forwarded: "proto=http", "x-forwarded-proto": "https" }, false],
    [{ forwarded: "proto=https", "x-forwarded-proto": "http" }, true],
    [{ forwarded: "for=192.0.2.60", "x-forwarded-proto": "https" }, true],
  ];

  it.each(forms)("reads %j as secure: %s, where the proxy is trusted", (headers, expected) => {
    expect(isSecure(fetched(HTTP, headers), true)).toBe(expected);
    expect(isSecure(incoming(headers), true)).toBe(expected);
    expect(isSecure({ raw: incoming(headers) }, true)).toBe(expected);
  });

  it.each(forms)("does not believe %j where no proxy is trusted", (headers) => {
    expect(isSecure(fetched(HTTP, headers), false)).toBe(false);
    expect(isSecure(incoming(headers), false)).toBe(false);
  });

  it("is not talked out of an encrypted connection", () => {
    expect(
      isSecure(fetched("https://shop.example/", { "x-forwarded-proto": "http", forwarded: "proto=http" }), true),
    ).toBe(true);
    expect(isSecure(incoming({ "x-forwarded-proto": "http" }, true), true)).toBe(true);
  });

  it("does not take what stands inside of another parameter's quotes for the protocol", () => {
    expect(isSecure(fetched(HTTP, { forwarded: 'for="_a;proto=https";proto=http' }), true)).toBe(false);
  });

  it.each([
    ['for="a\\"b;proto=http";proto=https', true],
    ['proto="ht\\tps"', true],
    ["for=1;;proto=https", true],
    [";proto=https", true],
    ["garbage;proto=https", false],
    ["proto", false],
    ['proto="https', false],
    ['proto=https"', false],
    ['proto="https" junk', false],
    ['"proto"=https', false],
    ['for="unclosed, proto=https', false],
    [", proto=https", false],
    ["=https;proto=https", false],
    ["proto=https;garbage", false],
    ["proto=https;proto=http", false],
    ["proto=http;proto=https", false],
  ])("reads the Forwarded header %j as secure: %s", (forwarded, expected) => {
    expect(isSecure(incoming({ forwarded }), true)).toBe(expected);
  });

  // A pattern that tries each character from each other one takes many minutes for one of these.
  it.each([
    ["blanks before a quote", `proto=a${" ".repeat(1_000_000)}"`],
    ["blanks and nothing", `proto=${" ".repeat(1_000_000)}`],
    ["empty pairs", ";".repeat(1_000_000)],
    ["pairs that end nowhere", 'a="'.repeat(300_000)],
    ["escapes", `a="${"\\".repeat(1_000_001)}`],
    ["quotes", '"'.repeat(1_000_000)],
    ["elements", "a=b,".repeat(250_000)],
  ])("ends with a megabyte of %s in a Forwarded header", (_, forwarded) => {
    expect(isSecure(incoming({ forwarded }), true)).toBe(false);
    expect(isSecure(incoming({ "x-forwarded-proto": forwarded }), true)).toBe(false);
  });
});

describe("cookieHeader", () => {
  it("reads it of either kind of request, wrapped or not", () => {
    expect(cookieHeader(fetched(HTTP, { cookie: "a=1" }))).toBe("a=1");
    expect(cookieHeader(fetched(HTTP))).toBeUndefined();
    expect(cookieHeader(incoming({ cookie: "a=1" }))).toBe("a=1");
    expect(cookieHeader(incoming({}))).toBeUndefined();
    expect(cookieHeader({ raw: fetched(HTTP, { cookie: "a=1" }) })).toBe("a=1");
    expect(cookieHeader({ raw: incoming({ cookie: "a=1" }) })).toBe("a=1");
  });

  it("is not taken in by a client's header called get", () => {
    expect(cookieHeader(incoming({ get: "x", cookie: "a=1" }))).toBe("a=1");
  });
});

describe("innermost", () => {
  const node = () => ({ ...incoming({ cookie: "a=1" }), httpVersion: "1.1" });

  it("is the one object that all layers share", () => {
    for (const request of [fetched(HTTP), incoming({}), node()]) {
      expect(innermost(request)).toBe(request);
      expect(innermost({ raw: request })).toBe(request);
      expect(innermost({ req: request })).toBe(request);
      expect(innermost({ req: { raw: request } })).toBe(request);
    }
  });

  it("sees through a wrapper that has headers, a URL and a socket of its own, as a context of Koa has", () => {
    const req = node();
    const { headers, url, socket } = req as { headers: object; url?: string; socket: object };
    expect(innermost({ req, headers, url, socket } as unknown as AnyRequest)).toBe(req);
  });

  it("sees through a wrapper that has headers and a socket of its own, as a Fastify request has", () => {
    const raw = node();
    expect(innermost({ raw, headers: raw.headers, socket: raw.socket, protocol: "http" } as AnyRequest)).toBe(raw);
  });

  it.each([
    ["a body", Buffer.from("{}")],
    ["a text", "{}"],
    ["nothing", undefined],
    ["another request", fetched(HTTP)],
  ])("is the request itself where other middleware keeps %s in its raw", (_, raw) => {
    const [incomingMessage, request] = [
      Object.assign(node(), { raw, req: raw }),
      Object.assign(fetched(HTTP), { raw }),
    ];
    expect(innermost(incomingMessage)).toBe(incomingMessage);
    expect(innermost(request)).toBe(request);
    expect(cookieHeader(incomingMessage)).toBe("a=1");
  });

  it("is the first request, where a framework has put others in its place", () => {
    const [first, second, third] = [fetched(HTTP), fetched(HTTP), fetched(HTTP)];
    linkReplacement(second, first);
    linkReplacement(third, second);
    linkReplacement(first, third);
    for (const request of [first, second, third]) expect(innermost({ req: { raw: request } })).toBe(first);
  });

  it.each([undefined, null, 1, "GET /", {}, { raw: {} }, { req: 1 }])("says that %j is no request", (request) => {
    expect(() => innermost(request as unknown as AnyRequest)).toThrow(/This is not a request/);
  });
});

describe("The name of a route", () => {
  it.each(["//", "/\\", "//[", "http://[", "*", "?", "/a?token=1"])("can be given for a request of %s", (url) => {
    expect(routeOf({ url, headers: new Headers() })).toMatch(/^GET /);
    expect(routeOf({ url, headers: new Headers() })).not.toContain("token");
  });
});
