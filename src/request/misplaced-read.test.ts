import { inspect } from "node:util";
import { afterEach, describe, expect, it, vi } from "vitest";
import { begin, site, type SiteOptions } from "../../test/support/stores.ts";
import { context, session as current } from "../adapters/context.ts";

// Who comes from express-session reads `req.session.username`.

const warned = vi.spyOn(process, "emitWarning").mockImplementation(() => {});
afterEach(() => void warned.mockClear());

const read = (session: object, name: string | symbol): unknown => Reflect.get(session, name) as unknown;

async function visiting(path: string, options: SiteOptions = {}) {
  const shop = site(options);
  const browser = shop.browser();
  await browser.visit((session) => Object.assign(session.data, { username: "alice", passport: { user: 1 } }));
  warned.mockClear();
  return { ...shop, browser, ...(await browser.begin({}, `https://shop.example${path}`)) };
}

describe("a session whose data have a key", () => {
  it("warns where the key is read of the session itself, once for each route and key", async () => {
    const { session, browser } = await visiting("/misplaced");
    expect(read(session, "username")).toBeUndefined();
    expect(read(session, "username")).toBeUndefined();
    expect(read((await browser.begin({}, "https://shop.example/misplaced")).session, "username")).toBeUndefined();
    expect(warned.mock.calls).toEqual([
      [
        "GET /misplaced: session.username is undefined, because only session.data has what is stored: read session.data.username",
        { type: "SojournWarning", code: "SOJOURN_MISPLACED_READ" },
      ],
    ]);
    expect(read(session, "passport")).toBeUndefined();
    expect(read((await browser.begin({}, "https://shop.example/misplaced/2")).session, "username")).toBeUndefined();
    expect(warned).toHaveBeenCalledTimes(3);
  });

  it("warns where it is destructured, and where it is read of the session of sojourn/context", async () => {
    const { session, browser } = await visiting("/destructured");
    const { username } = session as unknown as { username?: string };
    expect(username).toBeUndefined();
    expect(warned).toHaveBeenCalledTimes(1);
    const other = (await browser.begin({}, "https://shop.example/current")).session;
    expect(context.run(other, () => read(current, "username"))).toBeUndefined();
    expect(warned).toHaveBeenCalledTimes(2);
  });

  it("goes by the data as they are at that moment", async () => {
    const { session } = await visiting("/moment");
    expect(read(session, "later")).toBeUndefined();
    delete session.data["username"];
    expect(read(session, "username")).toBeUndefined();
    expect(warned).not.toHaveBeenCalled();
    session.data["later"] = 1;
    expect(read(session, "later")).toBeUndefined();
    expect(warned).toHaveBeenCalledTimes(1);
  });

  it("cuts a long key, which a client may have chosen", async () => {
    const { session } = await visiting("/long");
    const key = "k".repeat(5000);
    session.data[key] = 1;
    read(session, key);
    expect(String(warned.mock.calls[0]![0]).length).toBeLessThan(400);
  });

  it("does not count as used by such a read", async () => {
    const { session, end } = await visiting("/unused");
    read(session, "username");
    expect(warned).toHaveBeenCalledTimes(1);
    const { headers } = await end();
    expect(headers.get("vary")).toBeNull();
    expect(headers.get("cache-control")).toBeNull();
  });

  it("is silent for names that its data lack, for those that every object has, and for `then`", async () => {
    const { session } = await visiting("/probes");
    Object.assign(session.data, Object.fromEntries(["then", "toString", "constructor"].map((name) => [name, 1])));
    for (const name of ["toJSON", "then", "toString", "constructor", "nodeType", "asymmetricMatch", "id", "length"])
      read(session, name);
    for (const symbol of [Symbol.iterator, Symbol.toPrimitive, Symbol("own")]) read(session, symbol);
    expect(await Promise.resolve(session)).toBe(session);
    expect(inspect(session)).toContain("username");
    expect(JSON.stringify(session)).toContain("username");
    expect("username" in session).toBe(false);
    expect(warned).not.toHaveBeenCalled();
  });

  it("is silent where the session is not loaded, and does not load it", async () => {
    const { sessions, browser, store } = await visiting("/lazy");
    const { total } = store.calls;
    const request = new Request("https://shop.example/lazy", { headers: { cookie: browser.cookie } });
    const lazy = begin(sessions, request);
    expect(read(lazy, "username")).toBeUndefined();
    expect(lazy.isLoaded).toBe(false);
    expect(store.calls.total).toBe(total);
    expect(warned).not.toHaveBeenCalled();
  });

  it("is silent with diagnostics: false, as in production", async () => {
    const { session } = await visiting("/production", { diagnostics: false });
    expect(read(session, "username")).toBeUndefined();
    expect(warned).not.toHaveBeenCalled();
  });

  it("is silent for an object that inherits from it", async () => {
    const { session } = await visiting("/inherited");
    expect(read(Object.create(session) as object, "username")).toBeUndefined();
    expect(warned).not.toHaveBeenCalled();
  });
});
