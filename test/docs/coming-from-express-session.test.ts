import express from "express";
import expressSession from "express-session";
import { afterAll, beforeEach, describe, expect, it, vi } from "vitest";
import { document, filesOf, workshop } from "../support/http/blocks.ts";
import { ask } from "../support/http/client.ts";
import { originFor, SECRET_KEY } from "../support/http/servers.ts";

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
    return () => vi.unstubAllEnvs();
  });

  /** A client of the application as it was before, and the same client once the application has moved. */
  async function move(secret: string | string[], change?: (store: OldStore) => OldStore) {
    const store = new expressSession.MemoryStore();
    const before = express().use(expressSession({ secret, store, resave: false, saveUninitialized: false }));
    before.post("/login", (req, res) => {
      Object.assign(req.session, { userId: "ada", cart: { items: ["tea"] } });
      res.send("");
    });
    before.post("/cart", (req, res) => {
      Object.assign(req.session, { cart: { items: ["milk"] } });
      res.send("");
    });
    const { createApp } = (await import(paths["app.ts"]!)) as { createApp: CreateApp };
    const origin = await originFor(createApp(change?.(store) ?? store, OLD_SECRETS));
    const oldOrigin = await originFor(before);
    return {
      store,
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
    expect([...cookies.keys()]).toEqual(["session"]);
    expect(bodyOf(await get(cookies))).toEqual(ADA);
  });

  it("accepts no copy of the old cookie after the move", async () => {
    const { cookiesOf, get, store } = await move(OLD_SECRETS);
    const cookies = await cookiesOf("/login");
    const copy = new Map(cookies);
    await get(cookies);
    expect(bodyOf(await get(copy))).toEqual(VISITOR);
    expect(await countOf(store)).toBe(0);
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

  it("ends the old session with the next request if the old store failed to", async () => {
    let isDown = true;
    const { cookiesOf, get, store } = await move(OLD_SECRETS, (old) => ({
      get: (id, callback) => old.get(id, callback),
      destroy: (id, callback) => (isDown ? callback(new Error("down")) : old.destroy(id, callback)),
    }));
    const cookies = await cookiesOf("/login");
    expect((await get(cookies)).status).toBe(500);
    isDown = false;
    expect(bodyOf(await get(cookies))).toEqual(ADA);
    expect(await countOf(store)).toBe(0);
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
