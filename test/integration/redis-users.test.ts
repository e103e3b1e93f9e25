import { randomBytes } from "node:crypto";
import { Cluster as IoCluster, Redis as IoRedis } from "ioredis";
import { describe, expect, it } from "vitest";
import { createSessions } from "../../src/sessions.ts";
import type { StoredSession } from "../../src/store.ts";
import { redisKeys } from "../../src/stores/redis/keys.ts";
import { slotOf } from "../../src/stores/redis/slot.ts";
import { type RedisStore, redisStore, type RedisStoreClient } from "../../src/stores/redis/store.ts";
import { confirming, migrateSlot, REDIS_SERVER, startCluster, startRedis } from "../support/redis.ts";
import { KEYS } from "../support/stores.ts";
import { startProxy } from "../support/throwaway.ts";

const HOUR = 3_600_000;
/** More than a server tells of in one piece of a scan. */
const MANY = 1500;
const INDEX = redisKeys("sojourn:").indexKey("ada");

const session = (given: Partial<StoredSession> = {}): StoredSession => ({
  payload: randomBytes(20),
  version: 1,
  expiresAt: Date.now() + HOUR,
  userId: "ada",
  ...given,
});

async function signedIn(store: RedisStore, count = MANY): Promise<string[]> {
  const ids = Array.from({ length: count }, () => randomBytes(16).toString("base64url"));
  await Promise.all(ids.map((id) => store.create(id, session())));
  return ids;
}

const missing = (ids: readonly string[], found: readonly string[]): string[] => {
  const named = new Set(found);
  return ids.filter((id) => !named.has(id));
};

/** A client of ioredis, and what happens to the servers once they have begun to tell of the user's index. */
function withTrouble(client: IoRedis | IoCluster, trouble: () => Promise<void>): RedisStoreClient {
  let isOver = false;
  return new Proxy(client, {
    get(target, name) {
      const member = Reflect.get(target, name) as unknown;
      if (typeof member !== "function" || !String(name).endsWith("Buffer")) return member;
      return async (...words: unknown[]) => {
        const reply: unknown = await (member as (...words: unknown[]) => unknown).apply(target, words);
        if (!isOver && words.includes(INDEX)) {
          isOver = true;
          await trouble();
        }
        return reply;
      };
    },
  });
}

describe.skipIf(!REDIS_SERVER)("redisStore's idsOfUser", () => {
  it("names every session of a user whose index moves to another node of the cluster meanwhile", async () => {
    const cluster = await startCluster();
    const seeds = cluster.nodes.map(({ port }) => ({ host: "127.0.0.1", port }));
    const client = new IoCluster(seeds).on("error", () => {});
    try {
      const ids = await signedIn(redisStore(client));
      const slot = slotOf(INDEX);
      const home = slot < 5461 ? 0 : slot < 10_923 ? 1 : 2;
      const [source, target] = [cluster.nodes[home]!, cluster.nodes[(home + 1) % 3]!];
      const store = redisStore(withTrouble(client, () => migrateSlot(cluster.nodes, slot, source, target)));
      expect(missing(ids, await store.idsOfUser("ada"))).toEqual([]);
      // Also while the keys of the sessions themselves are on their way.
      const moved = slotOf(`sojourn:${ids[0]}`);
      const [from, to] = moved < 5461 ? ([0, 1] as const) : moved < 10_923 ? ([1, 2] as const) : ([2, 0] as const);
      const again = redisStore(
        withTrouble(client, () => migrateSlot(cluster.nodes, moved, cluster.nodes[from]!, cluster.nodes[to]!)),
      );
      const sessions = createSessions({ secretKey: KEYS[0], store: again, storeTimeout: "30s" });
      expect(await sessions.revokeAll("ada")).toBe(MANY);
      expect(await again.idsOfUser("ada")).toEqual([]);
    } finally {
      client.disconnect();
      await cluster.end();
    }
  });

  it("names every session of a user when the server restarts meanwhile", async () => {
    const server = await startRedis();
    const client = new IoRedis(server.port, "127.0.0.1").on("error", () => {});
    try {
      const ids = await signedIn(redisStore(client));
      const store = redisStore(withTrouble(client, () => server.restart()));
      expect(missing(ids, await store.idsOfUser("ada"))).toEqual([]);
    } finally {
      client.disconnect();
      await server.end();
    }
  });

  it("names every session of a user when a replica takes over meanwhile", async () => {
    const primary = await startRedis();
    const replica = await startRedis(["--replicaof", "127.0.0.1", `${primary.port}`]);
    const target = { port: primary.port };
    const name = await startProxy(target);
    const client = new IoRedis(name.port, "127.0.0.1").on("error", () => {});
    try {
      const ids = await signedIn(redisStore(client));
      await confirming(primary);
      const failover = async () => {
        await replica.ask("REPLICAOF", "NO", "ONE");
        target.port = replica.port;
        name.cut();
      };
      const store = redisStore(withTrouble(client, failover));
      expect(missing(ids, await store.idsOfUser("ada"))).toEqual([]);
    } finally {
      client.disconnect();
      await name.stop();
      await Promise.all([primary.end(), replica.end()]);
    }
  });

  it("names each session that stays, whatever becomes of the others and of its own time meanwhile", async () => {
    const server = await startRedis();
    const client = new IoRedis(server.port, "127.0.0.1").on("error", () => {});
    try {
      const busy = redisStore(client);
      const ids = await signedIn(busy);
      const staying = ids.slice(0, MANY / 2);
      let turn = 1;
      const churn = async () => {
        turn += 1;
        const later = Date.now() + 2 ** turn * HOUR;
        const extended = staying.map((id) => busy.touch(id, later));
        const ended = ids.slice(MANY / 2, MANY / 2 + 100 * turn).map((id) => busy.delete(id));
        await Promise.all([...extended, ...ended, signedIn(busy, 300)]);
      };
      for (let round = 0; round < 3; round += 1) {
        expect(missing(staying, await redisStore(withTrouble(client, churn)).idsOfUser("ada"))).toEqual([]);
      }
    } finally {
      client.disconnect();
      await server.end();
    }
  });

  it("rejects where the server may be behind: as a replica, or as a primary that its replicas have left", async () => {
    const [server, other] = await Promise.all([startRedis(), startRedis()]);
    const client = new IoRedis(server.port, "127.0.0.1").on("error", () => {});
    try {
      const store = redisStore(client);
      const [id] = await signedIn(store, 1);
      await server.ask("CONFIG", "SET", "min-replicas-to-write", "1");
      await expect(store.idsOfUser("ada")).rejects.toThrow("NOREPLICAS");
      await expect(store.idsOfUser("grace")).rejects.toThrow("NOREPLICAS");
      await server.ask("CONFIG", "SET", "min-replicas-to-write", "0");
      expect(await store.idsOfUser("ada")).toEqual([id]);
      await server.ask("REPLICAOF", "127.0.0.1", `${other.port}`);
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
