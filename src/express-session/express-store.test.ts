import cluster from "node:cluster";
import { MemoryStore, Store } from "express-session";
import createMemoryStore from "memorystore";
import { describe, expect, it, vi } from "vitest";
import { createSessions } from "../sessions.ts";
import { memoryStore } from "../stores/memory.ts";
import { everyId } from "../testing/contract-helpers.ts";
import { storeContract } from "../testing/index.ts";
import { KEYS, site } from "../../test/support/stores.ts";
import { expressStore, type ExpressSessionStore, type ExpressStoreOptions } from "./express-store.ts";

const ID = "AAAAAAAAAAAAAAAAAAAAAA";
const stored = (given: object = {}) => ({
  payload: new TextEncoder().encode("data"),
  version: 1,
  expiresAt: Date.now() + 3_600_000,
  ...given,
});

/** The sessions of express-session's MemoryStore, as their JSON. */
const sessionsOf = (memory: MemoryStore): Record<string, string> =>
  (memory as unknown as { sessions: Record<string, string> }).sessions;
const contentOf = (memory: MemoryStore, key: string) => JSON.parse(sessionsOf(memory)[key]!);

/** A store with some methods replaced. */
const overriding = (store: MemoryStore, methods: Partial<ExpressSessionStore>): ExpressSessionStore =>
  Object.assign(Object.create(store), methods);
const withoutAll = (store: MemoryStore): ExpressSessionStore => overriding(store, { all: undefined as never });

/** A store that calls back before its method returns. */
function immediate(): ExpressSessionStore {
  const contents = new Map<string, string>();
  return {
    get: (sid, callback) => callback(null, JSON.parse(contents.get(sid) ?? "null")),
    set(sid, session, callback) {
      contents.set(sid, JSON.stringify(session));
      callback();
    },
    destroy(sid, callback) {
      contents.delete(sid);
      callback(null);
    },
  };
}

/** The expressStore of another process: it has a queue of its own. */
async function otherProcess(): Promise<typeof expressStore> {
  vi.resetModules();
  return (await import("./express-store.ts")).expressStore;
}

const make = (store: unknown, options?: unknown) => () =>
  expressStore(store as ExpressSessionStore, options as ExpressStoreOptions);

describe("expressStore", () => {
  it.each([
    ["nothing", undefined, /needs a store for express-session, with get, set and destroy/],
    ["a class", MemoryStore, /the store that was made by new/],
    ["a store of Sojourn", memoryStore(), /a store of Sojourn already/],
  ])("refuses %s", (_, store, said) => {
    expect(make(store)).toThrow(TypeError);
    expect(make(store)).toThrow(said);
  });

  it.each([
    [{ ttl: 60 }, 'expressStore has no option "ttl"'],
    [{ processes: 2 }, 'processes must be "one" or "several"'],
    [{ clock: 5 }, "expressStore: clock must be a function"],
  ])("refuses the options %j", (options, said) => {
    expect(make(new MemoryStore(), options)).toThrow(said);
  });

  it("refuses to run in a worker of node:cluster until lost updates are accepted", () => {
    Object.assign(cluster, { isWorker: true });
    try {
      expect(make(new MemoryStore())).toThrow(/node:cluster runs several processes.*redisStore or postgresStore/);
      expect(make(new MemoryStore(), { processes: "several" })).not.toThrow();
    } finally {
      Object.assign(cluster, { isWorker: false });
    }
  });

  it("has idsOfUser and all only where the store has all, and never subscribe", () => {
    const names = (store: ExpressSessionStore) => Object.keys(expressStore(store)).toSorted();
    const five = ["create", "delete", "read", "touch", "update"];
    expect(names(new MemoryStore())).toEqual([...five, "all", "idsOfUser"].toSorted());
    expect(names(withoutAll(new MemoryStore()))).toEqual(five);
    const sessions = createSessions({ secretKey: KEYS[0], store: expressStore(withoutAll(new MemoryStore())) });
    return expect(sessions.list("ada")).rejects.toThrow(/needs a store with idsOfUser\(\)/);
  });

  it("gives the store a cookie by which it knows the time to live", async () => {
    const memory = new MemoryStore();
    const expiresAt = Date.now() + 3_600_000;
    await expressStore(memory).create(ID, stored({ expiresAt }));
    const { cookie } = contentOf(memory, ID);
    expect(Date.parse(cookie.expires)).toBeGreaterThanOrEqual(expiresAt);
    expect(Date.parse(cookie.expires)).toBeLessThan(expiresAt + 120_000);
    for (const age of [cookie.maxAge, cookie.originalMaxAge]) {
      expect(age).toBeGreaterThan(3_590_000);
      expect(age).toBeLessThan(3_720_000);
    }
  });

  it("keeps nothing of a session's data in the clear but its id, version, expiry and user", async () => {
    const memory = new MemoryStore();
    const browser = site({ store: expressStore(memory, { clock: () => Date.now() }), clock: Date.now }).browser();
    await browser.visit((session) => {
      session.data["secret"] = "a secret";
      session.signIn("ada");
    });
    const [content] = Object.values(sessionsOf(memory));
    const { cookie, sojourn } = JSON.parse(content!);
    expect(Object.keys(cookie).toSorted()).toEqual(["expires", "httpOnly", "maxAge", "originalMaxAge", "path"]);
    expect(Object.keys(sojourn).toSorted()).toEqual(["expiresAt", "id", "payload", "userId", "version"]);
    expect(Buffer.from(sojourn.payload, "base64").includes("a secret")).toBe(false);
  });

  it("treats a record under another key as no session", async () => {
    const memory = new MemoryStore();
    const store = expressStore(memory);
    const [one, other] = [ID, ID.replace("A", "B")];
    await store.create(one, stored());
    sessionsOf(memory)[other] = sessionsOf(memory)[one]!;
    expect(await store.read(other)).toBeUndefined();
    expect(await store.update(other, stored({ version: 2 }), 1)).toBe(false);
    expect(await store.delete(other)).toBe(false);
  });

  it("leaves sessions of express-session in the same store alone", async () => {
    const memory = new MemoryStore();
    const old = JSON.stringify({ cookie: { originalMaxAge: null }, user: "ada" });
    sessionsOf(memory)[ID] = old;
    const store = expressStore(memory);
    expect(await store.read(ID)).toBeUndefined();
    expect(await store.create(ID, stored())).toBe(false);
    expect(await store.touch(ID, Date.now() + 7_200_000)).toBe(false);
    expect(await store.delete(ID)).toBe(false);
    expect(await everyId(store)).toEqual([]);
    expect(sessionsOf(memory)[ID]).toBe(old);
  });

  it.each([
    ["no version", { version: undefined }],
    ["a payload that is no text", { payload: 5 }],
    ["an expiry that is no number", { expiresAt: "soon" }],
    ["a user that is no text", { userId: {} }],
  ])("rejects the read of a record with %s, and lists the others", async (_, damage) => {
    const memory = new MemoryStore();
    const store = expressStore(memory);
    const other = ID.replace("A", "B");
    await store.create(ID, stored());
    await store.create(other, stored());
    const content = contentOf(memory, ID);
    sessionsOf(memory)[ID] = JSON.stringify({ ...content, sojourn: { ...content.sojourn, ...damage } });
    await expect(store.read(ID)).rejects.toThrow("the express-session store returned a damaged session");
    expect(await everyId(store)).toEqual([other]);
  });
});

describe("expressStore over a store", () => {
  it("that calls back twice takes the first answer", async () => {
    const memory = new MemoryStore();
    const twice = overriding(memory, {
      set: (sid, session, callback) =>
        memory.set(sid, session as never, () => {
          callback();
          callback(new Error("too late"));
        }),
    });
    expect(await expressStore(twice).create(ID, stored())).toBe(true);
    expect((await expressStore(twice).read(ID))?.version).toBe(1);
  });

  it("that calls back at once works", async () => {
    const store = expressStore(immediate());
    expect(await store.create(ID, stored())).toBe(true);
    expect(await store.update(ID, stored({ version: 2 }), 1)).toBe(true);
    expect((await store.read(ID))?.version).toBe(2);
    expect(await store.delete(ID)).toBe(true);
    expect(await store.read(ID)).toBeUndefined();
  });

  const failure = new Error("the engine is down");
  it.each<[string, (...args: unknown[]) => unknown]>([
    [
      "throws",
      () => {
        throw failure;
      },
    ],
    ["calls back with an error", (...args) => (args.at(-1) as (error: unknown) => void)(failure)],
    ["returns a promise that is rejected, without calling back", () => Promise.reject(failure)],
    [
      "calls back with an error and returns a promise that is rejected",
      (...args) => {
        (args.at(-1) as (error: unknown) => void)(failure);
        return Promise.reject(failure);
      },
    ],
  ])("that %s rejects each operation with the store's error", async (_, fail) => {
    const broken = { get: fail, set: fail, destroy: fail, all: fail } as unknown as ExpressSessionStore;
    const store = expressStore(broken);
    for (const call of [
      () => store.read(ID),
      () => store.create(ID, stored()),
      () => store.update(ID, stored({ version: 2 }), 1),
      () => store.touch(ID, Date.now() + 1000),
      () => store.delete(ID),
      () => store.idsOfUser!("ada"),
    ]) {
      await expect(call()).rejects.toBe(failure);
    }
  });

  it("that calls back with text as its error rejects with an Error", async () => {
    const broken = overriding(new MemoryStore(), { get: (_, callback) => callback("down") });
    await expect(expressStore(broken).read(ID)).rejects.toThrow(/^down$/);
  });

  it("that calls back with the error of a missing file has no session", async () => {
    const files = overriding(new MemoryStore(), {
      get: (_, callback) => callback(Object.assign(new Error("no such file"), { code: "ENOENT" })),
    });
    expect(await expressStore(files).read(ID)).toBeUndefined();
  });

  it("that never calls back is an outage for the request, and later operations on the session are refused once 1000 wait", async () => {
    const silent = overriding(new MemoryStore(), { set: () => undefined });
    const sessions = createSessions({ secretKey: KEYS[0], store: expressStore(silent), storeTimeout: "20ms" });
    const session = await sessions.open(new Request("https://shop.example/"));
    Object.assign(session.data, { item: "tea" });
    await expect(sessions.commit(session, new Response("ok"))).rejects.toMatchObject({
      code: "ERR_SESSION_STORE",
      status: 503,
    });
    const store = expressStore(silent);
    for (let count = 0; count < 1000; count += 1) void store.create(ID, stored());
    await expect(store.create(ID, stored())).rejects.toThrow("1000 operations of one session wait");
  });

  it("keeps each of 200 concurrent changes of one session in one process", async () => {
    const { browser } = site<{ items?: number[] }>({
      store: expressStore(new MemoryStore()),
      clock: Date.now,
      // They wait for each other, and the machine may be busy.
      storeTimeout: "1h",
    });
    const ada = browser();
    await ada.visit((session) => (session.data.items = []));
    const visits = Array.from({ length: 200 }, (_, n) => ada.visit((session) => session.data.items!.push(n)));
    await Promise.all(visits);
    expect((await ada.data()).items).toHaveLength(200);
  });
});

/** The rules that can't hold between processes, because the store has no compare-and-set. */
const BETWEEN_PROCESSES =
  /concurrent updates once|one of (?:many|two)|many touches|never loses an update|undoes an update|an update that may only extend and meets|two touches that meet/;

type Kind = [name: string, store: () => ExpressSessionStore, capabilities: ("idsOfUser" | "all")[]];

describe.each<Kind>([
  ["MemoryStore of express-session", () => new MemoryStore(), ["idsOfUser", "all"]],
  ["memorystore", () => new (createMemoryStore({ Store } as never))({ checkPeriod: 0 }), ["idsOfUser", "all"]],
  ["a store without all", () => withoutAll(new MemoryStore()), []],
])("the store contract of expressStore over %s", (_, open, capabilities) => {
  describe.each(["one", "several"] as const)('in one process with processes: "%s"', (processes) => {
    const two = ({ clock }: { clock: () => number }) => {
      const store = open();
      return [expressStore(store, { processes, clock }), expressStore(store, { processes, clock })] as const;
    };
    it.each(storeContract(two, { capabilities }))("$name", async ({ run }) => {
      await expect(run()).resolves.toBeUndefined();
    });
  });

  describe("between processes", () => {
    const cases = storeContract(
      async ({ clock }) => {
        const store = open();
        const options = { processes: "several", clock } as const;
        const other = await otherProcess();
        return [expressStore(store, options), other(store, options)];
      },
      { capabilities },
    );
    it.each(cases.filter(({ name }) => !BETWEEN_PROCESSES.test(name)))("$name", async ({ run }) => {
      await expect(run()).resolves.toBeUndefined();
    });
  });
});
