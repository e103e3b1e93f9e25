import { randomBytes } from "node:crypto";
import { Redis as IoRedis } from "ioredis";
import { Redis as Valkey } from "iovalkey";
import { createClient } from "redis";
import { describe, expect, it } from "vitest";
import { redisStore, type RedisStoreClient } from "../../src/stores/redis/store.ts";
import { REDIS_SERVER, type RedisServer, startRedis } from "../support/redis.ts";
import { startProxy, until } from "../support/throwaway.ts";

type Connected = { client: RedisStoreClient; end(): unknown };

const clients: Record<string, (port: number) => Promise<Connected>> = {
  async redis(port) {
    const client = createClient({ url: `redis://127.0.0.1:${port}` }).on("error", () => {});
    await client.connect();
    return { client, end: () => client.destroy() };
  },
  async ioredis(port) {
    const client = new IoRedis(port, "127.0.0.1").on("error", () => {});
    return { client, end: () => client.disconnect() };
  },
  async "ioredis that pipelines automatically"(port) {
    const client = new IoRedis(port, "127.0.0.1", { enableAutoPipelining: true }).on("error", () => {});
    return { client, end: () => client.disconnect() };
  },
  async iovalkey(port) {
    const client = new Valkey(port, "127.0.0.1").on("error", () => {});
    return { client, end: () => client.disconnect() };
  },
};

const session = (version = 1) => ({ payload: randomBytes(20), version, expiresAt: Date.now() + 600_000 });

async function follow(replica: RedisServer, port: number): Promise<void> {
  await replica.ask("REPLICAOF", "127.0.0.1", `${port}`);
  await until("the replica follows", async () =>
    (await replica.ask("INFO", "replication")).includes("master_link_status:up"),
  );
}

/** A primary behind a name, and replicas that can be held back. */
async function replicated() {
  const [primary, first, second] = await Promise.all([startRedis(), startRedis(), startRedis()]);
  const target = { port: primary.port };
  const [name, link] = await Promise.all([startProxy(target), startProxy(primary)]);
  await Promise.all([first, second].map((replica) => follow(replica, link.port)));
  await until("both are known", async () => /slave1:.*state=online/.test(await primary.ask("INFO", "replication")));
  return {
    name,
    link,
    primary,
    first,
    /** The primary dies, and what it had not passed on is lost. */
    async failover() {
      name.refuse();
      await primary.kill();
      link.cut();
      await first.ask("REPLICAOF", "NO", "ONE");
      await follow(second, first.port);
      target.port = first.port;
      name.accept();
    },
    async end() {
      await Promise.all([name.stop(), link.stop()]);
      await Promise.all([primary, first, second].map((server) => server.end()));
    },
  };
}

describe.skipIf(!REDIS_SERVER)("redisStore with a client that leads to a replica", () => {
  it("says READONLY and no quiet no, although the replica does not have the session yet", async () => {
    const [primary, replica] = await Promise.all([startRedis(), startRedis()]);
    const line = await startProxy(primary);
    await follow(replica, line.port);
    const [right, wrong] = await Promise.all([primary, replica].map(({ port }) => clients["ioredis"]!(port)));
    const [there, here] = [redisStore(right!.client), redisStore(wrong!.client)];
    try {
      line.hold();
      await there.create("a", session());
      for (const act of [() => here.delete("a"), () => here.update("a", session(2), 1), () => here.touch("a", 2e12)]) {
        await expect(act()).rejects.toThrow(/READONLY|read only/i);
      }
      expect(await there.delete("a")).toBe(true);
      expect(await there.delete("a")).toBe(false);
    } finally {
      await Promise.all([right!.end(), wrong!.end()]);
      await line.stop();
      await Promise.all([primary.end(), replica.end()]);
    }
  });
});

describe.skipIf(!REDIS_SERVER)("redisStore that waits for replicas", () => {
  for (const [client, connect] of Object.entries(clients)) {
    it.concurrent(`does not take the new primary's word for what was lost with the old one, with ${client}`, async () => {
      const servers = await replicated();
      const connected = await connect(servers.name.port);
      try {
        const store = redisStore(connected.client, { replicas: { wait: 1, timeout: "60s" } });
        expect(await store.create("one", session())).toBe(true);
        expect(await store.create("two", session())).toBe(true);
        servers.link.hold();
        const writes = Promise.allSettled([
          store.delete("one"),
          store.update("two", session(2), 1),
          store.create("three", session()),
        ]);
        // All three: one that had not been sent yet would be done on the new primary, and rightly confirmed.
        await until("they are on the primary", async () => {
          const { primary } = servers;
          const [one, two, three] = await Promise.all([
            primary.ask("EXISTS", "sojourn:one"),
            primary.ask("GETRANGE", "sojourn:two", "8", "8"),
            primary.ask("EXISTS", "sojourn:three"),
          ]);
          return one.includes(":0") && two.includes("\u0002") && three.includes(":1");
        });
        await servers.failover();
        expect((await writes).map(({ status }) => status)).toEqual(["rejected", "rejected", "rejected"]);
        // And what comes afterwards is confirmed again.
        await until("the new one serves", () =>
          store.update("two", session(3), 1).then(
            () => true,
            async () => (await store.read("two"))?.version === 3,
          ),
        );
        expect(await store.create("four", session())).toBe(true);
        expect(await store.delete("four")).toBe(true);
      } finally {
        await connected.end();
        await servers.end();
      }
    });
  }

  it.concurrent("confirms a deletion that another command has done", async () => {
    const servers = await replicated();
    const { client, end } = await clients["ioredis"]!(servers.name.port);
    try {
      const store = redisStore(client, { replicas: { wait: 1, timeout: "100ms" } });
      const patient = redisStore(client, { replicas: { wait: 1, timeout: "60s" } });
      await patient.create("one", session());
      servers.link.hold();
      await expect(store.delete("one")).rejects.toThrow(/only 0 of 1/);
      await expect(store.delete("one")).rejects.toThrow(/only 0 of 1/);
      servers.link.release();
      expect(await patient.delete("one")).toBe(false);
      expect(await servers.first.ask("EXISTS", "sojourn:one")).toContain(":0");
      expect(await servers.primary.ask("DBSIZE")).toContain(":0");
    } finally {
      await end();
      await servers.end();
    }
  });
});
