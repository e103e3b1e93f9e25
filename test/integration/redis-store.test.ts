import { Buffer } from "node:buffer";
import { createHash, randomBytes } from "node:crypto";
import { Cluster as IoCluster, Redis as IoRedis } from "ioredis";
import { Redis as Valkey } from "iovalkey";
import { createClient, createClientPool, createCluster, createSentinel } from "redis";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { createSessions } from "../../src/sessions.ts";
import type { StoredSession } from "../../src/store.ts";
import { redisStore, type NodeRedisClient, type RedisStoreClient } from "../../src/stores/redis/store.ts";
import { encodeInstant, encodeUser } from "../../src/stores/redis/value.ts";
import { ADD_TO_INDEX, REMOVE_FROM_INDEX, runScript, TOUCH } from "../../src/stores/redis/scripts.ts";
import { connectNodeRedis, REDIS_SERVER, type RedisServer, startRedis } from "../support/redis.ts";
import { Browser, KEYS } from "../support/stores.ts";
import { until } from "../support/throwaway.ts";

const HOUR = 3_600_000;
const newId = () => randomBytes(16).toString("base64url");
const session = (given: Partial<StoredSession> = {}): StoredSession => ({
  payload: randomBytes(200),
  version: 1,
  expiresAt: Date.now() + HOUR,
  ...given,
});

describe.skipIf(!REDIS_SERVER)("redisStore", () => {
  let server: RedisServer;
  let client: Awaited<ReturnType<typeof connectNodeRedis>>;
  beforeAll(async () => {
    server = await startRedis();
    client = await connectNodeRedis(server.port);
  });
  afterAll(async () => {
    client.destroy();
    await server.end();
  });

  /** Counts the commands that clients send meanwhile, by name. Commands inside scripts are not counted. */
  async function commands(during: () => Promise<unknown>): Promise<Record<string, number>> {
    const seen: string[] = [];
    const monitor = new IoRedis(server.port, "127.0.0.1");
    const monitoring = await monitor.monitor();
    await new Promise<void>((resolve) => {
      monitoring.on("monitor", (_time: string, command: string[], source: string) => {
        if (source !== "lua") seen.push(command[0]!.toLowerCase());
        if (command[1] === "begin") resolve();
      });
      void client.sendCommand(["ECHO", "begin"]);
    });
    seen.length = 0;
    await during();
    await client.sendCommand(["ECHO", "end"]);
    await until("the monitor has seen the end", () => seen.includes("echo"));
    monitoring.disconnect();
    monitor.disconnect();
    const counts: Record<string, number> = {};
    for (const name of seen) if (name !== "echo") counts[name] = (counts[name] ?? 0) + 1;
    return counts;
  }

  it("reads with one GET, and writes, touches and deletes with one script", async () => {
    const store = redisStore(client, { prefix: "count" });
    await store.create(newId(), session());
    const id = newId();
    expect(await commands(() => store.create(id, session()))).toEqual({ evalsha: 1 });
    expect(await commands(() => store.read(id))).toEqual({ get: 1 });
    await store.touch(id, Date.now() + HOUR + 1);
    await store.update(id, session({ version: 2 }), 1);
    expect(await commands(() => store.update(id, session({ version: 3 }), 2))).toEqual({ evalsha: 1 });
    expect(await commands(() => store.touch(id, Date.now() + 2 * HOUR))).toEqual({ evalsha: 1 });
    await store.delete(newId());
    expect(await commands(() => store.delete(id))).toEqual({ evalsha: 1 });
    expect(await commands(() => store.read(id))).toEqual({ get: 1 });
  });

  it("sends no command for a visitor, one GET for a reader, and a GET and a script for a writer", async () => {
    const sessions = createSessions<{ n?: number }>({
      secretKey: KEYS[0],
      store: redisStore(client, { prefix: "core" }),
    });
    const browser = new Browser(sessions);
    expect(await commands(() => browser.visit())).toEqual({});
    await browser.visit((visit) => visit.signIn("ada"));
    await browser.visit((visit) => (visit.data.n = 1));
    expect(await commands(() => browser.visit((visit) => visit.data.n))).toEqual({ get: 1 });
    expect(await commands(() => browser.visit((visit) => (visit.data.n = 2)))).toEqual({ get: 1, evalsha: 1 });
  });

  it("adds a user's session to the index once for many updates and touches, and removes it when the session ends", async () => {
    const store = redisStore(client, { prefix: "indexed" });
    const [id, userId] = [newId(), "ada"];
    await store.create(newId(), session({ userId }));
    expect(await commands(() => store.create(id, session({ userId })))).toEqual({ evalsha: 2 });
    const [key] = await client.keys("indexed:@*");
    for (let version = 2; version < 10; version += 1) {
      const next = session({ userId, version, expiresAt: Date.now() + HOUR + version });
      expect(await commands(() => store.update(id, next, version - 1))).toEqual({ evalsha: 1 });
      expect(await commands(() => store.touch(id, Date.now() + HOUR + 1000 * version))).toEqual({ evalsha: 1 });
    }
    expect(await commands(() => store.touch(id, Date.now() + 3 * HOUR))).toEqual({ evalsha: 3 });
    const longer = session({ userId, version: 10, expiresAt: Date.now() + 9 * HOUR });
    expect(await commands(() => store.update(id, longer, 9))).toEqual({ evalsha: 3 });
    expect(await client.zCard(key!)).toBe(2);
    await store.delete(id);
    await until("it is removed from the index", async () => (await client.zCard(key!)) === 1);
    expect(await store.idsOfUser(userId)).not.toContain(id);
  });

  it("never lets an index expire before the sessions in it", async () => {
    const store = redisStore(client, { prefix: "outlive" });
    const expiresAt = Date.now() + 90 * 24 * HOUR;
    await store.create(newId(), session({ userId: "ada", expiresAt }));
    await store.create(newId(), session({ userId: "ada", expiresAt: Date.now() + 1000 }));
    const [key] = await client.keys("outlive:@*");
    expect(await client.pTTL(key!)).toBeGreaterThan(90 * 24 * HOUR);
  });

  it("finds a session by its user, whichever updates and touches happen at the same time", async () => {
    const store = redisStore(client, { prefix: "race" });
    const id = newId();
    await store.create(id, session({ userId: "ada" }));
    let version = 1;
    const writes = Array.from({ length: 40 }, async (_, n) => {
      const userId = n % 2 ? "ada" : "grace";
      const found = await store.read(id);
      if (await store.update(id, session({ userId, version: found!.version + 1 }), found!.version)) version += 1;
      await store.touch(id, Date.now() + 2 * HOUR + n * HOUR);
    });
    await Promise.all(writes);
    for (let round = 0; round < 20; round += 1) {
      const userId = ["ada", "grace"][round % 2]!;
      await store.update(id, session({ userId, version: version + 1 }), version);
      version += 1;
      expect(await store.idsOfUser(userId)).toEqual([id]);
      expect(await store.idsOfUser(userId === "ada" ? "grace" : "ada")).toEqual([]);
    }
  });

  /** The same client, with a callback that each command waits for. */
  function withHook(before: (script: string) => Promise<unknown> | undefined): RedisStoreClient {
    const hooked: NodeRedisClient & { subscribe: unknown } = {
      async sendCommand(command, options) {
        await before(String(command[1]));
        return client.sendCommand([...command], options);
      },
      duplicate: (overrides) => client.duplicate(overrides),
      subscribe: () => {},
    };
    return hooked;
  }

  it("keeps a session in the index of a user that it has got again", async () => {
    // With the same time, two entries would get the same score.
    const now = Date.now();
    const clock = vi.spyOn(Date, "now").mockReturnValue(now);
    const store = redisStore(client, { prefix: "back" });
    const removals: (() => void)[] = [];
    const slow = redisStore(
      withHook((script) =>
        script === REMOVE_FROM_INDEX.sha ? new Promise<void>((resume) => removals.push(resume)) : undefined,
      ),
      { prefix: "back" },
    );
    const id = newId();
    const expiresAt = now + HOUR;
    await store.create(id, session({ userId: "ada", expiresAt }));
    await slow.update(id, session({ userId: "grace", expiresAt, version: 2 }), 1);
    await store.update(id, session({ userId: "ada", expiresAt, version: 3 }), 2);
    clock.mockRestore();
    expect(removals).toHaveLength(1);
    for (const resume of removals) resume();
    await client.ping();
    await client.ping();
    expect(await store.idsOfUser("ada")).toEqual([id]);
  });

  it("adds an extended session to the index of the user that it has by then", async () => {
    const store = redisStore(client, { prefix: "extended" });
    const id = newId();
    await store.create(id, session({ userId: "ada" }));
    let changed = false;
    const slow = redisStore(
      withHook((script) => {
        if (script !== ADD_TO_INDEX.sha || changed) return undefined;
        changed = true;
        return store.update(id, session({ userId: "grace", version: 2 }), 1);
      }),
      { prefix: "extended" },
    );
    const expiresAt = Date.now() + 50 * HOUR;
    expect(await slow.touch(id, expiresAt)).toBe(true);
    expect(await store.read(id)).toMatchObject({ userId: "grace", expiresAt });
    const scores: number[] = [];
    for (const key of await client.keys("extended:@*")) scores.push((await client.zScore(key, id)) ?? 0);
    expect(scores.filter((score) => score >= expiresAt)).toHaveLength(2);
  });

  it("removes entries of missing sessions from an index only after their time is over", async () => {
    const store = redisStore(client, { prefix: "heal" });
    const [kept, lost] = [newId(), newId()];
    await store.create(kept, session({ userId: "ada" }));
    await store.create(lost, session({ userId: "ada" }));
    const [key] = await client.keys("heal:@*");
    await client.del(`heal:${lost}`);
    expect(await store.idsOfUser("ada")).toEqual([kept]);
    // The session might be about to be created.
    expect(await client.zCard(key!)).toBe(2);
    await client.zAdd(key!, { score: Date.now() - 2 * HOUR, value: lost });
    await client.zAdd(key!, { score: Date.now() - 2 * HOUR, value: kept });
    expect(await store.idsOfUser("ada")).toEqual([kept]);
    await until("the entry of the missing session is removed", async () => (await client.zCard(key!)) === 1);
    const other = newId();
    await client.zAdd(key!, { score: Date.now() - 2 * HOUR, value: lost });
    await store.create(other, session({ userId: "ada" }));
    await until("a sign-in removes it too", async () => (await client.zScore(key!, lost)) === null);
    expect((await store.idsOfUser("ada")).toSorted()).toEqual([kept, other].toSorted());
  });

  it("finds all of a user's sessions, however many", async () => {
    const store = redisStore(client, { prefix: "many" });
    const ids = Array.from({ length: 700 }, newId);
    await Promise.all(ids.map((id) => store.create(id, session({ userId: "ada" }))));
    expect((await store.idsOfUser("ada")).toSorted()).toEqual(ids.toSorted());
  });

  it("distinguishes all user ids, half a surrogate pair included", async () => {
    const store = redisStore(client, { prefix: "users" });
    const userIds = ["ada", "Ada", "ada ", "\u{1F981}", "\ud83e", "\ud83f", "\ufffd", "x".repeat(70_000), ""];
    const ids = await Promise.all(
      userIds.map(async (userId) => {
        const id = newId();
        await store.create(id, session({ userId }));
        return id;
      }),
    );
    for (const [index, userId] of userIds.entries()) {
      expect(await store.idsOfUser(userId)).toEqual([ids[index]]);
      expect((await store.read(ids[index]!))?.userId).toBe(userId);
      expect(await store.touch(ids[index]!, Date.now() + 9 * HOUR)).toBe(true);
      expect(await store.update(ids[index]!, session({ userId, version: 2 }), 1)).toBe(true);
    }
  });

  it("keeps versions of any size", async () => {
    const store = redisStore(client, { prefix: "versions" });
    for (const version of [1, 255, 256, 65_535, 2 ** 32, Number.MAX_SAFE_INTEGER - 1]) {
      const id = newId();
      await store.create(id, session({ version, userId: "ada" }));
      expect((await store.read(id))?.version).toBe(version);
      expect(await store.update(id, session({ version: version + 1 }), version - 1)).toBe(false);
      expect(await store.update(id, session({ version: version + 1, userId: "ada" }), version)).toBe(true);
      expect((await store.read(id))?.version).toBe(version + 1);
    }
  });

  it("leaves expiry to the server, to the millisecond", async () => {
    const store = redisStore(client, { prefix: "expiry" });
    const id = newId();
    const expiresAt = Date.now() + HOUR;
    await store.create(id, session({ expiresAt }));
    // A key can still be read in the millisecond of its PXAT, a session can't in that of its expiresAt.
    expect(await client.pExpireTime(`expiry:${id}`)).toBe(expiresAt - 1);
    await store.touch(id, expiresAt + 5000);
    expect(await client.pExpireTime(`expiry:${id}`)).toBe(expiresAt + 4999);
    await store.update(id, session({ version: 2, expiresAt: expiresAt + 1 }), 1);
    expect(await client.pExpireTime(`expiry:${id}`)).toBe(expiresAt);
  });

  it("takes 330 bytes for a session of 171", async () => {
    const store = redisStore(client, { prefix: "sojourn:" });
    let id = "";
    const sessions = createSessions<{ text?: string; username?: string }>({
      secretKey: KEYS[0],
      store: { ...store, create: (created, stored) => store.create((id = created), stored) },
    });
    const data = { username: "ada", text: "" };
    data.text = "x".repeat(171 - JSON.stringify(data).length);
    const browser = new Browser(sessions);
    await browser.visit((visit) => Object.assign(visit.data, data));
    expect(JSON.stringify(await browser.data())).toHaveLength(171);
    expect(await client.memoryUsage(`sojourn:${id}`)).toBeLessThanOrEqual(330);
    await store.touch(id, Date.now() + 100 * HOUR);
    expect(await client.memoryUsage(`sojourn:${id}`)).toBeLessThanOrEqual(330);
  });

  it("sends the text of scripts that the server does not know any more", async () => {
    const store = redisStore(client, { prefix: "flush" });
    const id = newId();
    for (const step of [
      () => store.create(id, session()),
      () => store.update(id, session({ version: 2 }), 1),
      () => store.touch(id, Date.now() + 2 * HOUR),
      () => store.delete(id),
    ]) {
      await client.scriptFlush();
      expect(await step()).toBe(true);
    }
  });

  it("recognises its own write if the client sends it twice, and no other write", async () => {
    const twice: NodeRedisClient & { subscribe: unknown } = {
      async sendCommand(command, options) {
        if (command[0] === "EVALSHA") await client.sendCommand([...command], options as never).catch(() => {});
        return client.sendCommand([...command], options);
      },
      duplicate: (overrides) => client.duplicate(overrides),
      subscribe: () => {},
    };
    const store = redisStore(client, { prefix: "twice" });
    const doubled = redisStore(twice, { prefix: "twice" });
    for (const userId of [undefined, "ada"]) {
      const id = newId();
      expect(await doubled.create(id, session({ userId }))).toBe(true);
      const next = session({ version: 2, userId });
      expect(await doubled.update(id, next, 1)).toBe(true);
      expect((await store.read(id))?.version).toBe(2);
      expect(await store.update(id, next, 1)).toBe(false);
      expect(await store.create(id, next)).toBe(false);
      expect(await doubled.touch(id, next.expiresAt + HOUR)).toBe(true);
      expect(await doubled.update(id, session({ version: 3, userId: "grace" }), 2)).toBe(true);
      expect(await store.idsOfUser("grace")).toContain(id);
    }
  });

  it("lists only its own sessions, whichever characters its prefix and other keys have", async () => {
    const prefixes = ["list", "list:2", "li*", "li?t", "[l]ist", "list\\", "l^-ist"];
    const stores = prefixes.map((prefix) => redisStore(client, { prefix }));
    const ids = await Promise.all(
      stores.map(async (store) => {
        const id = newId();
        await store.create(id, session({ userId: "ada" }));
        return id;
      }),
    );
    await client.set("list:other:key", "value");
    for (const [index, store] of stores.entries()) {
      const found: string[] = [];
      for await (const id of store.all()) found.push(id);
      expect(found).toEqual([ids[index]]);
      expect(await store.idsOfUser("ada")).toEqual([ids[index]]);
    }
  });

  it("distinguishes user ids whose bytes are the same in UTF-8 and in UTF-16", async () => {
    const store = redisStore(client, { prefix: "kinds" });
    const [halves, whole] = ["\ud841\u0080", "A\u0600\0"];
    expect(Buffer.from(halves, "utf16le")).toEqual(Buffer.from(whole, "utf8"));
    const id = newId();
    await store.create(id, session({ userId: whole }));
    // An update that came too late leaves such an entry.
    const entry = Buffer.from(id);
    const index = `kinds:@${createHash("sha256").update(halves, "utf16le").digest("base64url").slice(0, 22)}`;
    await client.zAdd(index, { score: Date.now() + HOUR, value: entry });
    expect(await store.idsOfUser(halves)).toEqual([]);
    expect(await store.idsOfUser(whole)).toEqual([id]);
    // A touch is for the user that the session had when it was indexed.
    const key = `kinds:${id}`;
    const later = encodeInstant(Date.now() + 9 * HOUR);
    const touch = (userId: string) => {
      const args = [later, `${Date.now() + 9 * HOUR}`, later, encodeUser(userId)];
      return runScript({ send: (_key, command) => client.sendCommand([...command]) }, TOUCH, key, args);
    };
    expect(await touch(halves)).not.toBe(1);
    expect(await touch(whole)).toBe(1);
  });

  it("notifies each of several listeners, in every process, until it unsubscribes", async () => {
    const other = await connectNodeRedis(server.port);
    const store = redisStore(client, { prefix: "notify" });
    const announcing = redisStore(other, { prefix: "notify", announceChanges: true });
    const notified: string[] = [];
    const states: boolean[] = [];
    const listener = {
      ended: (id: string) => void notified.push(`-${id}`),
      changed: (id: string) => void notified.push(`+${id}`),
      listening: (is: boolean) => void states.push(is),
    };
    const [first, second] = [store.subscribe(listener), store.subscribe(listener)];
    expect(states).toEqual([false, false]);
    await until("both listen", () => states.length === 4);
    expect(states).toEqual([false, false, true, true]);
    const id = newId();
    await announcing.create(id, session());
    await announcing.update(id, session({ version: 2 }), 1);
    await until("both are notified", () => notified.length === 2);
    first();
    first();
    await announcing.delete(id);
    await until("the remaining one is notified", () => notified.length === 3);
    expect(notified).toEqual([`+${id}`, `+${id}`, `-${id}`]);
    second();
    await until(
      "the connection is closed",
      async () => !(await server.command("PUBSUB", "CHANNELS", "notify:*")).includes("notify"),
    );
    other.destroy();
  });

  it("keeps its listener connection if a listener throws", async () => {
    const store = redisStore(client, { prefix: "throws" });
    const notified: string[] = [];
    let isListening = false;
    const warned = new Promise((resolve) => process.once("warning", resolve));
    store.subscribe({
      ended() {
        throw new Error("a mistake in the application");
      },
    });
    store.subscribe({ ended: (id) => notified.push(id), listening: (is) => (isListening = is) });
    await until("it listens", () => isListening);
    for (const id of [newId(), newId()]) {
      await store.create(id, session());
      await store.delete(id);
      await until("the other is notified", () => notified.includes(id));
    }
    expect(String(await warned)).toContain("a mistake in the application");
    await store.close();
  });

  it("takes the clients of all three packages, and names the remedy for others", async () => {
    const lazy = { lazyConnect: true } as const;
    const clients: RedisStoreClient[] = [
      createClient(),
      createClient({ RESP: 2, commandOptions: { typeMapping: {} } }),
      createCluster({ rootNodes: [] }),
      createSentinel({ name: "main", sentinelRootNodes: [] }),
      new IoRedis(lazy),
      new IoRedis({ ...lazy, sentinels: [{ host: "127.0.0.1", port: 1 }], name: "main" }),
      new IoRedis({ ...lazy, replyMapping: "resp3" }),
      new IoCluster([], lazy),
      new Valkey(lazy),
    ];
    for (const one of clients) expect(() => redisStore(one)).not.toThrow();
    for (const wrong of [undefined, null, {}, "redis://", new Map(), createClientPool()]) {
      expect(() => redisStore(wrong as never)).toThrow(/takes a client of redis/);
    }
    for (const prefixed of [
      createClient({ keyPrefix: "app:" }),
      new IoRedis({ ...lazy, keyPrefix: "app:" }),
      new IoCluster([], { ...lazy, redisOptions: { keyPrefix: "app:" } }),
    ]) {
      expect(() => redisStore(prefixed)).toThrow(/without keyPrefix/);
    }
    const socket = { socketTimeout: 5000 };
    expect(() => redisStore(createClient({ socket }))).toThrow(/gives up for good/);
    expect(() => redisStore(createClient({ socket: { ...socket, reconnectStrategy: 100 } }))).not.toThrow();
    const clusterWith = (defaults: object) => createCluster({ rootNodes: [{ url: "redis://127.0.0.1:1" }], defaults });
    expect(() => redisStore(clusterWith({ socket }))).toThrow(/gives up for good.*defaults: /);
    expect(() => redisStore(clusterWith({ socket: { ...socket, reconnectStrategy: 100 } }))).not.toThrow();
    expect(() => redisStore(new IoCluster([], { ...lazy, scaleReads: "slave" }))).toThrow(/scaleReads/);
    const texts = { redisOptions: { stringNumbers: true } };
    expect(() => redisStore(new IoCluster([], { ...lazy, ...texts }))).toThrow(/without stringNumbers/);
    expect(() => redisStore(new IoCluster([], { ...lazy, enableAutoPipelining: true }))).toThrow(
      /enableAutoPipelining/,
    );
  });

  it("names the option that it can't use", () => {
    expect(() => redisStore(client, { ttl: 5 } as never)).toThrow(/no option "ttl"/);
    for (const prefix of ["", "{app}:", "a}", 5]) {
      expect(() => redisStore(client, { prefix } as never)).toThrow(/prefix/);
    }
    expect(() => redisStore(client, { announceChanges: 1 } as never)).toThrow(/announceChanges/);
    expect(() => redisStore(client, { replicas: { wait: 0 } })).toThrow(/replicas\.wait/);
    expect(() => redisStore(client, { replicas: { wait: 1, timeout: "soon" } } as never)).toThrow(/replicas\.timeout/);
  });

  it("refuses a value that it has not written, and an expiry that it can't keep", async () => {
    const store = redisStore(client, { prefix: "foreign" });
    await client.set("foreign:text", "some text that is no session");
    await expect(store.read("text")).rejects.toThrow(/no session/);
    await expect(store.create(newId(), session({ expiresAt: 2 ** 48 }))).rejects.toThrow(/10889/);
  });
});
