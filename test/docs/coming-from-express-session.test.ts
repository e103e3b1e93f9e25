import { EventEmitter, once } from "node:events";
import { request } from "node:http";
import express from "express";
import expressSession from "express-session";
import type { Sessions } from "sojourn";
import { afterAll, beforeEach, describe, expect, it, vi } from "vitest";
import { document, filesOf, workshop } from "../support/http/blocks.ts";
import { ask } from "../support/http/client.ts";
import { originFor, SECRET_KEY } from "../support/http/servers.ts";
import { createGate } from "../support/http/stage.ts";

const page = document("docs/coming-from-express-session.md");
const OLD_SECRETS = ["the newer of the old secrets", "an older one"];

interface OldStore {
  get(id: string, callback: (error: unknown, data?: unknown) => void): void;
  destroy(id: string, callback: (error?: unknown) => void): void;
}
type Cookies = Map<string, string>;
type CreateApp = (store: OldStore, secrets: string[]) => express.Express;

/** Sends a request as a browser with these cookies does, and changes them as the response says. */
async function visit(url: string, cookies: Cookies, method = "GET") {
  const cookie = [...cookies].map((pair) => pair.join("=")).join("; ");
  const answer = await ask(url, cookies.size > 0 ? { method, cookie } : { method });
  for (const line of answer.setCookies) {
    const [, name, value, rest] = /^([^=]+)=([^;]*)(.*)$/.exec(line)!;
    if (/Max-Age=0|Expires=Thu, 01 Jan 1970/.test(rest!)) cookies.delete(name!);
    else cookies.set(name!, value!);
  }
  return answer;
}

const countOf = (store: expressSession.MemoryStore) =>
  new Promise((resolve) => store.length((_error, count) => resolve(count)));

describe("the bridge from express-session", () => {
  const place = workshop();
  afterAll(place.clear);
  const paths = Object.fromEntries(filesOf(page).map(({ name, code }) => [name, place.file(name, code)]));
  beforeEach(() => {
    vi.stubEnv("SECRET_KEY", SECRET_KEY);
    vi.stubEnv("TMPDIR", place.env["TMPDIR"]);
    return () => {
      vi.unstubAllEnvs();
      vi.restoreAllMocks();
    };
  });

  /** A client of the application as it was before, and the same client once the application has moved. */
  async function move(secret: string | string[], change?: (store: OldStore) => OldStore, userId = "ada") {
    const store = new expressSession.MemoryStore();
    const before = express().use(expressSession({ secret, store, resave: false, saveUninitialized: false }));
    before.post("/login", (req, res) => {
      Object.assign(req.session, { userId, cart: { items: ["tea"] } });
      res.send("");
    });
    before.post("/cart", (req, res) => {
      Object.assign(req.session, { cart: { items: ["milk"] } });
      res.send("");
    });
    const { createApp } = (await import(paths["app.ts"]!)) as { createApp: CreateApp };
    const { sessions } = (await import(paths["sessions.ts"]!)) as { sessions: Sessions };
    const events = new EventEmitter();
    sessions.on("dropped", () => events.emit("dropped"));
    const after = express().use((_req, res, next) => {
      res.once("close", () => events.emit("closed"));
      next();
    });
    const origin = await originFor(after.use(createApp(change?.(store) ?? store, OLD_SECRETS)));
    const oldOrigin = await originFor(before);
    return {
      store,
      origin,
      /** Emits "closed" when a response has ended or its client has gone, and "dropped" when changes are. */
      events,
      listed: async () => (await sessions.list(userId)).length,
      post: (path: string, cookies: Cookies) => visit(origin + path, cookies, "POST"),
      /** The cookies of a browser that has posted to the application as it was before. */
      async cookiesOf(path: string) {
        const cookies: Cookies = new Map();
        await visit(oldOrigin + path, cookies, "POST");
        return cookies;
      },
      get: (cookies: Cookies) => visit(`${origin}/`, cookies),
    };
  }
  const ADA = { userId: "ada", items: ["tea"] };
  const VISITOR = { items: [] };
  const bodyOf = (answer: { readonly body: string }) => JSON.parse(answer.body) as object;

  it.each([
    ["the current secret", OLD_SECRETS[0]!],
    ["a previous secret", OLD_SECRETS[1]!],
  ])("keeps a user signed in, with the data, whose cookie was signed with %s", async (_which, secret) => {
    const { cookiesOf, get } = await move(secret);
    const cookies = await cookiesOf("/login");
    expect(bodyOf(await get(cookies))).toEqual(ADA);
    expect([...cookies.keys()]).toEqual(["connect.sid", "session"]);
    expect(bodyOf(await get(cookies))).toEqual(ADA);
    expect([...cookies.keys()]).toEqual(["session"]);
  });

  it("ends the old session with the request that has the new cookie, and accepts no copy of the old one then", async () => {
    const { cookiesOf, get, store } = await move(OLD_SECRETS);
    const cookies = await cookiesOf("/login");
    const copy = new Map(cookies);
    await get(cookies);
    expect(await countOf(store)).toBe(1);
    expect(bodyOf(await get(cookies))).toEqual(ADA);
    expect([...cookies.keys()]).toEqual(["session"]);
    expect(await countOf(store)).toBe(0);
    expect(bodyOf(await get(copy))).toEqual(VISITOR);
    expect(bodyOf(await get(cookies))).toEqual(ADA);
  });

  it("keeps a user signed in whose first request was aborted, and leaves no session that nobody has", async () => {
    const gate = createGate();
    const change = (old: OldStore): OldStore => ({
      get: (id, callback) => void gate.pass().then(() => old.get(id, callback)),
      destroy: (id, callback) => old.destroy(id, callback),
    });
    const { cookiesOf, get, origin, events, listed, store } = await move(OLD_SECRETS, change, "gus");
    const cookies = await cookiesOf("/login");
    const cookie = [...cookies].map((pair) => pair.join("=")).join("; ");
    const asking = request(`${origin}/`, { headers: { cookie } }).on("error", () => undefined);
    asking.end();
    await gate.reached;
    const closed = once(events, "closed");
    asking.destroy();
    await closed;
    const dropped = once(events, "dropped");
    gate.open();
    await dropped;
    expect(await countOf(store)).toBe(1);
    expect(await listed()).toBe(0);
    expect(bodyOf(await get(cookies))).toMatchObject({ userId: "gus" });
    expect(await listed()).toBe(1);
  });

  it("keeps a user signed in whose browser sends several first requests at once", async () => {
    const { cookiesOf, get, origin, store } = await move(OLD_SECRETS, undefined, "eve");
    const cookies = await cookiesOf("/login");
    const cookie = [...cookies].map((pair) => pair.join("=")).join("; ");
    const answers = await Promise.all([1, 2, 3, 4].map(() => ask(`${origin}/`, { cookie })));
    for (const answer of answers) expect(bodyOf(answer)).toMatchObject({ userId: "eve" });
    for (const [, name, value] of answers.map(({ setCookies }) => /^([^=]+)=([^;]*)/.exec(setCookies[0]!)!)) {
      cookies.set(name!, value!);
    }
    expect(bodyOf(await get(cookies))).toMatchObject({ userId: "eve" });
    expect(bodyOf(await get(cookies))).toMatchObject({ userId: "eve" });
    expect([...cookies.keys()]).toEqual(["session"]);
    expect(await countOf(store)).toBe(0);
  });

  it.each([0, 1])("signs a user out who has sent %i other requests since the move", async (others) => {
    const { cookiesOf, get, post, store } = await move(OLD_SECRETS);
    const cookies = await cookiesOf("/login");
    const copy = new Map(cookies);
    for (let i = 0; i < others; i++) await get(cookies);
    expect((await post("/logout", cookies)).status).toBe(303);
    expect(await countOf(store)).toBe(0);
    expect(bodyOf(await get(cookies))).toEqual(VISITOR);
    expect(bodyOf(await get(copy))).toEqual(VISITOR);
  });

  it("does not sign a user out, and says so, while the old session can't be ended", async () => {
    const { cookiesOf, get, post } = await move(OLD_SECRETS, (old) => ({
      get: (id, callback) => old.get(id, callback),
      destroy: (_id, callback) => callback(new Error("down")),
    }));
    const cookies = await cookiesOf("/login");
    expect((await post("/logout", cookies)).status).toBe(500);
    vi.spyOn(console, "error").mockReturnValue();
    expect(bodyOf(await get(cookies))).toEqual(ADA);
  });

  it("accepts no cookie that none of the old secrets has signed", async () => {
    const { cookiesOf, get, store } = await move("somebody else's secret");
    expect(bodyOf(await get(await cookiesOf("/login")))).toEqual(VISITOR);
    expect(await countOf(store)).toBe(1);
  });

  it.each(["rubbish", "s%3A", "s%3Aid.signature", "%ff%00", "s:a.%2B"])(
    "takes the old cookie %j for a visitor's",
    async (value) => {
      const { get } = await move(OLD_SECRETS);
      const answer = await get(new Map([["connect.sid", value]]));
      expect(answer.status).toBe(200);
      expect(bodyOf(answer)).toEqual(VISITOR);
    },
  );

  it("gives no session to a visitor", async () => {
    const { cookiesOf, get } = await move(OLD_SECRETS);
    const cookies = await cookiesOf("/cart");
    expect(bodyOf(await get(cookies))).toEqual(VISITOR);
    expect([...cookies.keys()]).toEqual([]);
  });

  it("signs nobody out while the old store fails", async () => {
    let isDown = true;
    const { cookiesOf, get } = await move(OLD_SECRETS, (store) => ({
      get: (id, callback) => (isDown ? callback(new Error("down")) : store.get(id, callback)),
      destroy: (id, callback) => store.destroy(id, callback),
    }));
    const cookies = await cookiesOf("/login");
    expect((await get(cookies)).status).toBe(500);
    isDown = false;
    expect(bodyOf(await get(cookies))).toEqual(ADA);
  });

  it("tries again with each request to end the old session that the old store failed to", async () => {
    const logged = vi.spyOn(console, "error").mockReturnValue();
    let isDown = true;
    const { cookiesOf, get, store } = await move(OLD_SECRETS, (old) => ({
      get: (id, callback) => old.get(id, callback),
      destroy: (id, callback) => (isDown ? callback(new Error("down")) : old.destroy(id, callback)),
    }));
    const cookies = await cookiesOf("/login");
    for (let i = 0; i < 3; i++) expect(bodyOf(await get(cookies))).toEqual(ADA);
    expect(logged).toHaveBeenCalledTimes(2);
    expect([...cookies.keys()]).toEqual(["connect.sid", "session"]);
    isDown = false;
    expect(bodyOf(await get(cookies))).toEqual(ADA);
    expect(await countOf(store)).toBe(0);
    expect([...cookies.keys()]).toEqual(["session"]);
  });

  it("has types that are right", async () => {
    expect(
      await place.typeErrors(
        [],
        filesOf(page).map(({ name }) => name),
      ),
    ).toBe("");
  });
});

describe("the page on express-session", () => {
  it("names each member of its session and each method of its store", () => {
    const { Session, Store, Cookie } = expressSession as unknown as Record<string, { prototype: object }>;
    const members = Object.getOwnPropertyNames(Session!.prototype)
      .concat(Object.getOwnPropertyNames(Cookie!.prototype))
      .concat(["get", "set", "touch", "destroy", "all", "length", "clear", "sessionID", "sessionStore"]);
    const internal = new Set(["constructor", "_expires", "data", "serialize", "toJSON"]);
    expect(Store).toBeDefined();
    expect(members.filter((name) => !internal.has(name) && !new RegExp(`\\b${name}\\b`).test(page))).toEqual([]);
  });

  it("names each option that express-session reads", () => {
    const options = ["cookie", "genid", "name", "proxy", "resave", "rolling", "saveUninitialized", "secret", "store"];
    const ofCookie = [
      "domain",
      "encode",
      "expires",
      "httpOnly",
      "maxAge",
      "partitioned",
      "path",
      "priority",
      "sameSite",
    ];
    const all = [...options, "unset", ...ofCookie.map((name) => `cookie.${name}`)];
    expect(all.filter((name) => !page.includes(`\`${name}`))).toEqual([]);
  });
});
