import { randomBytes } from "node:crypto";
import { Cluster as IoCluster, Redis as IoRedis } from "ioredis";
import { Cluster as ValkeyCluster } from "iovalkey";
import { createCluster } from "redis";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { slotGroupTags, slotOf } from "../../src/stores/redis/slots.ts";
import { type RedisStore, redisStore, type RedisStoreClient } from "../../src/stores/redis/store.ts";
import {
  startMigration,
  migrateSlot,
  moveSlots,
  REDIS_SERVER,
  type RedisServer,
  startCluster,
  startRedis,
} from "../support/redis.ts";
import { startProxy, until } from "../support/throwaway.ts";

type Connected = { client: RedisStoreClient; end(): unknown };

const clients: Record<string, (ports: readonly number[]) => Promise<Connected>> = {
  async redis(ports) {
    const client = createCluster({
      rootNodes: ports.map((port) => ({ url: `redis://127.0.0.1:${port}` })),
      defaults: { disableOfflineQueue: true },
    }).on("error", () => {});
    await client.connect();
    return { client, end: () => client.destroy() };
  },
  async ioredis(ports) {
    const client = new IoCluster(ports.map((port) => ({ host: "127.0.0.1", port }))).on("error", () => {});
    return { client, end: () => client.disconnect() };
  },
  async iovalkey(ports) {
    const client = new ValkeyCluster(ports.map((port) => ({ host: "127.0.0.1", port }))).on("error", () => {});
    return { client, end: () => client.disconnect() };
  },
};

const session = () => ({ payload: randomBytes(20), version: 1, expiresAt: Date.now() + 600_000 });

async function allOf(store: RedisStore): Promise<Set<string>> {
  const ids = new Set<string>();
  for await (const id of store.all()) ids.add(id);
  return ids;
}

describe.skipIf(!REDIS_SERVER)("redisStore's all in a cluster", () => {
  let cluster: Awaited<ReturnType<typeof startCluster>>;
  beforeAll(async () => (cluster = await startCluster()));
  afterAll(() => cluster.end());

  for (const [name, connect] of Object.entries(clients)) {
    it(`lists every session or rejects after connections were lost, with ${name}`, async () => {
      const { client, end } = await connect(cluster.nodes.map(({ port }) => port));
      const store = redisStore(client, { prefix: name });
      const ids = slotGroupTags().slice(0, 90);
      for (const id of ids) await store.create(id, session());
      expect((await allOf(store)).size).toBe(90);
      const found: number[] = [];
      for (const lost of [[0], [1], [0, 2], [0, 1, 2]]) {
        for (const index of lost) await cluster.nodes[index]!.command("CLIENT", "KILL", "TYPE", "normal");
        for (let attempt = 0; attempt < 3; attempt += 1) {
          const all = await allOf(store).catch(() => undefined);
          if (all) found.push(all.size);
        }
      }
      found.push(
        await until("all primaries are known again", async () => (await allOf(store).catch(() => undefined))?.size),
      );
      expect(new Set(found)).toEqual(new Set([90]));
      // A list that began with a connection that is lost then is complete or rejects too.
      const iterator = store.all()[Symbol.asyncIterator]();
      await iterator.next();
      for (const index of [0, 1, 2]) await cluster.nodes[index]!.command("CLIENT", "KILL", "TYPE", "normal");
      let seen = 1;
      const rest = async () => {
        while (!(await iterator.next()).done) seen += 1;
        return seen;
      };
      expect([90, "rejected"]).toContain(await rest().catch(() => "rejected"));
      await end();
    });
  }

  it("rejects if slots move to another primary meanwhile, and lists all sessions afterwards", async () => {
    const connections = await Promise.all(
      Object.values(clients).map((connect) => connect(cluster.nodes.map(({ port }) => port))),
    );
    const stores = connections.map(({ client }) => redisStore(client, { prefix: "moved" }));
    const slot = 5460;
    let id = 0;
    while (slotOf(`moved:${id}`) === slot) id += 1;
    await stores[0]!.create(`${id}`, session());
    const iterators = stores.map((store) => store.all()[Symbol.asyncIterator]());
    for (const iterator of iterators) expect((await iterator.next()).done).toBe(false);
    await moveSlots(cluster.nodes, [slot], cluster.nodes[0]!, cluster.nodes[1]!);
    for (const iterator of iterators)
      await expect(iterator.next()).rejects.toThrow(/list them again|not every primary/);
    for (const store of stores) expect([...(await allOf(store))]).toEqual([`${id}`]);
    for (const { end } of connections) await end();
  });

  /** Starts a list that has passed the first node, with a session on the second. */
  async function listFirstNode(prefix: string) {
    const { client, end } = await clients["ioredis"]!(cluster.nodes.map(({ port }) => port));
    const store = redisStore(client, { prefix });
    const idIn = (low: number, high: number) => {
      let id = 0;
      while (slotOf(`${prefix}:${id}`) <= low || slotOf(`${prefix}:${id}`) >= high) id += 1;
      return `${id}`;
    };
    const id = idIn(5461, 10_900);
    for (const one of [idIn(0, 5400), id]) await store.create(one, session());
    const iterator = store.all()[Symbol.asyncIterator]();
    expect((await iterator.next()).value).not.toBe(id);
    const rest = async () => {
      const ids: string[] = [];
      for (let next = await iterator.next(); !next.done; next = await iterator.next()) ids.push(next.value);
      return ids;
    };
    return { slot: slotOf(`${prefix}:${id}`), key: `${prefix}:${id}`, id, store, rest, end };
  }

  it("rejects if a slot has moved to another primary and back meanwhile", async () => {
    const { slot, store, id, rest, end } = await listFirstNode("back");
    const [first, second] = cluster.nodes as [RedisServer, RedisServer];
    await migrateSlot(cluster.nodes, slot, second, first);
    await migrateSlot(cluster.nodes, slot, first, second);
    await expect(rest()).rejects.toThrow("list them again");
    expect(await allOf(store)).toContain(id);
    await end();
  });

  it("rejects while the keys of a slot are being moved to another primary, after it has listed the sessions it finds", async () => {
    const { slot, key, store, rest, end } = await listFirstNode("ahead");
    const [first, second] = cluster.nodes as [RedisServer, RedisServer];
    await startMigration(slot, second, first);
    await second.command("MIGRATE", "127.0.0.1", `${first.port}`, key, "0", "5000");
    await expect(rest()).rejects.toThrow("list them again");
    // It rejects too if they were being moved already when it began.
    const found: string[] = [];
    const listAll = async () => {
      for await (const each of store.all()) found.push(each);
    };
    await expect(listAll()).rejects.toThrow("list them again");
    expect(found).not.toEqual([]);
    await migrateSlot(cluster.nodes, slot, second, first);
    expect(await allOf(store)).toHaveLength(2);
    await end();
  });
});

describe.skipIf(!REDIS_SERVER)("redisStore's all", () => {
  it("rejects if another server has answered meanwhile, also when the first one answers again", async () => {
    const [primary, other] = await Promise.all([startRedis(), startRedis()]);
    const target = { port: primary.port };
    const proxy = await startProxy(target);
    const client = new IoRedis(proxy.port, "127.0.0.1").on("error", () => {});
    const failOver = async (from: RedisServer, to: RedisServer) => {
      await to.command("REPLICAOF", "127.0.0.1", `${from.port}`);
      await until("it follows", async () =>
        (await to.command("INFO", "replication")).includes("master_link_status:up"),
      );
      await to.command("REPLICAOF", "NO", "ONE");
      target.port = to.port;
      proxy.cut();
    };
    try {
      const store = redisStore(client);
      await Promise.all(Array.from({ length: 3000 }, (_, id) => store.create(`${id}`, session())));
      const iterator = store.all()[Symbol.asyncIterator]();
      for (let seen = 0; seen < 1500; seen += 1) await iterator.next();
      await failOver(primary, other);
      for (let seen = 0; seen < 1000; seen += 1) await iterator.next();
      await failOver(other, primary);
      const rest = async () => {
        while (!(await iterator.next()).done);
      };
      await expect(rest()).rejects.toThrow("list them again");
    } finally {
      client.disconnect();
      await proxy.stop();
      await Promise.all([primary.end(), other.end()]);
    }
  });
});
