import { randomBytes } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { Cluster as IoCluster, Redis as IoRedis } from "ioredis";
import { Redis as Valkey } from "iovalkey";
import { createCluster, createSentinel } from "redis";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createSessions } from "../../src/sessions.ts";
import { redisStore, type RedisStoreClient, type RedisStoreOptions } from "../../src/stores/redis/store.ts";
import {
  confirming,
  REDIS_SERVER,
  type RedisServer,
  startCluster,
  startRedis,
  startSentinel,
} from "../support/redis.ts";
import { Browser, KEYS } from "../support/stores.ts";
import { startProxy, until } from "../support/throwaway.ts";

interface Data {
  count?: number;
}

type Connected = { client: RedisStoreClient; end(): unknown };

/** Signed-in visitors that read and write all the time, and what they were promised. */
async function crowd(client: RedisStoreClient, options: RedisStoreOptions) {
  const store = redisStore(client, options);
  const sessions = createSessions<Data>({ secretKey: KEYS[0], store, storeTimeout: "2s" });
  // While all is well there is no hurry, however busy the machine.
  const replicas = options.replicas && { ...options.replicas, timeout: "60s" as const };
  const early = redisStore(client, { ...options, replicas });
  const patient = createSessions<Data>({ secretKey: KEYS[0], store: early, storeTimeout: "60s" });
  const visitors = Array.from({ length: 12 }, (_, index) => ({
    userId: `user-${index}`,
    browser: new Browser(sessions),
    acknowledged: 0,
    tried: 0,
  }));
  for (const visitor of visitors) {
    const browser = new Browser(patient);
    await browser.visit((visit) => visit.signIn(visitor.userId));
    visitor.browser = browser.copy(sessions);
  }
  const strange: string[] = [];
  const load = { isOn: true };
  const loops = visitors.map(async (visitor) => {
    while (load.isOn) {
      visitor.tried += 1;
      try {
        await visitor.browser.visit((visit) => {
          if (visit.userId !== visitor.userId) strange.push(`${visitor.userId} was signed out`);
          visit.update("count", (count = 0) => count + 1);
        });
        visitor.acknowledged += 1;
      } catch (error) {
        if ((error as { code?: string }).code !== "ERR_SESSION_STORE") strange.push(String(error));
      }
      await delay(2);
    }
  });
  return {
    store,
    visitors,
    strange,
    acknowledged: () => visitors.reduce((sum, { acknowledged }) => sum + acknowledged, 0),
    /** Waits until everybody is served again, and stops. */
    async settle() {
      const before = visitors.map(({ acknowledged }) => acknowledged);
      await until("everybody is served again", () =>
        visitors.every(({ acknowledged }, index) => acknowledged > before[index]! + 3),
      );
      load.isOn = false;
      await Promise.all(loops);
    },
    /** How many of the writes that were acknowledged are gone, as another client sees it. */
    async lostAt(other: RedisStoreClient): Promise<number> {
      const again = createSessions<Data>({
        secretKey: KEYS[0],
        store: redisStore(other, { prefix: options.prefix }),
        storeTimeout: "60s",
      });
      let gone = 0;
      for (const { browser, userId, acknowledged, tried } of visitors) {
        const copy = browser.copy(again);
        expect(await copy.userId()).toBe(userId);
        const { count = 0 } = await copy.data();
        gone += Math.max(0, acknowledged - count);
        expect(count).toBeLessThanOrEqual(tried);
      }
      return gone;
    },
    async halt() {
      load.isOn = false;
      await Promise.all(loops);
    },
    async end() {
      load.isOn = false;
      await Promise.all(loops);
      await sessions.close();
      await store.close();
    },
  };
}

describe.skipIf(!REDIS_SERVER)("redisStore behind Sentinels", () => {
  const clients: Record<string, (port: number) => Promise<Connected>> = {
    async redis(port) {
      const client = createSentinel({ name: "main", sentinelRootNodes: [{ host: "127.0.0.1", port }] });
      client.on("error", () => {});
      await client.connect();
      return { client, end: () => client.destroy() };
    },
    async ioredis(port) {
      const sentinels = [{ host: "127.0.0.1", port }];
      const client = new IoRedis({ sentinels, name: "main", maxRetriesPerRequest: 1 }).on("error", () => {});
      return { client, end: () => client.disconnect() };
    },
    async iovalkey(port) {
      const sentinels = [{ host: "127.0.0.1", port }];
      const client = new Valkey({ sentinels, name: "main", maxRetriesPerRequest: 1 }).on("error", () => {});
      return { client, end: () => client.disconnect() };
    },
  };

  for (const [name, connect] of Object.entries(clients)) {
    it.concurrent(`loses nothing that a replica has confirmed when ${name}'s primary is killed, and signs nobody out`, async () => {
      const primary = await startRedis();
      const replica = await startRedis(["--replicaof", "127.0.0.1", `${primary.port}`]);
      await confirming(primary);
      const sentinel = await startSentinel(primary);
      await until("the sentinel knows the replica", async () =>
        (await sentinel.ask("SENTINEL", "REPLICAS", "main")).includes(`${replica.port}`),
      );
      const { client, end } = await connect(sentinel.port);
      const load = await crowd(client, { replicas: { wait: 1, timeout: "500ms" } });
      const states: boolean[] = [];
      const heard: string[] = [];
      const deaf = load.store.subscribe({ listening: (is) => states.push(is), ended: (id) => heard.push(id) });
      try {
        const ids = await Promise.all(load.visitors.map(async ({ browser }) => (await browser.begin()).session.id));
        await until("there are writes", () => load.acknowledged() > 100 && states.at(-1));
        await primary.kill();
        await until("the replica is the primary", async () =>
          (await replica.ask("INFO", "replication")).includes("role:master"),
        );
        // It has no replica any more: only now may a write be acknowledged without one.
        const alone = redisStore(client);
        await until("the store works", async () =>
          alone.read("none").then(
            () => true,
            () => false,
          ),
        );
        for (const visitor of load.visitors) {
          await until(`${visitor.userId} is served`, async () => visitor.browser.userId().catch(() => false));
        }
        await load.halt();
        expect(await load.lostAt(client)).toBe(0);
        expect(load.strange).toEqual([]);
        expect(states).toContain(false);
        await until("it hears again", () => states.at(-1) === true);
        const id = ids[0]!;
        expect(await alone.delete(id)).toBe(true);
        await until("it has heard of an end on the new primary", () => heard.includes(id));
      } finally {
        deaf();
        await load.end();
        await end();
        await Promise.all([sentinel.end(), primary.end(), replica.end()]);
      }
    });
  }

  it("rejects what too few replicas have confirmed, and says that it is on the primary", async () => {
    const primary = await startRedis();
    const client = new IoRedis(primary.port, "127.0.0.1").on("error", () => {});
    const store = redisStore(client, { replicas: { wait: 1, timeout: "50ms" } });
    const id = randomBytes(16).toString("base64url");
    const stored = { payload: randomBytes(10), version: 1, expiresAt: Date.now() + 60_000 };
    await expect(store.create(id, stored)).rejects.toThrow(/only 0 of 1 replicas/);
    expect((await store.read(id))?.version).toBe(1);
    client.disconnect();
    await primary.end();
  });

  it("loses nothing that a replica has confirmed, however far it is behind", async () => {
    const primary = await startRedis();
    const line = await startProxy({ port: primary.port });
    const replica = await startRedis(["--replicaof", "127.0.0.1", `${line.port}`]);
    await confirming(primary);
    line.delay(20);
    const client = new IoRedis(primary.port, "127.0.0.1", { maxRetriesPerRequest: 0 }).on("error", () => {});
    const load = await crowd(client, { replicas: { wait: 1, timeout: "1s" } });
    await until("there are writes", () => load.acknowledged() > 100);
    await primary.kill();
    await load.end();
    await replica.ask("REPLICAOF", "NO", "ONE");
    client.disconnect();
    const survivor = new IoRedis(replica.port, "127.0.0.1");
    expect(await load.lostAt(survivor)).toBe(0);
    survivor.disconnect();
    await line.stop();
    await Promise.all([primary.end(), replica.end()]);
  });
});

describe.skipIf(!REDIS_SERVER)("redisStore in a cluster", () => {
  let cluster: Awaited<ReturnType<typeof startCluster>>;
  beforeAll(async () => (cluster = await startCluster()));
  afterAll(() => cluster.end());

  it("signs a user in who has sessions already, over connections that are only just made", async () => {
    const stored = { payload: new Uint8Array(9), version: 1, expiresAt: Date.now() + 600_000, userId: "ada" };
    for (let turn = 0; turn < 3; turn += 1) {
      const fresh = new IoCluster([{ host: "127.0.0.1", port: cluster.nodes[turn]!.port }], { lazyConnect: true });
      fresh.on("error", () => {});
      const store = redisStore(fresh, { prefix: "fresh", replicas: { wait: 1, timeout: "60s" } });
      expect(await store.create(`session-${turn}`, stored)).toBe(true);
      fresh.disconnect();
    }
  });

  it("loses nothing that a replica has confirmed when a primary is killed under load, and signs nobody out", async () => {
    const rootNodes = cluster.nodes.map(({ port }) => ({ url: `redis://127.0.0.1:${port}` }));
    const node = createCluster({ rootNodes, defaults: { disableOfflineQueue: true } }).on("error", () => {});
    await node.connect();
    const io = new IoCluster(
      cluster.nodes.map(({ port }) => ({ host: "127.0.0.1", port })),
      { redisOptions: { maxRetriesPerRequest: 1 } },
    );
    io.on("error", () => {});
    const loads = [
      await crowd(node, { prefix: "node", replicas: { wait: 1, timeout: "1s" } }),
      await crowd(io, { prefix: "io", replicas: { wait: 1, timeout: "1s" } }),
    ];
    const states: boolean[][] = [[], []];
    const heard: string[][] = [[], []];
    const deaf = loads.map(({ store }, index) =>
      store.subscribe({
        listening: (is) => states[index]!.push(is),
        ended: (id) => heard[index]!.push(id),
      }),
    );
    try {
      await until("there are writes", () => loads.every((load) => load.acknowledged() > 100));
      await until("they listen", () => states.every((told) => told.at(-1)));
      await cluster.nodes[0]!.kill();
      const successor = cluster.nodes[3] as RedisServer;
      await until("a replica has taken over", async () =>
        (await successor.ask("INFO", "replication")).includes("role:master"),
      );
      // Without a replica of its own it can confirm nothing, and still serves everybody.
      for (const [index, load] of loads.entries()) {
        const alone = redisStore([node, io][index]!, { prefix: ["node", "io"][index] });
        for (const { userId } of load.visitors) {
          const found = await until(`${userId} is served`, () => alone.idsOfUser(userId).catch(() => false as const));
          expect(found).toHaveLength(1);
        }
      }
      await cluster.nodes[0]!.restart();
      await until("the old primary follows", async () =>
        (await cluster.nodes[0]!.ask("INFO", "replication")).includes("master_link_status:up"),
      );
      for (const [index, load] of loads.entries()) {
        await load.settle();
        expect(load.strange).toEqual([]);
        expect(await load.lostAt([node, io][index]!)).toBe(0);
      }
      await until("they hear", () => states.every((told) => told.at(-1)));
      const ended = (await loads[0]!.visitors[0]!.browser.begin()).session.id;
      expect(await loads[0]!.store.delete(ended)).toBe(true);
      await until("it has heard", () => heard[0]!.includes(ended));
      for (const load of loads) {
        for (const { userId, browser } of load.visitors.slice(1)) {
          expect(await load.store.idsOfUser(userId)).toEqual([(await browser.begin()).session.id]);
        }
      }
    } finally {
      for (const end of deaf) end();
      for (const load of loads) await load.end();
      node.destroy();
      io.disconnect();
    }
  });
});
