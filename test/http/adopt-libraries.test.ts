import { createHmac } from "node:crypto";
import Koa from "koa";
import { createSessions } from "sojourn";
import { expressSession, ironSession } from "sojourn/adopt";
import { sessionMiddleware as onKoa } from "sojourn/koa";
import { memoryStore } from "sojourn/memory";
import { describe, expect, it } from "vitest";
import { libraries, PREVIOUS, type FormerApplication } from "../support/http/former.ts";
import { ask } from "../support/http/client.ts";
import { originFor, SECRET_KEY, serve, ways } from "../support/http/servers.ts";

const HOUR = 3_600_000;
const [express] = ways;

/** Opens the session of a request with these cookies. */
function sessionsOf({ source }: Pick<FormerApplication, "source">, now?: () => number) {
  const clock = now ?? (() => Date.now());
  const options = { secretKey: SECRET_KEY, store: memoryStore({ clock }), cookie: { name: "sid" } };
  const sessions = createSessions({ ...options, adopt: [source], clock });
  const open = (cookie: string) => sessions.open(new Request("https://shop.example/", { headers: { cookie } }));
  return { sessions, open, who: async (cookie: string) => (await open(cookie)).userId };
}

describe.each(libraries)("A session of $name", ({ start, cookie: name, hasStore, hasEnd }) => {
  it.each(ways)("keeps its user signed in, with the data, on $name", async (way) => {
    const former = await start({});
    const cookie = await former.signIn();
    expect(await former.who(cookie)).toBe("ada");
    // cookie-session has the name of Sojourn's own cookie.
    const { visitor, sessions } = await serve(way, { options: { adopt: [former.source], cookie: { name: "sid" } } });
    const browser = visitor();
    const first = await browser.get("/", { cookie });
    expect(first.body).toBe("signed in as ada");
    expect(first.setCookies.map((line) => /^[^=]+=(?=;)|^sid/.exec(line)?.[0])).toContain(`${name}=`);
    expect(browser.cookie).toMatch(/^sid=1[\w-]{80}$/);
    expect(await browser.data()).toEqual({ userId: "ada", cart: ["tea", "Zoë"] });
    expect(await sessions.list("ada")).toHaveLength(1);
    await browser.post("/logout");
    expect((await visitor().get("/", { cookie })).body).toBe("anonymous");
    if (hasStore) {
      expect(former.size()).toBe(0);
      expect(await former.who(cookie)).toBe("nobody");
    }
  });

  it("keeps its user signed in on Koa 3", async () => {
    const former = await start({});
    const { sessions } = sessionsOf(former);
    const app = new Koa().use(onKoa(sessions)).use((ctx) => {
      ctx.body = ctx.session.userId ?? "nobody";
    });
    const { body, setCookies } = await ask(await originFor(app.callback()), { cookie: await former.signIn() });
    expect(body).toBe("ada");
    expect(setCookies).toContainEqual(expect.stringMatching(/^sid=1[\w-]{80};/));
  });

  it("keeps a user signed in whose cookie was signed with a previous secret", async () => {
    const former = await start({ secret: PREVIOUS });
    expect(await sessionsOf(former).who(await former.signIn())).toBe("ada");
  });

  it("is one session for parallel requests", async () => {
    const former = await start({ maxAge: HOUR });
    const cookie = await former.signIn();
    const { open } = sessionsOf(former);
    const ids = await Promise.all(Array.from({ length: 20 }, async () => (await open(cookie)).id));
    expect(new Set(ids).size).toBe(1);
  });

  it.runIf(hasEnd)("ends when its cookie or its store says so", async () => {
    const former = await start({ maxAge: HOUR });
    const cookie = await former.signIn();
    const { expiresAt } = await sessionsOf(former).open(cookie);
    // iron-session accepts a seal for a minute longer.
    expect(expiresAt - Date.now()).toBeGreaterThan(HOUR - 60_000);
    expect(expiresAt - Date.now()).toBeLessThanOrEqual(HOUR + 60_000);
  });

  it("is anonymous with a cookie that is forged, cut, huge, malformed or of another application", async () => {
    const former = await start({});
    const foreign = await start({ secret: "a secret that the application does not know" });
    const cookie = await former.signIn();
    const { who, sessions } = sessionsOf(former);
    const errors: unknown[] = [];
    sessions.on("error", ({ error }) => errors.push(error));
    const value = new RegExp(`(?:^|; )${name.replaceAll(".", "\\.")}=([^;]*)`).exec(cookie)![1]!;
    const rest = cookie.replace(`${name}=${value}`, "");
    const forged = [
      value.slice(0, -1) + (value.endsWith("A") ? "B" : "A"),
      value.slice(0, -4),
      `${value}x`,
      `x${value}`,
      `"${value}"`,
      value.toUpperCase(),
      value.repeat(3000),
      "%",
      "%E0%A4%A",
      "s:",
      "s:.",
      ".",
      "a.b",
      "",
      "e30=",
      "Fe26.2*1*a*b*c**d*e~2",
      "Fe26.2*__proto__*a*b*c**d*e~2",
      "é".repeat(50),
      "\0",
    ];
    for (const one of forged) {
      const headers = { get: (header: string) => (header === "cookie" ? `${name}=${one}${rest}` : null) };
      const session = await sessions.open({ url: "https://shop.example/", headers });
      expect([one, session.userId, session.isNew]).toEqual([one, undefined, true]);
    }
    expect(await who(await foreign.signIn())).toBeUndefined();
    expect(errors).toEqual([]);
    expect(await who(cookie)).toBe("ada");
  });
});

describe("A session of express-session", () => {
  const signature = createHmac("sha256", "an old secret").update("an-id").digest("base64").replace(/=+$/, "");
  const COOKIE = `connect.sid=${encodeURIComponent(`s:an-id.${signature}`)}`;

  it("keeps its user signed in whose store has extended it without writing the record, as connect-redis does", async () => {
    const now = 1_795_711_825_436;
    const passed = { originalMaxAge: HOUR, expires: new Date(now - 24 * HOUR).toISOString() };
    const record = { cookie: passed, passport: { user: "ada" } };
    const { sessions, open } = sessionsOf(
      { source: expressSession({ secret: "an old secret", store: async () => record, clock: () => now }) },
      () => now,
    );
    const { userId, expiresAt } = await open(COOKIE);
    expect([userId, expiresAt]).toEqual(["ada", now + HOUR]);
    await sessions.revokeAll("ada");
    expect((await open(COOKIE)).userId).toBeUndefined();
  });

  it.each([
    ["a profile of more than 512 bytes", "x".repeat(513)],
    ["half a character", "\ud800"],
  ])("goes on without a user where passport has kept %s as its user", async (_which, user) => {
    const store = async () => ({ cookie: {}, passport: { user }, cart: ["tea"] });
    const { sessions, open } = sessionsOf({ source: expressSession({ secret: "an old secret", store }) });
    const session = await open(COOKIE);
    expect([session.userId, session.data]).toEqual([undefined, { passport: { user }, cart: ["tea"] }]);
    await sessions.close();
  });
});

describe("A session of iron-session", () => {
  /** Made with iron-session 9.0.1. */
  const NINE =
    "Fe26.2*1*b0a3d5d4cf0d62e45ffdef5fdecc19a54e1b517ee5d58db06d4265ee05df7026*DLQ39TNM4mxPLfGV2UgNQA*7yCNEJkJLTdDwZoIKHeXFjRQ1j-npzgZnn3GaJGULRI*1795711825436*0a4e2ad6eeb8e9b728a09f5cc1bc353c9435fc9065934393368b15121043cda2*Ceu0FLczWDwbQpcnydLy2LU1cLTtt2lhB4NJTgho1HQ~2";
  const END = 1_795_711_825_436;
  const nine = (now: number) =>
    sessionsOf(
      {
        source: ironSession({
          password: "an old password of thirty-two characters",
          cookieName: "app",
          chunk: true,
          clock: () => now,
          userId: ({ userId }) => userId as string,
        }),
      },
      () => now,
    );

  it("9 keeps its user signed in until the seal expires, and for the minute that iron-session allows", async () => {
    expect(await nine(END - HOUR).who(`app=${NINE}`)).toBe("ada");
    expect(await nine(END + 59_999).who(`app=${NINE}`)).toBe("ada");
    expect(await nine(END + 60_000).who(`app=${NINE}`)).toBeUndefined();
  });

  it("9 is read from several pieces, which the response removes", async () => {
    const { sessions, open } = nine(END - HOUR);
    const session = await open(`app.0=${NINE.slice(0, 100)}; app.1=${NINE.slice(100)}`);
    expect(session.userId).toBe("ada");
    const response = await sessions.commit(session, new Response());
    const removed = response.headers.getSetCookie().flatMap((line) => /^(app[^=]*)=;/.exec(line)?.[1] ?? []);
    expect(removed).toEqual(["app", "app.0", "app.1", "app.2", "app.3"]);
    expect(await nine(END - HOUR).who(`app.0=${NINE.slice(0, 100)}; app.2=${NINE.slice(100)}`)).toBeUndefined();
  });

  it("is the same session with another version at the end, which nothing authenticates", async () => {
    const { open } = nine(END - HOUR);
    const first = await open(`app=${NINE}`);
    for (const suffix of ["~1", "", "~9"]) {
      const { id } = await open(`app=${NINE.replace("~2", suffix)}`);
      expect(id).toBe(first.id);
    }
    expect((await open(`app=${NINE.replaceAll("*", "%2A")}`)).id).toBe(first.id);
  });
});

describe("The option adopt, on Sojourn's lazy routes", () => {
  it("asks nothing for a route that does not look at its session", async () => {
    const former = await libraries[0].start({});
    const cookie = await former.signIn();
    const { visitor, calls, sessions } = await serve(express!, { lazy: true, options: { adopt: [former.source] } });
    const { body, setCookies } = await visitor().get("/untouched", { cookie });
    expect([body, setCookies, calls.total]).toEqual(["nobody looked", [], 0]);
    const browser = visitor();
    await browser.get("/lazy", { cookie });
    expect(await sessions.list("ada")).toHaveLength(1);
  });
});
