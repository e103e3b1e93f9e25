import { randomBytes } from "node:crypto";
import { Cluster as IoCluster, Redis as IoRedis } from "ioredis";
import { describe, expect, it } from "vitest";
import { createSessions } from "../../src/sessions.ts";
import type { StoredSession } from "../../src/store.ts";
import { redisKeys } from "../../src/stores/redis/keys.ts";
import { slotOf } from "../../src/stores/redis/slots.ts";
import { type RedisStore, redisStore, type RedisStoreClient } from "../../src/stores/redis/store.ts";
import { waitForReplicas, migrateSlot, REDIS_SERVER, startCluster, startRedis } from "../support/redis.ts";
import { KEYS } from "../support/stores.ts";
import { startProxy } from "../support/throwaway.ts";

const HOUR = 3_600_000;
/** More sessions than one reply of a scan contains. */
const MANY = 1500;
const INDEX_KEY = redisKeys("sojourn:").indexKey("ada");

const session = (given: Partial<StoredSession> = {}): StoredSession => ({
  payload: randomBytes(20),
  version: 1,
  expiresAt: Date.now() + HOUR,
  userId: "ada",
  ...given,
});

async function signIn(store: RedisStore, count = MANY): Promise<string[]> {
  const ids = Array.from({ length: count }, () => randomBytes(16).toString("base64url"));
  await Promise.all(ids.map((id) => store.create(id, session())));
  return ids;
}

const findMissing = (ids: readonly string[], listed: readonly string[]): string[] => {
  const present = new Set(listed);
  return ids.filter((id) => !present.has(id));
};

/** A client of ioredis that waits for `disrupt` after the first reply about the user's index. */
function withDisruption(client: IoRedis | IoCluster, disrupt: () => Promise<void>): RedisStoreClient {
  let isDone = false;
  return new Proxy(client, {
    get(target, name) {
      const member = Reflect.get(target, name) as unknown;
      if (typeof member !== "function" || !String(name).endsWith("Buffer")) return member;
      return async (...args: unknown[]) => {
        const reply: unknown = await (member as (...args: unknown[]) => unknown).apply(target, args);
        if (!isDone && args.includes(INDEX_KEY)) {
          isDone = true;
          await disrupt();
        }
        return reply;
      };
    },
  });
}

describe.skipIf(!REDIS_SERVER)("redisStore's idsOfUser", () => {
  it("finds every session of a user whose index moves to another node of the cluster meanwhile", async () => {
    const cluster = await startCluster();
    const seeds = cluster.nodes.map(({ port }) => ({ host: "127.0.0.1", port }));
    const client = new IoCluster(seeds).on("error", () => {});
    try {
      const ids = await signIn(redisStore(client));
      const slot = slotOf(INDEX_KEY);
      const sourceIndex = slot < 5461 ? 0 : slot < 10_923 ? 1 : 2;
      const [source, target] = [cluster.nodes[sourceIndex]!, cluster.nodes[(sourceIndex + 1) % 3]!];
      const store = redisStore(withDisruption(client, () => migrateSlot(cluster.nodes, slot, source, target)));
      expect(findMissing(ids, await store.idsOfUser("ada"))).toEqual([]);
      // Also while the keys of the sessions themselves are being moved.
      const moved = slotOf(`sojourn:${ids[0]}`);
      const [from, to] = moved < 5461 ? ([0, 1] as const) : moved < 10_923 ? ([1, 2] as const) : ([2, 0] as const);
      const again = redisStore(
        withDisruption(client, () => migrateSlot(cluster.nodes, moved, cluster.nodes[from]!, cluster.nodes[to]!)),
      );
      const sessions = createSessions({ secretKey: KEYS[0], store: again, storeTimeout: "30s" });
      expect(await sessions.revokeAll("ada")).toBe(MANY);
      expect(await again.idsOfUser("ada")).toEqual([]);
    } finally {
      client.disconnect();
      await cluster.end();
    }
  });

  it("finds every session of a user when the server restarts meanwhile", async () => {
    const server = await startRedis();
    const client = new IoRedis(server.port, "127.0.0.1").on("error", () => {});
    try {
      const ids = await signIn(redisStore(client));
      const store = redisStore(withDisruption(client, () => server.restart()));
      expect(findMissing(ids, await store.idsOfUser("ada"))).toEqual([]);
    } finally {
      client.disconnect();
      await server.end();
    }
  });

  it("finds every session of a user when a replica takes over meanwhile", async () => {
    const primary = await startRedis();
    const replica = await startRedis(["--replicaof", "127.0.0.1", `${primary.port}`]);
    const target = { port: primary.port };
    const proxy = await startProxy(target);
    const client = new IoRedis(proxy.port, "127.0.0.1").on("error", () => {});
    try {
      const ids = await signIn(redisStore(client));
      await waitForReplicas(primary);
      const failover = async () => {
        await replica.command("REPLICAOF", "NO", "ONE");
        target.port = replica.port;
        proxy.cut();
      };
      const store = redisStore(withDisruption(client, failover));
      expect(findMissing(ids, await store.idsOfUser("ada"))).toEqual([]);
    } finally {
      client.disconnect();
      await proxy.stop();
      await Promise.all([primary.end(), replica.end()]);
    }
  });

  it("finds each session that stays while it is extended and others begin and end", async () => {
    const server = await startRedis();
    const client = new IoRedis(server.port, "127.0.0.1").on("error", () => {});
    try {
      const busy = redisStore(client);
      const ids = await signIn(busy);
      const staying = ids.slice(0, MANY / 2);
      let round = 1;
      const changeSessions = async () => {
        round += 1;
        const later = Date.now() + 2 ** round * HOUR;
        const extended = staying.map((id) => busy.touch(id, later));
        const ended = ids.slice(MANY / 2, MANY / 2 + 100 * round).map((id) => busy.delete(id));
        await Promise.all([...extended, ...ended, signIn(busy, 300)]);
      };
      for (let attempt = 0; attempt < 3; attempt += 1) {
        expect(findMissing(staying, await redisStore(withDisruption(client, changeSessions)).idsOfUser("ada"))).toEqual(
          [],
        );
      }
    } finally {
      client.disconnect();
      await server.end();
    }
  });

  it("rejects if the server may be behind: as a replica, or as a primary without the replicas that it must have", async () => {
    const [server, other] = await Promise.all([startRedis(), startRedis()]);
    const client = new IoRedis(server.port, "127.0.0.1").on("error", () => {});
    try {
      const store = redisStore(client);
      const [id] = await signIn(store, 1);
      await server.command("CONFIG", "SET", "min-replicas-to-write", "1");
      await expect(store.idsOfUser("ada")).rejects.toThrow("NOREPLICAS");
      await expect(store.idsOfUser("grace")).rejects.toThrow("NOREPLICAS");
      await server.command("CONFIG", "SET", "min-replicas-to-write", "0");
      expect(await store.idsOfUser("ada")).toEqual([id]);
      await server.command("REPLICAOF", "127.0.0.1", `${other.port}`);
      const sessions = createSessions({ secretKey: KEYS[0], store });
      await expect(sessions.revokeAll("ada")).rejects.toMatchObject({
        code: "ERR_SESSION_STORE",
        cause: { message: expect.stringContaining("READONLY") as string },
      });
    } finally {
      client.disconnect();
      await Promise.all([server.end(), other.end()]);
    }
  });
});
