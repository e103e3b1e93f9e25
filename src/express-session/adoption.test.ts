import express, { type RequestHandler } from "express";
import expressSession from "express-session";
import { describe, expect, it } from "vitest";
import { Client } from "../../test/support/http/client.ts";
import { SECRET, serve, site, type Held } from "../../test/support/express-session.ts";
import { expressStore, type SessionOptions } from "./index.ts";

type Sent = { send(body: string): void; json(body: unknown): void };

const OLD_SECRETS = ["the newer of the old secrets", "an older one"];

/** The application as it was before, with express-session itself. */
async function before(store: expressSession.Store, secret: string | string[] = SECRET) {
  const app = express().use(expressSession({ secret, store, resave: false, saveUninitialized: false }));
  app.get("/login", ((req: Held, res: Sent) => {
    req.session.passport = { user: "ada" };
    req.session.cart = ["tea"];
    if (req.query["remember"]) req.session.cookie.maxAge = 30 * 86_400_000;
    res.send("");
  }) as unknown as RequestHandler);
  app.get("/get", ((req: Held, res: Sent) => res.json(req.session.cart ?? null)) as unknown as RequestHandler);
  return serve(app);
}

const routes = {
  "/get": (req: Held, res: Sent) => res.json([req.session.cart ?? null, req.session.passport?.user ?? null]),
  "/add": (req: Held, res: Sent) => {
    req.session.cart.push(req.query["item"]);
    res.send("");
  },
  "/logout": (req: Held, res: Sent) => req.session.destroy(() => res.send("")),
};

/** A browser that has signed in before the change, and the application after it, with the same store. */
async function change(options: SessionOptions = {}, path = "/login", secret: string | string[] = SECRET) {
  const store = new expressSession.MemoryStore();
  const old = await before(store, secret);
  const after = await site(routes, { store, secret, ...options });
  const browser = async () => {
    const client = new Client(old);
    await client.get(path);
    const copy = after.visitor();
    const { cookie } = client;
    return { first: (to: string) => copy.get(to, copy.cookie ? {} : { cookie }), copy, cookie };
  };
  const recordOf = (id: string) =>
    new Promise((resolve) => store.get(id, (_error, found) => resolve(found ?? undefined)));
  return { ...after, old, store, browser, recordOf };
}

const GET = JSON.stringify([["tea"], "ada"]);
const NOBODY = JSON.stringify([null, null]);
const idIn = (cookie: string) => /s%3A([^.]+)\./.exec(cookie)![1]!;

describe("session() over the store that express-session has used", () => {
  it("keeps users signed in where expressStore wraps it, too", async () => {
    const store = new expressSession.MemoryStore();
    const client = new Client(await before(store));
    await client.get("/login");
    const after = await site(routes, { store: expressStore(store) });
    expect((await after.visitor().get("/get", { cookie: client.cookie })).body).toBe(GET);
  });

  it("keeps users signed in, each in a session of their own, which the lists know", async () => {
    const { browser, middleware } = await change();
    const [ada, other] = [await browser(), await browser()];
    const answers = [await ada.first("/get"), await other.first("/get")];
    expect(answers.map(({ body }) => body)).toEqual([GET, GET]);
    const [cookie, another] = answers.map(({ setCookies }) => setCookies[0]!);
    expect(cookie).toMatch(/^connect\.sid=s%3A[\w-]{22}\.[\w-]{58};/);
    expect(cookie).not.toBe(another);
    expect((await ada.copy.get("/get")).body).toBe(GET);
    expect(await middleware.sessions.list("ada")).toHaveLength(2);
  });

  it("gives parallel first requests one session, and keeps the changes of all", async () => {
    const { browser, middleware, visitor } = await change();
    const { cookie } = await browser();
    const items = Array.from({ length: 12 }, (_, i) => `item ${i}`);
    const adding = items.map((item) => visitor().get(`/add?item=${item}`, { cookie }));
    const cookies = new Set((await Promise.all(adding)).map(({ setCookies }) => setCookies[0]!.split(";")[0]!));
    expect(cookies.size).toBe(1);
    const [cart] = JSON.parse((await visitor().get("/get", { cookie: [...cookies][0] })).body) as [string[]];
    expect(cart.toSorted()).toEqual(["tea", ...items].toSorted());
    expect(await middleware.sessions.list("ada")).toHaveLength(1);
  });

  it("accepts no former cookie any more after the sign-out, and has ended the former session", async () => {
    const { browser, recordOf, visitor } = await change();
    const { first, copy, cookie } = await browser();
    await first("/get");
    expect(await recordOf(idIn(cookie!))).toBeDefined();
    await copy.get("/logout");
    expect(await recordOf(idIn(cookie!))).toBeUndefined();
    expect((await visitor().get("/get", { cookie })).body).toBe(NOBODY);
  });

  it("accepts former cookies of each secret in the list, and no forged one", async () => {
    const { browser, store } = await change({}, "/login", OLD_SECRETS[1]);
    const { cookie } = await browser();
    const after = await site(routes, { store: store as never, secret: [SECRET, ...OLD_SECRETS] });
    expect((await after.visitor().get("/get", { cookie: cookie!.replace(/.$/, "_") })).body).toBe(NOBODY);
    expect((await after.visitor().get("/get", { cookie })).body).toBe(GET);
  });

  it("keeps the lifetime that a former session had of its own", async () => {
    const { browser, middleware } = await change({}, "/login?remember=1");
    const { first } = await browser();
    const { setCookies } = await first("/get");
    const days = (new Date(/Expires=([^;]+)/.exec(setCookies[0]!)![1]!).getTime() - Date.now()) / 86_400_000;
    const [listed] = await middleware.sessions.list("ada");
    expect([Math.round(days), Math.round((listed!.expiresAt - Date.now()) / 86_400_000)]).toEqual([30, 30]);
  });

  it("adopts none where adopt is an empty list", async () => {
    const { browser } = await change({ adopt: [] });
    const { first } = await browser();
    expect((await first("/get")).body).toBe(NOBODY);
  });

  it("lets the application go back: express-session finds its own session, and takes ours for none", async () => {
    const { browser, old } = await change();
    const { first, copy, cookie } = await browser();
    await first("/get");
    const [back, ours] = [new Client(old), new Client(old)];
    expect((await back.get("/get", { cookie })).body).toBe('["tea"]');
    expect((await ours.get("/get", { cookie: copy.cookie })).body).toBe("null");
  });
});
