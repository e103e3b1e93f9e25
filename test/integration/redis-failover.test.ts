import { randomBytes } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { Cluster as IoCluster, Redis as IoRedis } from "ioredis";
import { Redis as Valkey } from "iovalkey";
import { createCluster, createSentinel } from "redis";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createSessions } from "../../src/sessions.ts";
import { redisStore, type RedisStoreClient, type RedisStoreOptions } from "../../src/stores/redis/store.ts";
import {
  waitForReplicas,
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

/** Starts signed-in visitors who read and write all the time, and records which writes were acknowledged. */
async function startLoad(client: RedisStoreClient, options: RedisStoreOptions) {
  const store = redisStore(client, options);
  const sessions = createSessions<Data>({ secretKey: KEYS[0], store, storeTimeout: "2s" });
  // The visitors sign in with long timeouts, because the machine may be busy.
  const replicas = options.replicas && { ...options.replicas, timeout: "60s" as const };
  const patientStore = redisStore(client, { ...options, replicas });
  const patientSessions = createSessions<Data>({ secretKey: KEYS[0], store: patientStore, storeTimeout: "60s" });
  const visitors = Array.from({ length: 12 }, (_, index) => ({
    userId: `user-${index}`,
    browser: new Browser(sessions),
    acknowledged: 0,
    tried: 0,
  }));
  for (const visitor of visitors) {
    const browser = new Browser(patientSessions);
    await browser.visit((visit) => visit.signIn(visitor.userId));
    visitor.browser = browser.copy(sessions);
  }
  const unexpected: string[] = [];
  const load = { isRunning: true };
  const loops = visitors.map(async (visitor) => {
    while (load.isRunning) {
      visitor.tried += 1;
      try {
        await visitor.browser.visit((visit) => {
          if (visit.userId !== visitor.userId) unexpected.push(`${visitor.userId} was signed out`);
          visit.update("count", (count = 0) => count + 1);
        });
        visitor.acknowledged += 1;
      } catch (error) {
        if ((error as { code?: string }).code !== "ERR_SESSION_STORE") unexpected.push(String(error));
      }
      await delay(2);
    }
  });
  return {
    store,
    visitors,
    unexpected,
    acknowledged: () => visitors.reduce((sum, { acknowledged }) => sum + acknowledged, 0),
    /** Waits until every visitor is served again, and stops the load. */
    async recoverAndStop() {
      const before = visitors.map(({ acknowledged }) => acknowledged);
      await until("every visitor is served again", () =>
        visitors.every(({ acknowledged }, index) => acknowledged > before[index]! + 3),
      );
      load.isRunning = false;
      await Promise.all(loops);
    },
    /** Counts the acknowledged writes that another client does not find. */
    async countLost(other: RedisStoreClient): Promise<number> {
      const otherSessions = createSessions<Data>({
        secretKey: KEYS[0],
        store: redisStore(other, { prefix: options.prefix }),
        storeTimeout: "60s",
      });
      let lost = 0;
      for (const { browser, userId, acknowledged, tried } of visitors) {
        const copy = browser.copy(otherSessions);
        expect(await copy.userId()).toBe(userId);
        const { count = 0 } = await copy.data();
        lost += Math.max(0, acknowledged - count);
        expect(count).toBeLessThanOrEqual(tried);
      }
      return lost;
    },
    async stop() {
      load.isRunning = false;
      await Promise.all(loops);
    },
    async end() {
      load.isRunning = false;
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
    it.concurrent(`loses no write that a replica has confirmed when ${name}'s primary is killed, and signs no user out`, async () => {
      const primary = await startRedis();
      const replica = await startRedis(["--replicaof", "127.0.0.1", `${primary.port}`]);
      await waitForReplicas(primary);
      const sentinel = await startSentinel(primary);
      await until("the sentinel knows the replica", async () =>
        (await sentinel.command("SENTINEL", "REPLICAS", "main")).includes(`${replica.port}`),
      );
      const { client, end } = await connect(sentinel.port);
      const load = await startLoad(client, { replicas: { wait: 1, timeout: "500ms" } });
      const states: boolean[] = [];
      const notified: string[] = [];
      const unsubscribe = load.store.subscribe({
        listening: (is) => states.push(is),
        ended: (id) => notified.push(id),
      });
      try {
        const ids = await Promise.all(load.visitors.map(async ({ browser }) => (await browser.begin()).session.id));
        await until("there are writes", () => load.acknowledged() > 100 && states.at(-1));
        await primary.kill();
        await until("the replica is the primary", async () =>
          (await replica.command("INFO", "replication")).includes("role:master"),
        );
        // It has no replica any more, so this store does not wait for one.
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
        await load.stop();
        expect(await load.countLost(client)).toBe(0);
        expect(load.unexpected).toEqual([]);
        expect(states).toContain(false);
        await until("it listens again", () => states.at(-1) === true);
        const id = ids[0]!;
        expect(await alone.delete(id)).toBe(true);
        await until("it is notified of an end on the new primary", () => notified.includes(id));
      } finally {
        unsubscribe();
        await load.end();
        await end();
        await Promise.all([sentinel.end(), primary.end(), replica.end()]);
      }
    });
  }

  it("rejects a write that too few replicas have confirmed, and says that it is on the primary", async () => {
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

  it("loses no write that a replica has confirmed, however far it is behind", async () => {
    const primary = await startRedis();
    const link = await startProxy({ port: primary.port });
    const replica = await startRedis(["--replicaof", "127.0.0.1", `${link.port}`]);
    await waitForReplicas(primary);
    link.delay(20);
    const client = new IoRedis(primary.port, "127.0.0.1", { maxRetriesPerRequest: 0 }).on("error", () => {});
    const load = await startLoad(client, { replicas: { wait: 1, timeout: "1s" } });
    await until("there are writes", () => load.acknowledged() > 100);
    await primary.kill();
    await load.end();
    await replica.command("REPLICAOF", "NO", "ONE");
    client.disconnect();
    const survivor = new IoRedis(replica.port, "127.0.0.1");
    expect(await load.countLost(survivor)).toBe(0);
    survivor.disconnect();
    await link.stop();
    await Promise.all([primary.end(), replica.end()]);
  });
});

describe.skipIf(!REDIS_SERVER)("redisStore in a cluster", () => {
  let cluster: Awaited<ReturnType<typeof startCluster>>;
  beforeAll(async () => (cluster = await startCluster()));
  afterAll(() => cluster.end());

  it("signs in a user who has sessions already, over new connections", async () => {
    const stored = { payload: new Uint8Array(9), version: 1, expiresAt: Date.now() + 600_000, userId: "ada" };
    for (let index = 0; index < 3; index += 1) {
      const fresh = new IoCluster([{ host: "127.0.0.1", port: cluster.nodes[index]!.port }], { lazyConnect: true });
      fresh.on("error", () => {});
      const store = redisStore(fresh, { prefix: "fresh", replicas: { wait: 1, timeout: "60s" } });
      expect(await store.create(`session-${index}`, stored)).toBe(true);
      fresh.disconnect();
    }
  });

  it("loses no write that a replica has confirmed when a primary is killed under load, and signs no user out", async () => {
    const rootNodes = cluster.nodes.map(({ port }) => ({ url: `redis://127.0.0.1:${port}` }));
    const node = createCluster({ rootNodes, defaults: { disableOfflineQueue: true } }).on("error", () => {});
    await node.connect();
    const io = new IoCluster(
      cluster.nodes.map(({ port }) => ({ host: "127.0.0.1", port })),
      { redisOptions: { maxRetriesPerRequest: 1 } },
    );
    io.on("error", () => {});
    const loads = [
      await startLoad(node, { prefix: "node", replicas: { wait: 1, timeout: "1s" } }),
      await startLoad(io, { prefix: "io", replicas: { wait: 1, timeout: "1s" } }),
    ];
    const states: boolean[][] = [[], []];
    const notified: string[][] = [[], []];
    const unsubscribes = loads.map(({ store }, index) =>
      store.subscribe({
        listening: (is) => states[index]!.push(is),
        ended: (id) => notified[index]!.push(id),
      }),
    );
    try {
      await until("there are writes", () => loads.every((load) => load.acknowledged() > 100));
      await until("they listen", () => states.every((reported) => reported.at(-1)));
      await cluster.nodes[0]!.kill();
      const successor = cluster.nodes[3] as RedisServer;
      await until("a replica has taken over", async () =>
        (await successor.command("INFO", "replication")).includes("role:master"),
      );
      // Without a replica it confirms no write, and still serves every visitor.
      for (const [index, load] of loads.entries()) {
        const alone = redisStore([node, io][index]!, { prefix: ["node", "io"][index] });
        for (const { userId } of load.visitors) {
          const found = await until(`${userId} is served`, () => alone.idsOfUser(userId).catch(() => false as const));
          expect(found).toHaveLength(1);
        }
      }
      await cluster.nodes[0]!.restart();
      await until("the old primary follows", async () =>
        (await cluster.nodes[0]!.command("INFO", "replication")).includes("master_link_status:up"),
      );
      for (const [index, load] of loads.entries()) {
        await load.recoverAndStop();
        expect(load.unexpected).toEqual([]);
        expect(await load.countLost([node, io][index]!)).toBe(0);
      }
      await until("they listen again", () => states.every((reported) => reported.at(-1)));
      const ended = (await loads[0]!.visitors[0]!.browser.begin()).session.id;
      expect(await loads[0]!.store.delete(ended)).toBe(true);
      await until("it is notified", () => notified[0]!.includes(ended));
      for (const load of loads) {
        for (const { userId, browser } of load.visitors.slice(1)) {
          expect(await load.store.idsOfUser(userId)).toEqual([(await browser.begin()).session.id]);
        }
      }
    } finally {
      for (const unsubscribe of unsubscribes) unsubscribe();
      for (const load of loads) await load.end();
      node.destroy();
      io.disconnect();
    }
  });
});
