import { describe, expect, it } from "vitest";
import { checkTrusted, checkOrigin } from "./origin.ts";
import { sessionMiddleware } from "../adapters/socket-io/entry.ts";
import { site as shop } from "../../test/support/stores.ts";

interface Connection {
  origin: string;
  host?: string;
  encrypted?: boolean;
  proto?: string;
  forwardedHost?: string;
  trustProxy?: boolean;
}

function isLetIn(connection: Connection): boolean {
  const { origin, host = "shop.example", encrypted = false, proto, forwardedHost, trustProxy = false } = connection;
  const headers = {
    origin,
    host,
    ...(proto !== undefined && { "x-forwarded-proto": proto }),
    ...(forwardedHost !== undefined && { "x-forwarded-host": forwardedHost }),
  };
  try {
    checkOrigin({ headers, socket: { encrypted } }, [], trustProxy);
    return true;
  } catch (error) {
    expect(error).toMatchObject({ code: "ERR_SESSION_ORIGIN", status: 403 });
    return false;
  }
}

describe("checkOrigin", () => {
  const cases: [Connection, boolean][] = [
    [{ origin: "https://shop.example", encrypted: true }, true],
    [{ origin: "http://shop.example", encrypted: true }, false],
    [{ origin: "http://shop.example" }, true],
    [{ origin: "https://shop.example" }, true],
    [{ origin: "http://shop.example", proto: "https", trustProxy: true }, false],
    [{ origin: "https://shop.example", proto: "https", trustProxy: true }, true],
    [{ origin: "http://shop.example", proto: "http", trustProxy: true }, true],
    [{ origin: "http://shop.example", proto: "https" }, true],
    // The host that the client asked for is the proxy's, if the proxy is trusted.
    [{ origin: "https://shop.example", host: "10.0.0.7:3000", forwardedHost: "shop.example", trustProxy: true }, true],
    [{ origin: "https://shop.example", host: "10.0.0.7:3000", forwardedHost: "shop.example" }, false],
    [{ origin: "https://shop.example", host: "b", forwardedHost: "shop.example, b", trustProxy: true }, true],
    [{ origin: "https://evil.example", host: "evil.example", forwardedHost: "shop.example", trustProxy: true }, false],
    [{ origin: "https://shop.example", forwardedHost: "", trustProxy: true }, true],
    // A default port may be written.
    [{ origin: "https://shop.example", host: "shop.example:443", encrypted: true }, true],
    [{ origin: "http://shop.example", host: "shop.example:80" }, true],
    [{ origin: "https://shop.example", host: "shop.example:80" }, false],
    [{ origin: "https://shop.example:8443", host: "shop.example:8443", encrypted: true }, true],
    [{ origin: "https://shop.example:8443", encrypted: true }, false],
    [{ origin: "https://shop.example", host: "Shop.Example", encrypted: true }, true],
    [{ origin: "http://[::1]:3000", host: "[::1]:3000" }, true],
    // No web page has one of these origins.
    [{ origin: "ftp://shop.example" }, false],
    [{ origin: "chrome-extension://shop.example" }, false],
    [{ origin: "null" }, false],
    [{ origin: "" }, false],
    [{ origin: "https://evil.example" }, false],
    [{ origin: "https://shop.example.evil.example" }, false],
    [{ origin: "https://shop.example@evil.example" }, false],
    [{ origin: "https://shop.example", host: "" }, false],
    [{ origin: "https://shop.example", host: "a b" }, false],
  ];

  it.each(cases)("of %j: %s", (connection, expected) => {
    expect(isLetIn(connection)).toBe(expected);
  });

  it("compares the scheme of a fetch request's URL", () => {
    const request = (url: string, origin: string) => ({ url, headers: new Headers({ origin, host: "shop.example" }) });
    expect(() => checkOrigin(request("https://shop.example/", "https://shop.example"), [], false)).not.toThrow();
    expect(() => checkOrigin(request("https://shop.example/", "http://shop.example"), [], false)).toThrow(
      /another site/,
    );
  });

  it.each([
    ["cross-site", false],
    ["same-site", false],
    ["same-origin", true],
    ["none", true],
  ])("of a request without Origin goes by Sec-Fetch-Site: %s", (site, expected) => {
    const check = () =>
      checkOrigin({ headers: { host: "shop.example", "sec-fetch-site": site }, socket: {} }, [], false);
    if (expected) expect(check).not.toThrow();
    else expect(check).toThrow(/another site/);
  });

  it("lets in a request with neither Origin nor Sec-Fetch-Site, which is no browser's", () => {
    expect(() => checkOrigin({ headers: { host: "shop.example" }, socket: {} }, [], false)).not.toThrow();
  });

  it("lets in what is listed, whatever its scheme", () => {
    const request = { headers: { origin: "http://app.example", host: "shop.example" }, socket: { encrypted: true } };
    expect(() => checkOrigin(request, ["http://app.example"], false)).not.toThrow();
  });
});

describe("a list of trusted origins", () => {
  it.each<[string, unknown]>([
    ["a string, which would match each of its parts", "https://app.example"],
    ["a Set", new Set(["https://app.example"])],
    ["a function", () => true],
    ["a wildcard", ["*"]],
    ["a path", ["https://app.example/chat"]],
    ["a host alone", ["app.example"]],
    ["a pattern", [/app/]],
  ])("is refused if it is %s", async (_, origins) => {
    expect(() => checkTrusted("attach", "origins", origins)).toThrow(TypeError);
    const { sessions } = shop();
    const given = { origins: origins as string[] };
    await expect(sessions.attach(new Request("https://shop.example/"), given)).rejects.toThrow(TypeError);
    expect(() => sessionMiddleware(sessions, given)).toThrow(TypeError);
  });

  it("may be empty, have a port, or be of an application", () => {
    for (const origins of [[], ["http://localhost:5173"], ["capacitor://localhost", "chrome-extension://abcdef"]])
      expect(() => checkTrusted("attach", "origins", origins)).not.toThrow();
  });
});
