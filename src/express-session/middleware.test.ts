import { EventEmitter } from "node:events";
import { describe, expect, it, vi } from "vitest";
import { createGate } from "../../test/support/http/stage.ts";
import { count, downWhen, SECRET, site, VERSIONS, type Held } from "../../test/support/express-session.ts";
import { memoryStore } from "../stores/memory.ts";
import { faulty } from "../testing/faulty.ts";
import { MemoryStore, Store } from "./index.ts";

describe.each(Object.entries(VERSIONS))("session() of sojourn/express-session in %s", (_, make) => {
  it("keeps what a client has put into req.session, and shows it to no other client", async () => {
    const { visitor } = await site(count, {}, { make });
    const [ada, grace] = [visitor(), visitor()];
    await ada.get("/count");
    expect((await ada.get("/count")).body).toBe("2");
    expect((await grace.get("/count")).body).toBe("1");
    expect(ada.cookie).not.toBe(grace.cookie);
  });

  it("sets the cookie connect.sid, which begins with the session's id and carries more than it", async () => {
    const { visitor } = await site({ "/": (req, res) => res.send((req.session.a = req.sessionID)) }, {}, { make });
    const { setCookies, body: id } = await visitor().get("/");
    expect(setCookies).toEqual([expect.stringMatching(/^connect\.sid=s%3A[\w-]{22}\.[\w-]{58}; Path=\/; HttpOnly$/)]);
    expect(setCookies[0]).toContain(`s%3A${id}.`);
  });

  it("costs a visitor nothing under saveUninitialized: false", async () => {
    const store = faulty(memoryStore());
    const { visitor } = await site({ "/": (_req, res) => res.send("hello") }, { store }, { make });
    const { setCookies, headers } = await visitor().get("/");
    expect([setCookies, headers.vary, store.calls.total]).toEqual([[], undefined, 0]);
  });

  it("stores the session before a redirect leaves", async () => {
    const store = faulty(memoryStore());
    const routes = {
      "/login": (req: Held, res: { redirect(to: string): void }) => {
        req.session.user = "ada";
        res.redirect("/");
      },
    };
    const { visitor } = await site(routes, { store }, { make });
    const { status, setCookies } = await visitor().get("/login");
    expect([status, setCookies.length]).toEqual([302, 1]);
    expect(store.calls).toMatchObject({ read: 0, create: 1, update: 0 });
  });

  it("answers 503 by next(error) where the store fails, and replaces no cookie", async () => {
    let isDown = false;
    const store = downWhen(() => isDown);
    const { visitor, errors } = await site(count, { store }, { make });
    const ada = visitor();
    await ada.get("/count");
    const { cookie } = ada;
    isDown = true;
    expect(await ada.get("/count")).toMatchObject({ status: 503, setCookies: [] });
    expect(await visitor().get("/count")).toMatchObject({ status: 503, setCookies: [] });
    expect(errors).toMatchObject([{ code: "ERR_SESSION_STORE" }, { code: "ERR_SESSION_STORE" }]);
    isDown = false;
    expect((await ada.get("/count")).body).toBe("2");
    expect(ada.cookie).toBe(cookie);
  });

  it("loses no change of parallel requests", async () => {
    const gate = createGate();
    const routes = {
      "/set": async (req: Held, res: { send(body: string): void }) => {
        req.session.items ??= {};
        req.session.items[req.query["key"] as string] = true;
        await gate.pass();
        res.send("");
      },
      "/get": (req: Held, res: { json(body: unknown): void }) => res.json(req.session.items),
      ...count,
    };
    const { visitor } = await site(routes, { store: new MemoryStore() }, { make });
    const ada = visitor();
    await ada.get("/count");
    const keys = Array.from({ length: 20 }, (__, i) => `k${i}`);
    const setting = keys.map((key) => ada.get(`/set?key=${key}`));
    gate.open();
    await Promise.all(setting);
    expect(Object.keys(JSON.parse((await ada.get("/get")).body) as object).toSorted()).toEqual(keys.toSorted());
  });
});

describe("the option secret", () => {
  it("may be a list, and short: one warning says so", async () => {
    const warned = vi.spyOn(process, "emitWarning").mockReturnValue();
    const store = memoryStore();
    const before = await site(count, { store, secret: "keyboard cat" });
    const ada = before.visitor();
    await ada.get("/count");
    const after = await site(count, { store, secret: [SECRET, "keyboard cat"] });
    const { cookie } = ada;
    expect((await after.visitor().get("/count", { cookie })).body).toBe("2");
    expect((await after.visitor().get("/count", { cookie: cookie!.replace(/.$/, "_") })).body).toBe("1");
    expect(
      warned.mock.calls.filter(([, options]) => (options as { code?: string }).code === "SOJOURN_SHORT_SECRET"),
    ).toHaveLength(1);
    warned.mockRestore();
  });

  it("may be an ArrayBuffer, and is then the same as its bytes", async () => {
    const store = memoryStore();
    const bytes = new TextEncoder().encode(SECRET);
    const ada = (await site(count, { store, secret: bytes })).visitor();
    await ada.get("/count");
    const { buffer } = bytes;
    const shared = new SharedArrayBuffer(buffer.byteLength);
    new Uint8Array(shared).set(bytes);
    for (const [index, secret] of [buffer, shared].entries()) {
      const after = await site(count, { store, secret });
      expect((await after.visitor().get("/count", { cookie: ada.cookie! })).body).toBe(String(index + 2));
    }
  });

  it("is needed: without it, and without cookieParser(secret), a request fails", async () => {
    const { visitor, errors } = await site(count, { secret: undefined });
    expect((await visitor().get("/count")).status).toBe(500);
    expect(errors).toMatchObject([{ message: "secret option required for sessions" }]);
  });
});

describe("session.Store", () => {
  it("has the static members of EventEmitter, as its type says", () => {
    for (const name of Object.getOwnPropertyNames(EventEmitter)) expect(Store).toHaveProperty(name);
    expect(Store.EventEmitter).toBe(EventEmitter);
    expect(MemoryStore.listenerCount).toBe(EventEmitter.listenerCount);
  });
});
