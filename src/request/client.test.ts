import { afterEach, describe, expect, it, vi } from "vitest";
import { KEYS, START, site } from "../../test/support/stores.ts";
import type { AnyRequest } from "./request.ts";
import { clientRequest } from "./client.ts";

const node = (headers: object, more: object = {}): AnyRequest =>
  ({ headers, socket: { remoteAddress: "192.0.2.1" }, httpVersion: "1.1", ...more }) as AnyRequest;

describe("The request that the option client is given", () => {
  it.each([
    ["fetch", new Request("http://localhost/", { headers: { "User-Agent": "one" } })],
    ["node:http", node({ "user-agent": "one" })],
    ["Fastify", { raw: node({ "user-agent": "one" }) }],
  ] as [string, AnyRequest][])("has the headers by any case of their names: %s", (_, request) => {
    const { headers, raw } = clientRequest(request, false, undefined);
    expect([headers.get("user-agent"), headers.get("User-Agent"), headers.get("x-none")]).toEqual([
      "one",
      "one",
      undefined,
    ]);
    expect(raw).toBe(request);
  });

  it.each<[string, AnyRequest, boolean, string | undefined, string | undefined]>([
    ["of the connection", node({}), false, undefined, "192.0.2.1"],
    ["as the framework's own proxy setting has it", node({}, { ip: "198.51.100.7" }), false, undefined, "198.51.100.7"],
    ["as the server tells it beside a fetch request", new Request("http://x/"), false, "203.0.113.9", "203.0.113.9"],
    ["unknown", new Request("http://x/"), false, undefined, undefined],
    [
      "of a trusted proxy: the last entry, which no client can send",
      node({ "x-forwarded-for": "6.6.6.6, 198.51.100.7" }),
      true,
      undefined,
      "198.51.100.7",
    ],
    ["not of a proxy that is not trusted", node({ "x-forwarded-for": "6.6.6.6" }), false, undefined, "192.0.2.1"],
  ])("has the address %s", (_, request, trustProxy, beside, expected) => {
    expect(clientRequest(request, trustProxy, beside).address).toBe(expected);
  });
});

describe("createSessions, with client: { userAgent, address }", () => {
  it("keeps these details of a sign-in for sessions.list", async () => {
    const shop = site({ client: { userAgent: true, address: true }, trustProxy: true });
    const headers = { "user-agent": "x".repeat(300), "x-forwarded-for": "198.51.100.7" };
    await shop.browser().visit((session) => session.signIn("ada"), { headers });
    const [info] = await shop.sessions.list("ada");
    expect(info!.client).toEqual({ userAgent: "x".repeat(256), address: "198.51.100.7" });
  });

  it("keeps nothing by default", async () => {
    const shop = site();
    await shop.browser().visit((session) => session.signIn("ada"), { headers: { "user-agent": "x" } });
    expect((await shop.sessions.list("ada"))[0]!.client).toBeUndefined();
  });

  it("refuses a detail that there is not", () => {
    expect(() => site({ client: { adress: true } as never })).toThrow('client has no option "adress"');
  });
});

describe("createSessions, with anonymousTimeout", () => {
  it("ends a visitor's session sooner than one that somebody has signed in to", async () => {
    const shop = site<{ cart?: string[] }>({ idleTimeout: "1d", anonymousTimeout: "1h" });
    const [visitor, ada] = [shop.browser(), shop.browser()];
    await visitor.visit((session) => void (session.data.cart = ["tea"]));
    await ada.visit((session) => void (session.data.cart = ["tea"]));
    await ada.visit((session) => session.signIn("ada"));
    shop.time.now = START + 50 * 60_000;
    expect(await visitor.data()).toEqual({ cart: ["tea"] });
    await visitor.visit((session) => void session.userId);
    shop.time.now += 50 * 60_000;
    expect(await visitor.data()).toEqual({ cart: ["tea"] });
    shop.time.now += 61 * 60_000;
    expect(await visitor.data()).toEqual({});
    expect(await ada.userId()).toBe("ada");
  });

  it("may not be longer than idleTimeout", () => {
    expect(() => site({ idleTimeout: "1h", anonymousTimeout: "2h" })).toThrow(
      "anonymousTimeout is longer than idleTimeout",
    );
  });
});

describe("A cookie that is issued", () => {
  const warned = vi.spyOn(process, "emitWarning").mockImplementation(() => {});
  afterEach(() => void warned.mockClear());

  it("in the place of one that another key has signed is reported once: two applications may share its name", async () => {
    const [one, other] = [
      site({ cookie: { name: "shared" } }),
      site({ cookie: { name: "shared" }, secretKey: KEYS[1] }),
    ];
    const browser = one.browser();
    await browser.visit((session) => session.signIn("ada"));
    for (let i = 0; i < 2; i++) await browser.copy(other.sessions).visit((session) => session.signIn("bob"));
    await vi.waitFor(() => expect(warned).toHaveBeenCalledTimes(1), 20_000);
    expect(warned.mock.calls[0]![0]).toMatch(/cookie named shared .* give each its own cookie\.name/);
  });

  it("without Secure for a client that a proxy says has used HTTPS is reported once", async () => {
    const shop = site();
    const headers = { "x-forwarded-proto": "https" };
    for (let i = 0; i < 2; i++) {
      await shop.browser().visit((session) => session.signIn("ada"), { headers, url: "http://shop.example/" });
    }
    await vi.waitFor(() => expect(warned).toHaveBeenCalledTimes(1), 20_000);
    expect(warned.mock.calls[0]![0]).toMatch(/set trustProxy to true/);
  });

  it("to an ordinary client is not", async () => {
    const shop = site({ cookie: { name: "ordinary" } });
    const signIn = (headers: Record<string, string>) =>
      shop.browser().visit((session) => session.signIn("ada"), { url: "http://shop.example/", headers });
    await signIn({ cookie: "ordinary=x; a=b" });
    // Warnings come in the order of the requests.
    await signIn({ "x-forwarded-proto": "https" });
    await vi.waitFor(() => expect(warned).toHaveBeenCalled(), 20_000);
    expect(warned.mock.calls.map(([message]) => String(message))).toEqual([expect.stringContaining("trustProxy")]);
  });
});
