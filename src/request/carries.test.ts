import { describe, expect, it } from "vitest";
import { KEYS, site, type SiteOptions } from "../../test/support/stores.ts";
import { cookieStore } from "../cookie-store/store.ts";
import { createSessions } from "../sessions.ts";
import { memoryStore } from "../stores/memory.ts";

const HTTPS = "https://shop.example/";

async function withCookie(options: SiteOptions = {}) {
  const server = site(options);
  const browser = server.browser();
  await browser.visit((session) => session.signIn("alice"));
  const { store } = server;
  const before = store.calls.total;
  const request = (cookie: string, url = HTTPS) => new Request(url, { headers: { cookie } });
  return { ...server, cookie: browser.cookie, request, operations: () => store.calls.total - before };
}

describe("sessions.carries", () => {
  it("is true for a request with the signed cookie, at once and without asking the store", async () => {
    const { sessions, cookie, request, operations } = await withCookie();
    expect(sessions.carries(request(cookie))).toBe(true);
    expect(sessions.carries(request(`theme=dark; ${cookie}`))).toBe(true);
    expect(operations()).toBe(0);
  });

  it("is false without a cookie, with a forged one, one of another key, and one of another name", async () => {
    const { sessions, cookie, request } = await withCookie();
    const other = createSessions({ secretKey: KEYS[1], store: memoryStore() });
    const forged = `${cookie.slice(0, -1)}${cookie.endsWith("A") ? "B" : "A"}`;
    expect(sessions.carries(new Request(HTTPS))).toBe(false);
    for (const wrong of [forged, "__Host-session=x", cookie.replace("__Host-session", "session"), ""]) {
      expect(sessions.carries(request(wrong))).toBe(false);
    }
    expect(other.carries(request(cookie))).toBe(false);
  });

  it("is true for the cookie of a session that has ended, since only the store knows that", async () => {
    const { sessions, cookie, request } = await withCookie();
    await sessions.revokeAll("alice");
    expect(sessions.carries(request(cookie))).toBe(true);
    expect((await sessions.open(request(cookie))).userId).toBeUndefined();
  });

  it("takes requests of node:http, and the cookie that its own scheme has", async () => {
    const { sessions, cookie } = await withCookie({ cookie: { secure: true } });
    const asked = (headers: object, socket: object) => ({ headers, socket, httpVersion: "1.1" }) as never;
    expect(sessions.carries(asked({ cookie }, { encrypted: true }))).toBe(true);
    expect(sessions.carries(asked({}, {}))).toBe(false);
  });

  it("knows a session that is kept in the cookies of cookieStore()", async () => {
    const store = cookieStore();
    const sessions = createSessions<Record<string, unknown>>({ secretKey: KEYS[0], store });
    const session = await sessions.open(new Request(HTTPS));
    session.data["cart"] = ["tea"];
    const answer = await sessions.commit(session, new Response("ok"));
    const cookie = answer.headers.getSetCookie()[0]!.split(";")[0]!;
    expect(sessions.carries(new Request(HTTPS, { headers: { cookie } }))).toBe(true);
    const forged = `${cookie.slice(0, -2)}xx`;
    expect(sessions.carries(new Request(HTTPS, { headers: { cookie: forged } }))).toBe(false);
  });

  it("is true for the cookie of a former library, whose session will be adopted", () => {
    const former = {
      name: "old",
      cookies: [{ name: "old", path: "/" }],
      find: (values: (name: string) => readonly string[]) => values("old").map((key) => ({ key })),
      read: () => Promise.resolve(undefined),
    };
    const sessions = createSessions({ secretKey: KEYS[0], store: memoryStore(), adopt: [former as never] });
    expect(sessions.carries(new Request(HTTPS, { headers: { cookie: "old=1" } }))).toBe(true);
    expect(sessions.carries(new Request(HTTPS, { headers: { cookie: "other=1" } }))).toBe(false);
  });

  it("refuses anything but a request", () => {
    const { sessions } = site();
    expect(() => sessions.carries({} as never)).toThrow(TypeError);
  });
});
