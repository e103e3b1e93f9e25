import { describe, expect, it } from "vitest";
import type { IncomingHttpHeaders } from "node:http";
import { cookieHeader, innermost, isSecure, type AnyRequest } from "./request.ts";

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

  it("takes time in step with a hostile header", () => {
    const began = process.cpuUsage();
    isSecure(fetched(HTTP, { forwarded: "proto=x;".repeat(4000) }), true);
    isSecure(incoming({ forwarded: 'proto="'.repeat(100_000), "x-forwarded-proto": " ".repeat(500_000) }), true);
    // The processor's time, whatever else keeps the machine busy: some milliseconds, or minutes if it were quadratic.
    expect(process.cpuUsage(began).user).toBeLessThan(5_000_000);
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
  it("is the one object that all layers share", () => {
    const request = fetched(HTTP);
    expect(innermost(request)).toBe(request);
    expect(innermost({ raw: request })).toBe(request);
  });
});
