import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Answer } from "../support/http/client.ts";
import { serve, ways } from "../support/http/servers.ts";

const HOUR = 3_600_000;

beforeEach(() => void vi.spyOn(console, "error").mockReturnValue());
afterEach(() => void vi.restoreAllMocks());

/** The caching headers of a response, and whether it sets the session's cookie. */
function cachingHeaders({
  headers,
  setCookies,
}: Answer): [vary: string | undefined, cacheControl: string | undefined, number] {
  const own = setCookies.filter((line) => line.startsWith("session="));
  // Express adds Accept to its redirects.
  return [headers.vary?.toLowerCase().replace(/^accept, /, ""), headers["cache-control"], own.length];
}

describe.each(ways)("sojourn for $name tells caches", (way) => {
  it("of a visitor: that a page depends on the cookie if the session was read, and nothing else", async () => {
    const { visitor } = await serve(way);
    expect(cachingHeaders(await visitor().get("/"))).toEqual(["cookie", undefined, 0]);
    expect(cachingHeaders(await visitor().get("/untouched"))).toEqual([undefined, undefined, 0]);
    expect(cachingHeaders(await visitor().get("/logout"))).toEqual(["cookie", undefined, 0]);
    expect(cachingHeaders(await visitor().get("/public"))).toEqual(["cookie", "public, max-age=60", 0]);
  });

  it("of a user's session: that it is private, unless the application has set Cache-Control", async () => {
    const { signedIn } = await serve(way);
    const client = await signedIn();
    expect(cachingHeaders(await client.get("/"))).toEqual(["cookie", "private", 0]);
    expect(cachingHeaders(await client.get("/", { method: "HEAD" }))).toEqual(["cookie", "private", 0]);
    expect(cachingHeaders(await client.get("/add?k=a"))).toEqual(["cookie", "private", 0]);
    expect(cachingHeaders(await client.get("/redirect?step=1"))).toEqual(["cookie", "private", 0]);
    expect(cachingHeaders(await client.get("/untouched"))).toEqual([undefined, undefined, 0]);
    expect(cachingHeaders(await client.get("/public"))).toEqual(["cookie", "public, max-age=60", 0]);
    expect(cachingHeaders(await client.get("/vary"))).toEqual(["accept-encoding, cookie", "private", 0]);
  });

  it("of every response with a cookie: that it must not be stored", async () => {
    const { visitor } = await serve(way);
    const client = visitor();
    expect(cachingHeaders(await client.get("/two-cookies"))).toEqual(["cookie", "no-store", 1]);
    expect(cachingHeaders(await client.post("/login"))).toEqual(["cookie", "no-store", 1]);
    expect(cachingHeaders(await client.get("/logout"))).toEqual(["cookie", "no-store", 1]);
    expect(cachingHeaders(await visitor().get("/stream"))).toEqual(["cookie", "no-store", 1]);
  });

  it("of a response that was not modified: the same as of the full one", async () => {
    const { signedIn } = await serve(way);
    const client = await signedIn();
    const whole = await client.get("/etag");
    expect(cachingHeaders(whole)).toEqual(["cookie", "private", 0]);
    const again = await client.get("/etag", { headers: { "if-none-match": whole.headers.etag! } });
    expect(again).toMatchObject({ status: 304, body: "", headers: { etag: '"ada"' } });
    expect(cachingHeaders(again)).toEqual(["cookie", "private", 0]);
  });

  it("of an error: that it must not be stored, or is private", async () => {
    const { signedIn } = await serve(way);
    const client = await signedIn();
    const mistake = await client.get("/bad-value");
    expect(mistake).toMatchObject({ status: 500, setCookies: [] });
    expect(mistake.headers["cache-control"] ?? "nothing, which keeps no cache a 500").not.toMatch(/public|max-age/);
  });

  // The access to the session is forgotten together with the dropped changes.
  it("of a page for a user who signed out meanwhile: that it is private", async () => {
    const { signedIn, stage } = await serve(way);
    const client = await signedIn();
    const slow = client.twin().get("/slow?gate=a");
    await stage.gate("a").reached;
    await client.get("/logout");
    stage.gate("a").open();
    expect(cachingHeaders(await slow)).toEqual(["cookie", "private", 0]);
  });
});

describe.each(ways)("sojourn for $name", (way) => {
  it("calls no store operation for a visitor, or for a foreign cookie", async () => {
    const { visitor, calls } = await serve(way);
    for (const path of ["/", "/data", "/untouched", "/logout", "/step"]) {
      expect((await visitor().get(path)).setCookies).toEqual([]);
      expect((await visitor().get(path, { cookie: "session=forged; theme=dark" })).setCookies).toEqual([]);
    }
    expect(calls.total).toBe(0);
  });

  it("reads once for a session that is only read, and touches once an interval", async () => {
    const { signedIn, calls, clock } = await serve(way);
    const client = await signedIn();
    for (let n = 0; n < 5; n += 1) expect((await client.get("/")).setCookies).toEqual([]);
    expect(calls).toMatchObject({ read: 5, touch: 0, update: 0 });
    clock.ahead = HOUR;
    for (let n = 0; n < 5; n += 1) expect((await client.get("/")).setCookies).toEqual([]);
    expect(calls).toMatchObject({ read: 10, touch: 1, update: 0 });
  });

  it("calls no store operation in a lazy route that never reads the session", async () => {
    const { signedIn, calls } = await serve(way, { lazy: true });
    const client = await signedIn();
    const { total } = calls;
    expect(cachingHeaders(await client.get("/untouched"))).toEqual([undefined, undefined, 0]);
    expect(calls.total).toBe(total);
  });

  it("reads the session in a lazy route that loads it", async () => {
    const { signedIn, visitor, calls } = await serve(way, { lazy: true });
    const client = await signedIn();
    expect(await client.get("/lazy")).toMatchObject({ status: 200, body: "ada" });
    expect(calls.read).toBe(1);
    expect(await visitor().get("/lazy")).toMatchObject({ status: 200, body: "anonymous" });
    expect(calls.read).toBe(1);
  });

  it("names the missing call if a lazy route uses the session before loading it", async () => {
    const { signedIn, visitor, seen } = await serve(way, { lazy: true, ownErrors: true });
    const client = await signedIn();
    expect(await client.get("/")).toMatchObject({ status: 500, setCookies: [] });
    expect(seen).toEqual([expect.any(TypeError)]);
    expect((seen[0] as Error).message).toContain("await session.load() first");
    expect(await visitor().get("/")).toMatchObject({ status: 200, body: "anonymous" });
  });

  it("answers 503 if a lazy route can't load the session", async () => {
    const { signedIn, faults } = await serve(way, { lazy: true });
    const client = await signedIn();
    faults.read = "error";
    const answer = await client.get("/lazy");
    expect(answer).toMatchObject({ status: 503, setCookies: [], headers: { "cache-control": "no-store" } });
    faults.read = "ok";
    expect(await client.get("/lazy")).toMatchObject({ status: 200, body: "ada" });
  });
});
