import { inspect } from "node:util";
import { describe, expect, it, vi } from "vitest";
import { application, bearing, PAGE, whoIs } from "../../test/support/bearer.ts";
import { KEYS, site, START } from "../../test/support/stores.ts";
import { cookieStore } from "../cookie-store/store.ts";
import { createSessions } from "../sessions.ts";
import { bearerTokens, type BearerOptions } from "./bearer.ts";
import { withSession, type FetchOptions } from "./fetch.ts";

describe("bearerTokens", () => {
  it("gives the token at sign-in in a header, without a cookie, and accepts it from then on", async () => {
    const { answer } = application();
    const login = await answer({}, (session) => session.signIn("ada"));
    expect(login).toMatchObject({ cookies: [], vary: "Authorization", cache: "no-store" });
    expect(login.token).toMatch(/^b[\w-]{80}$/);
    expect(await answer(bearing(login.token!))).toMatchObject({
      body: "ada",
      token: undefined,
      vary: "Authorization",
      cache: "private",
      cookies: [],
    });
  });

  it("tells no cache to keep the token, whatever the handler has set", async () => {
    const { answer } = application();
    for (const value of ["public, max-age=60", "private, max-age=60", "no-cache"]) {
      const { response } = await answer({}, (session) => {
        session.signIn("ada");
        return new Response("", {
          headers: { "cache-control": value, "cdn-cache-control": "max-age=9", vary: "Accept" },
        });
      });
      expect(response.headers.get("cache-control")).toBe("no-store");
      expect(response.headers.get("cdn-cache-control")).toBe("no-store");
      expect(response.headers.get("vary")).toBe("Accept, Authorization");
    }
  });

  it("gives a new token at rotation, and ends the session at a replay of the old one", async () => {
    const { answer, signIn, time, sessions } = application({}, { rotation: { every: "1h", grace: "30s" } });
    const first = await signIn();
    time.now += 3_600_001;
    const { token: second } = await answer(bearing(first));
    expect(second).toMatch(/^b/);
    expect(second).not.toBe(first);
    // A lost response is healed, and parallel requests are not signed out.
    expect(await answer(bearing(first))).toMatchObject({ body: "ada", token: second });
    expect(await answer(bearing(second!))).toMatchObject({ body: "ada", token: undefined });
    expect(await answer(bearing(first))).toMatchObject({ body: "ada" });
    time.now += 31_000;
    const replays: unknown[] = [];
    sessions.on("replayed", (event) => replays.push(event));
    expect(await answer(bearing(first))).toMatchObject({ body: "anonymous", token: undefined });
    expect(replays).toMatchObject([{ userId: "ada" }]);
    expect(await answer(bearing(second!))).toMatchObject({ body: "anonymous" });
    expect(await sessions.list("ada")).toEqual([]);
  });

  it("invalidates the old token at a new sign-in", async () => {
    const { answer, signIn } = application();
    const old = await signIn();
    const { token } = await answer(bearing(old), (session) => session.signIn("ada"));
    expect(await answer(bearing(old))).toMatchObject({ body: "anonymous" });
    expect(await answer(bearing(token!))).toMatchObject({ body: "ada" });
  });

  it("knows no token of a session that was signed out, revoked or has expired", async () => {
    const { answer, signIn, sessions, time } = application({}, { idleTimeout: "30m" });
    const [out, revoked, expired] = [await signIn(), await signIn(), await signIn()];
    const leaving = await answer(bearing(out), (session) => session.signOut());
    expect(leaving).toMatchObject({ token: undefined, cookies: [], cache: "no-store" });
    expect(await answer(bearing(out))).toMatchObject({ body: "anonymous" });
    expect(await sessions.list("ada")).toHaveLength(2);
    await answer(bearing(revoked), (session) => sessions.revoke(session.id));
    expect(await answer(bearing(revoked))).toMatchObject({ body: "anonymous" });
    time.now = START + 1_800_001;
    expect(await answer(bearing(expired))).toMatchObject({ body: "anonymous" });
  });

  it("issues the token anew by the current secret key", async () => {
    const { answer, signIn, backend } = application();
    const token = await signIn();
    const next = application({}, { store: backend, secretKey: [KEYS[1], KEYS[0]] });
    const renewed = await next.answer(bearing(token));
    expect(renewed).toMatchObject({ body: "ada" });
    expect(renewed.token).toMatch(/^b/);
    expect(await next.answer(bearing(renewed.token!))).toMatchObject({ body: "ada", token: undefined });
    expect(await answer(bearing(renewed.token!))).toMatchObject({ body: "anonymous" });
  });

  it("does not read a token from a URL, a body, or another header", async () => {
    const { answer, signIn } = application({ cookies: true });
    const login = await application().signIn();
    const token = (await answer(bearing(login), (session) => session.signIn("ada"))).token!;
    expect(await answer(bearing(token))).toMatchObject({ body: "ada" });
    for (const name of ["access_token", "token", "session", "authorization", "Session-Token"]) {
      const url = `${PAGE}?${name}=${token}&${name}=Bearer%20${token}#${token}`;
      expect(await answer({}, whoIs, { url })).toMatchObject({ body: "anonymous" });
    }
    for (const name of ["session-token", "x-auth-token", "proxy-authorization", "authentication-info"]) {
      expect(await answer({ [name]: `Bearer ${token}` })).toMatchObject({ body: "anonymous" });
    }
    expect(await signIn()).toBeUndefined();
  });

  it("takes the scheme in any case, and more blanks after it", async () => {
    const { answer, signIn } = application();
    const token = await signIn();
    for (const authorization of [`bearer ${token}`, `BEARER ${token}`, `Bearer   ${token}`, ` Bearer ${token} `]) {
      expect(await answer({ authorization })).toMatchObject({ body: "ada" });
    }
  });

  it("takes a malformed header for a visitor's, and asks no store", async () => {
    const { answer, signIn, store } = application();
    const token = await signIn();
    const before = store.calls.total;
    const headers = [
      "",
      "Bearer",
      "Bearer ",
      token,
      `Basic ${token}`,
      `Digest username="ada", Bearer ${token}`,
      `Bearer${token}`,
      `Bearer\t${token}`,
      `Bearer=${token}`,
      `Bearer ${token}=`,
      `Bearer ${token}, Bearer ${token}`,
      `Bearer ${token},`,
      `Bearer ${token} x`,
      `Bearer "${token}"`,
      `Bearer ${token.slice(0, -1)}`,
      `Bearer ${token}a`,
      `Bearer ${token.slice(0, -1)}${token.endsWith("A") ? "B" : "A"}`,
      `Bearer 1${token.slice(1)}`,
      `Bearer ${token.toLowerCase()}`,
      `Bearer ${"x".repeat(100_000)}`,
      `Bearer ${" ".repeat(50_000)}x`,
      `Bearer ${", Bearer x".repeat(5000)}`,
      `Bearer __proto__`,
      `Bearer é`,
    ];
    for (const authorization of headers) {
      const { status, body } = await answer({ authorization });
      expect([authorization.slice(0, 120), status, body]).toEqual([authorization.slice(0, 120), 200, "anonymous"]);
    }
    expect(store.calls.total).toBe(before);
  });

  it("takes two headers of node:http for a visitor's, since a proxy may go by the other", async () => {
    const { sessions, bearer, signIn } = application();
    const authorization = `Bearer ${await signIn()}`;
    const request = (rawHeaders: string[]) => ({
      headers: { authorization },
      rawHeaders,
      socket: {},
      httpVersion: "1.1",
      url: "/",
    });
    const one = request(["Host", "authorization", "Authorization", authorization]);
    expect((await sessions.open(one, { bearer })).userId).toBe("ada");
    const two = request(["Authorization", authorization, "authorization", "Bearer x"]);
    expect((await sessions.open(two, { bearer })).userId).toBeUndefined();
  });

  it("counts for the calls open and attach", async () => {
    const { sessions, bearer, signIn, withCookie } = application();
    const token = await signIn();
    const request = () => new Request(PAGE, { headers: bearing(token) });
    expect((await sessions.open(request(), { bearer })).userId).toBe("ada");
    expect((await sessions.open(request())).userId).toBeUndefined();
    const attached = await sessions.attach(request(), { bearer });
    expect(attached.userId).toBe("ada");
    attached.data["seen"] = true;
    await attached.save();
    const aborted = new Promise((resolve) => attached.signal.addEventListener("abort", resolve));
    await sessions.revokeAll("ada");
    await aborted;
    const { cookie } = await withCookie();
    const both = new Request(PAGE, { headers: { cookie, ...bearing(token) } });
    for (const call of ["open", "attach"] as const) {
      await expect(sessions[call](both.clone(), { bearer })).rejects.toMatchObject({ code: "ERR_SESSION_TWO_TOKENS" });
      await expect(sessions[call](both.clone(), { bearer: true as never })).rejects.toThrow(
        `sessions.${call}: bearer takes bearerTokens()`,
      );
    }
  });
});

describe("bearerTokens in adapters that are mounted within another", () => {
  const outerThenInner = async (
    outer: FetchOptions,
    inner: FetchOptions,
    headers: Record<string, string>,
    use = false,
  ) => {
    const shop = application();
    const token = await shop.signIn();
    const { cookie } = await shop.withCookie("eve");
    const nested = withSession(
      shop.sessions,
      (_request, session) => new Response(session.userId ?? "anonymous"),
      inner,
    );
    const app = withSession(
      shop.sessions,
      (request, session) => {
        if (use) void session.userId;
        return nested(request);
      },
      { onError: (error) => error.getResponse(), ...outer },
    );
    const sent = Object.fromEntries(
      Object.entries(headers).map(([name, value]) => [name, value.replace("TOKEN", token).replace("COOKIE", cookie)]),
    );
    const response = await app(new Request(PAGE, { headers: sent }));
    return `${response.status} ${await response.text()}`;
  };
  const own = bearerTokens();
  const header = { authorization: "Bearer TOKEN" };

  it("counts for the inner one's routes", async () => {
    for (const lazy of [true, false]) {
      expect(await outerThenInner({ lazy }, { bearer: own }, header)).toBe("200 ada");
      expect(await outerThenInner({ lazy }, { bearer: own }, { cookie: "COOKIE" })).toBe("200 anonymous");
      expect(await outerThenInner({ lazy }, { bearer: own }, { ...header, cookie: "COOKIE" })).toMatch(/^400 This/);
    }
    expect(await outerThenInner({ bearer: own }, {}, header)).toBe("200 ada");
    expect(await outerThenInner({ bearer: own }, { bearer: own }, header, true)).toBe("200 ada");
  });

  it("is a mistake where the inner one reads cookies, and the outer one does not", async () => {
    const inner = { bearer: bearerTokens({ cookies: true }) };
    await expect(outerThenInner({ bearer: own }, inner, { cookie: "COOKIE" })).rejects.toThrow(
      "the adapter around this one reads no cookies",
    );
    expect(await outerThenInner(inner, { bearer: own }, { cookie: "COOKIE" })).toBe("200 anonymous");
    expect(await outerThenInner(inner, { bearer: own }, header)).toBe("200 ada");
  });

  it("is a mistake where the session was used before, as another one perhaps", async () => {
    await expect(outerThenInner({}, { bearer: own }, header, true)).rejects.toThrow("bearer comes too late");
  });

  it("can be chosen by a function of the request", async () => {
    const { answer, signIn, bearer } = application();
    const token = await signIn();
    const options = { bearer: (request: Request) => (new URL(request.url).pathname === "/api" ? bearer : undefined) };
    expect(await answer(bearing(token), whoIs, { url: `${PAGE}api`, with: options })).toMatchObject({ body: "ada" });
    expect(await answer(bearing(token), whoIs, { url: `${PAGE}web`, with: options })).toMatchObject({
      body: "anonymous",
    });
  });
});

describe("a bearer token", () => {
  it("is in no event, no error, no warning and no log", async () => {
    const shown: unknown[] = [];
    const spies = (["log", "warn", "error", "info", "debug"] as const).map((name) =>
      vi.spyOn(console, name).mockImplementation((...given) => void shown.push(...given)),
    );
    const warned = vi.spyOn(process, "emitWarning").mockImplementation((...given) => void shown.push(...given));
    const { answer, signIn, time, events, sessions, withCookie } = application({}, { rotation: { every: "1h" } });
    const replays: unknown[] = [];
    sessions.on("replayed", (event) => replays.push(event));
    const token = await signIn();
    await answer(bearing(token), (session) => shown.push(inspect(session, { depth: 9 })));
    time.now += 3_600_001;
    const { token: second } = await answer(bearing(token));
    await answer(bearing(second!));
    time.now += 60_000;
    await answer(bearing(token));
    await answer(bearing(second!));
    const { body } = await answer({ cookie: (await withCookie()).cookie, ...bearing(token) });
    const all = inspect([shown, events, replays, body], { depth: 20, maxStringLength: null, showHidden: true });
    expect(events.map(({ name }) => name)).toEqual(expect.arrayContaining(["signedIn", "rotated"]));
    expect(replays).toHaveLength(1);
    for (const secret of [token, second!]) {
      expect(all).not.toContain(secret.slice(23, 45));
      expect(all).not.toContain(secret.slice(-32));
    }
    for (const spy of [...spies, warned]) spy.mockRestore();
  });
});

describe("the options of bearerTokens", () => {
  it.each([
    [{ cookie: true }, 'has no option "cookie"'],
    [{ cookies: "yes" }, "cookies is true or false"],
    [{ prefer: "header" }, 'prefer is "bearer" or "cookie"'],
    [{ prefer: "cookie" }, 'prefer "cookie" needs cookies: true'],
  ])("refuse %j", (options, message) => expect(() => bearerTokens(options as BearerOptions)).toThrow(message));

  it("are refused in place of what bearerTokens makes", async () => {
    for (const wrong of [true, null, {}, "bearer"]) {
      expect(() => withSession(site().sessions, () => new Response(), { bearer: wrong as never })).toThrow(
        "withSession: bearer takes bearerTokens()",
      );
    }
    const app = withSession(site().sessions, () => new Response(), { bearer: () => true as never });
    await expect(app(new Request(PAGE))).rejects.toThrow("withSession: bearer takes bearerTokens()");
  });

  it("are refused with a store that keeps sessions in cookies", async () => {
    const sessions = createSessions({ secretKey: KEYS[0], store: cookieStore() });
    const app = withSession(sessions, () => new Response(), { bearer: bearerTokens() });
    await expect(app(new Request(PAGE))).rejects.toThrow("bearerTokens() needs the sessions on a server");
  });
});
