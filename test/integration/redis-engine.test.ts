import { randomBytes } from "node:crypto";
import { mkdirSync, rmdirSync } from "node:fs";
import { join } from "node:path";
import { Redis as IoRedis } from "ioredis";
import { Redis as Valkey } from "iovalkey";
import { createClient } from "redis";
import { describe, expect, it } from "vitest";
import type { SessionStore, StoredSession } from "../../src/store.ts";
import { redisStore, type RedisStoreClient } from "../../src/stores/redis/store.ts";
import { REDIS_SERVER, type RedisServer, startRedis } from "../support/redis.ts";
import { until } from "../support/throwaway.ts";

const HOUR = 3_600_000;
const newId = () => randomBytes(16).toString("base64url");
const session = (given: Partial<StoredSession> = {}): StoredSession => ({
  payload: randomBytes(200),
  version: 1,
  expiresAt: Date.now() + HOUR,
  ...given,
});

type Connect = (port: number) => Promise<{ client: RedisStoreClient; end(): unknown }>;

const clients: Record<string, Connect> = {
  async redis(port) {
    const client = createClient({ url: `redis://127.0.0.1:${port}` }).on("error", () => {});
    await client.connect();
    return { client, end: () => client.destroy() };
  },
  async ioredis(port) {
    const client = new IoRedis(port, "127.0.0.1").on("error", () => {});
    return { client, end: () => client.disconnect() };
  },
  async iovalkey(port) {
    const client = new Valkey(port, "127.0.0.1").on("error", () => {});
    return { client, end: () => client.disconnect() };
  },
};

/** Runs a test with a server of its own, and a store with each client. */
async function withServer(
  settings: readonly string[],
  run: (server: RedisServer, stores: readonly SessionStore[]) => Promise<void>,
): Promise<void> {
  const server = await startRedis(settings);
  const connected = await Promise.all(Object.values(clients).map((connect) => connect(server.port)));
  try {
    await run(
      server,
      connected.map(({ client }) => redisStore(client)),
    );
  } finally {
    for (const { end } of connected) await end();
    await server.end();
  }
}

describe.skipIf(!REDIS_SERVER)("redisStore", () => {
  it("rejects writes while the memory is full, still reads and ends sessions, and recovers when there is room", () =>
    withServer([], async (server, stores) => {
      for (const store of stores) {
        const [id, other] = [newId(), newId()];
        const stored = session({ userId: "ada" });
        await store.create(id, stored);
        await store.create(other, stored);
        await server.command("CONFIG", "SET", "maxmemory", "1");
        await expect(store.create(newId(), session())).rejects.toThrow(/OOM/);
        await expect(store.update(id, session({ version: 2 }), 1)).rejects.toThrow(/OOM/);
        expect((await store.read(id))?.version).toBe(1);
        expect((await store.idsOfUser!("ada")).toSorted()).toEqual([id, other].toSorted());
        expect(await store.delete(other)).toBe(true);
        await server.command("CONFIG", "SET", "maxmemory", "0");
        expect(await store.update(id, session({ version: 2 }), 1)).toBe(true);
      }
    }));

  it("rejects writes on a server that became a replica, and ends no session", () =>
    withServer([], async (server, stores) => {
      for (const store of stores) {
        const id = newId();
        await store.create(id, session());
        await server.command("REPLICAOF", "127.0.0.1", "1");
        await expect(store.create(newId(), session())).rejects.toThrow(/READONLY/);
        await expect(store.update(id, session({ version: 2 }), 1)).rejects.toThrow(/READONLY/);
        await expect(store.touch(id, Date.now() + 2 * HOUR)).rejects.toThrow(/READONLY/);
        await expect(store.delete(id)).rejects.toThrow(/READONLY/);
        await server.command("REPLICAOF", "NO", "ONE");
        expect(await store.delete(id)).toBe(true);
      }
    }));

  it("rejects writes while the server can't write to its disk, and recovers when it can", () =>
    withServer(["--save", "3600 1", "--dbfilename", "dump.rdb", "--appendonly", "no"], async (server, stores) => {
      const [store] = stores as [SessionStore];
      const id = newId();
      await store.create(id, session());
      // A snapshot can't replace a directory.
      const blocked = join(server.folder, "dump.rdb");
      mkdirSync(blocked);
      await server.command("BGSAVE");
      await until("the snapshot has failed", async () =>
        (await server.command("INFO", "persistence")).includes("rdb_last_bgsave_status:err"),
      );
      for (const each of stores) {
        await expect(each.update(id, session({ version: 2 }), 1)).rejects.toThrow(/MISCONF/);
        await expect(each.delete(id)).rejects.toThrow(/MISCONF/);
        expect((await each.read(id))?.version).toBe(1);
      }
      rmdirSync(blocked);
      await server.command("BGSAVE");
      await until("the snapshot is there", async () =>
        (await server.command("INFO", "persistence")).includes("rdb_last_bgsave_status:ok"),
      );
      for (const [index, each] of stores.entries()) {
        expect(await each.update(id, session({ version: index + 2 }), index + 1)).toBe(true);
      }
    }));

  it("rejects with a missing or wrong password, and ends no session", () =>
    withServer([], async (server, stores) => {
      const [store] = stores as [SessionStore];
      const id = newId();
      await store.create(id, session());
      await server.command("CONFIG", "SET", "requirepass", "secret");
      const late = new IoRedis(server.port, "127.0.0.1", { enableReadyCheck: false }).on("error", () => {});
      const wrong = new Valkey(server.port, "127.0.0.1", { password: "wrong" }).on("error", () => {});
      await expect(redisStore(late).read(id)).rejects.toThrow(/NOAUTH/);
      await expect(redisStore(late).delete(id)).rejects.toThrow(/NOAUTH/);
      await expect(redisStore(wrong).read(id)).rejects.toThrow(/NOAUTH|WRONGPASS/);
      await expect(
        createClient({ url: `redis://:wrong@127.0.0.1:${server.port}`, socket: { reconnectStrategy: false } })
          .on("error", () => {})
          .connect(),
      ).rejects.toThrow(/WRONGPASS/);
      late.disconnect();
      wrong.disconnect();
      expect(await store.read(id)).toBeDefined();
    }));

  it("works with the rights in the documentation, and rejects operations that lack one", () =>
    withServer([], async (server) => {
      const rights =
        "on >secret resetchannels &sojourn:* ~sojourn:* " +
        "+get +getrange +set +setrange +pexpireat +del +evalsha +eval +publish +subscribe +unsubscribe +ping +scan " +
        "+zadd +zscore +zrem +zrange +zrevrange +zrangebyscore +info";
      await server.command("ACL", "SETUSER", "web", ...rights.split(" "));
      const client = createClient({
        url: `redis://web:secret@127.0.0.1:${server.port}`,
        disableClientInfo: true,
      }).on("error", () => {});
      await client.connect();
      const store = redisStore(client);
      const notified: string[] = [];
      let isListening = false;
      const unsubscribe = store.subscribe({ ended: (id) => notified.push(id), listening: (is) => (isListening = is) });
      await until("it listens", () => isListening);
      const id = newId();
      await store.create(id, session({ userId: "ada" }));
      await store.update(id, session({ version: 2, userId: "grace" }), 1);
      await store.touch(id, Date.now() + 9 * HOUR);
      expect(await store.idsOfUser("grace")).toEqual([id]);
      for await (const found of store.all()) expect(found).toBe(id);
      await server.command("ACL", "SETUSER", "web", "-info");
      await expect(store.all()[Symbol.asyncIterator]().next()).rejects.toThrow("+info");
      expect(await store.delete(id)).toBe(true);
      await until("it is notified", () => notified.includes(id));
      unsubscribe();
      await store.create(id, session());
      await server.command("ACL", "SETUSER", "web", "resetchannels");
      await expect(store.delete(id)).rejects.toThrow(/can't publish|NOPERM/);
      expect(await store.read(id)).toBeDefined();
      await store.close();
      client.destroy();
    }));

  it("warns once of a server that evicts sessions", () =>
    withServer(["--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru"], async (_server, [store]) => {
      const warnings: string[] = [];
      const onWarning = (warning: Error & { code?: string }) =>
        void warnings.push(`${warning.code}: ${warning.message}`);
      process.on("warning", onWarning);
      for (let count = 0; count < 3; count += 1) await store!.create(newId(), session());
      await until("it has warned", () => warnings.length > 0);
      process.off("warning", onWarning);
      expect(warnings).toEqual([expect.stringMatching(/SOJOURN_REDIS_EVICTION.*allkeys-lru.*noeviction/)]);
    }));

  it("rejects while the server loads its data, and then finds all sessions", () =>
    withServer(
      [
        "--appendonly",
        "no",
        "--save",
        "3600 1",
        "--key-load-delay",
        "10000",
        "--loading-process-events-interval-bytes",
        "1024",
      ],
      async (server, stores) => {
        const [store] = stores as [SessionStore];
        const ids = Array.from({ length: 200 }, newId);
        for (const id of ids) await store.create(id, session());
        await server.command("SAVE");
        const restarted = server.restart();
        restarted.catch(() => {});
        await until("it is loading", async () => (await server.command("PING").catch(() => "")).includes("LOADING"));
        await until("it has loaded", async () => {
          const found = await store.read(ids[0]!).catch(() => "refused");
          expect(found, "a session was missing").toBeDefined();
          return found !== "refused";
        });
        await restarted;
        for (const id of ids) expect(await store.read(id)).toBeDefined();
      },
    ));
});
