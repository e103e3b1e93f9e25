import { randomBytes } from "node:crypto";
import { Redis as IoRedis } from "ioredis";
import { Redis as Valkey } from "iovalkey";
import { createClient } from "redis";
import { describe, expect, it } from "vitest";
import { createSessions, type Sessions } from "../../src/sessions.ts";
import { redisStore, type RedisStoreClient } from "../../src/stores/redis/store.ts";
import { REDIS_SERVER, type RedisServer, startRedis } from "../support/redis.ts";
import { Browser, KEYS } from "../support/stores.ts";
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
  async "ioredis with automatic pipelining"(port) {
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
  await replica.command("REPLICAOF", "127.0.0.1", `${port}`);
  await until("the replica follows", async () =>
    (await replica.command("INFO", "replication")).includes("master_link_status:up"),
  );
}

/** Starts a primary behind a proxy, and two replicas whose link to it can be held. */
async function startReplicated() {
  const [primary, first, second] = await Promise.all([startRedis(), startRedis(), startRedis()]);
  const target = { port: primary.port };
  const [proxy, link] = await Promise.all([startProxy(target), startProxy(primary)]);
  await Promise.all([first, second].map((replica) => follow(replica, link.port)));
  await until("both are known", async () => /slave1:.*state=online/.test(await primary.command("INFO", "replication")));
  return {
    proxy,
    link,
    primary,
    first,
    /** Kills the primary and promotes a replica. Writes that the replica does not have are lost. */
    async failOver() {
      proxy.refuse();
      await primary.kill();
      link.cut();
      await first.command("REPLICAOF", "NO", "ONE");
      await follow(second, first.port);
      target.port = first.port;
      proxy.accept();
    },
    async end() {
      await Promise.all([proxy.stop(), link.stop()]);
      await Promise.all([primary, first, second].map((server) => server.end()));
    },
  };
}

describe.skipIf(!REDIS_SERVER)("redisStore with a client that is connected to a replica", () => {
  it("rejects with READONLY, and does not return false, if the replica does not have the session yet", async () => {
    const [primary, replica] = await Promise.all([startRedis(), startRedis()]);
    const link = await startProxy(primary);
    await follow(replica, link.port);
    const [toPrimary, toReplica] = await Promise.all([primary, replica].map(({ port }) => clients["ioredis"]!(port)));
    const [primaryStore, replicaStore] = [redisStore(toPrimary!.client), redisStore(toReplica!.client)];
    try {
      link.pauseTraffic();
      await primaryStore.create("a", session());
      for (const write of [
        () => replicaStore.delete("a"),
        () => replicaStore.update("a", session(2), 1),
        () => replicaStore.touch("a", 2e12),
      ]) {
        await expect(write()).rejects.toThrow(/READONLY|read only/i);
      }
      expect(await primaryStore.delete("a")).toBe(true);
      expect(await primaryStore.delete("a")).toBe(false);
    } finally {
      await Promise.all([toPrimary!.end(), toReplica!.end()]);
      await link.stop();
      await Promise.all([primary.end(), replica.end()]);
    }
  });
});

describe.skipIf(!REDIS_SERVER)("redisStore that waits for replicas", () => {
  for (const [client, connect] of Object.entries(clients)) {
    it.concurrent(`acknowledges no write that was lost with the old primary because the new one replies, with ${client}`, async () => {
      const servers = await startReplicated();
      const connected = await connect(servers.proxy.port);
      try {
        const store = redisStore(connected.client, { replicas: { wait: 1, timeout: "60s" } });
        expect(await store.create("one", session())).toBe(true);
        expect(await store.create("two", session())).toBe(true);
        servers.link.pauseTraffic();
        const writes = Promise.allSettled([
          store.delete("one"),
          store.update("two", session(2), 1),
          store.create("three", session()),
        ]);
        // All three must be there: a later one would be done on the new primary, and rightly confirmed.
        await until("they are on the primary", async () => {
          const { primary } = servers;
          const [one, two, three] = await Promise.all([
            primary.command("EXISTS", "sojourn:one"),
            primary.command("GETRANGE", "sojourn:two", "8", "8"),
            primary.command("EXISTS", "sojourn:three"),
          ]);
          return one.includes(":0") && two.includes("\u0002") && three.includes(":1");
        });
        await servers.failOver();
        expect((await writes).map(({ status }) => status)).toEqual(["rejected", "rejected", "rejected"]);
        // Later writes are confirmed again.
        await until("the new primary serves", () =>
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

  it.concurrent("confirms a deletion that an earlier command has done", async () => {
    const servers = await startReplicated();
    const { client, end } = await clients["ioredis"]!(servers.proxy.port);
    try {
      const store = redisStore(client, { replicas: { wait: 1, timeout: "100ms" } });
      const patientStore = redisStore(client, { replicas: { wait: 1, timeout: "60s" } });
      await patientStore.create("one", session());
      servers.link.pauseTraffic();
      await expect(store.delete("one")).rejects.toThrow(/only 0 of 1/);
      await expect(store.delete("one")).rejects.toThrow(/only 0 of 1/);
      servers.link.resumeTraffic();
      expect(await patientStore.delete("one")).toBe(false);
      expect(await servers.first.command("EXISTS", "sojourn:one")).toContain(":0");
      expect(await servers.primary.command("DBSIZE")).toContain(":0");
    } finally {
      await end();
      await servers.end();
    }
  });

  it.concurrent.each([
    ["revokeAll", (sessions: Sessions, _id: string) => sessions.revokeAll("ada")],
    ["revoke", (sessions: Sessions, id: string) => sessions.revoke(id)],
  ])("%s rejects again as long as no replica has the end that an earlier call has stored", async (_name, revoke) => {
    const servers = await startReplicated();
    const { client, end } = await clients["ioredis"]!(servers.proxy.port);
    const sessionsWith = (timeout: "100ms" | "60s") =>
      createSessions({
        secretKey: KEYS[0],
        store: redisStore(client, { replicas: { wait: 1, timeout } }),
        storeTimeout: "60s",
      });
    const [sessions, patientSessions] = [sessionsWith("100ms"), sessionsWith("60s")];
    try {
      const browser = new Browser(patientSessions);
      await browser.visit((visited) => visited.signIn("ada"));
      const { id } = (await browser.begin()).session;
      servers.link.pauseTraffic();
      await expect(revoke(sessions, id)).rejects.toMatchObject({ code: "ERR_SESSION_STORE" });
      await expect(revoke(sessions, id)).rejects.toMatchObject({ code: "ERR_SESSION_STORE" });
      servers.link.resumeTraffic();
      await revoke(patientSessions, id);
      await servers.failOver();
      await until("the new primary serves", () =>
        browser.userId().then(
          () => true,
          () => false,
        ),
      );
      expect(await browser.userId()).toBeUndefined();
    } finally {
      await end();
      await servers.end();
    }
  });
});
