import { randomUUID } from "node:crypto";
import { Cluster as IoCluster, Redis as IoRedis } from "ioredis";
import { Cluster as ValkeyCluster, Redis as Valkey } from "iovalkey";
import { createClient, createCluster } from "redis";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { redisStore, type RedisStoreClient, type RedisStoreOptions } from "../../src/stores/redis/store.ts";
import { storeContract } from "../../src/testing/index.ts";
import { REDIS_SERVER, type RedisServer, startCluster, startRedis } from "../support/redis.ts";

type Connect = (port: number) => Promise<{ client: RedisStoreClient; end(): unknown }>;

const standalone: Record<string, Connect> = {
  async redis(port) {
    const client = createClient({ url: `redis://127.0.0.1:${port}` }).on("error", () => {});
    await client.connect();
    return { client, end: () => client.destroy() };
  },
  async "redis with RESP2"(port) {
    const client = createClient({ url: `redis://127.0.0.1:${port}`, RESP: 2 }).on("error", () => {});
    await client.connect();
    return { client, end: () => client.destroy() };
  },
  async ioredis(port) {
    const client = new IoRedis(port, "127.0.0.1");
    return { client, end: () => client.disconnect() };
  },
  async "ioredis with every option that changes replies"(port) {
    const client = new IoRedis(port, "127.0.0.1", {
      stringNumbers: true,
      replyMapping: "resp3",
      enableAutoPipelining: true,
    });
    return { client, end: () => client.disconnect() };
  },
  async iovalkey(port) {
    const client = new Valkey(port, "127.0.0.1");
    return { client, end: () => client.disconnect() };
  },
};

const clustered: Record<string, Connect> = {
  async redis(port) {
    const client = createCluster({ rootNodes: [{ url: `redis://127.0.0.1:${port}` }] }).on("error", () => {});
    await client.connect();
    return { client, end: () => client.destroy() };
  },
  async ioredis(port) {
    const client = new IoCluster([{ host: "127.0.0.1", port }]);
    return { client, end: () => client.disconnect() };
  },
  async iovalkey(port) {
    const client = new ValkeyCluster([{ host: "127.0.0.1", port }]);
    return { client, end: () => client.disconnect() };
  },
};

const kinds: Record<string, RedisStoreOptions> = {
  "": {},
  ", with a prefix of special characters and announceChanges": { prefix: "my*[app]?\\^-é", announceChanges: true },
};

function runContract(connect: Connect, port: () => number, options: RedisStoreOptions): void {
  let connected: Awaited<ReturnType<Connect>>;
  beforeAll(async () => (connected = await connect(port())));
  afterAll(() => connected.end());
  // Cases run at the same time, and each would be notified of the others' sessions under the same prefix.
  let prefixes = 0;
  const uniquePrefix = () => `${options.prefix ?? "sojourn"}-${randomUUID()}-${prefixes++}:`;
  const two = () => {
    const prefix = uniquePrefix();
    const instance = () => redisStore(connected.client, { ...options, prefix });
    return [instance(), instance()] as const;
  };
  const cases = storeContract(two, {
    clock: "own",
    lifetime: 1500,
    capabilities: ["idsOfUser", "all", "subscribe", "close"],
  });
  it.each(cases)("$name", async ({ run }) => {
    await expect(run()).resolves.toBeUndefined();
  });
}

describe.skipIf(!REDIS_SERVER)("redisStore", () => {
  let server: RedisServer;
  beforeAll(async () => (server = await startRedis()));
  afterAll(() => server.end());

  for (const [client, connect] of Object.entries(standalone)) {
    for (const [kind, options] of Object.entries(kinds)) {
      if (kind !== "" && client.includes("with")) continue;
      describe.concurrent(`on one server with ${client}${kind}`, () => {
        runContract(connect, () => server.port, options);
      });
    }
  }
});

describe.skipIf(!REDIS_SERVER)("redisStore in a cluster", () => {
  let cluster: Awaited<ReturnType<typeof startCluster>>;
  beforeAll(async () => (cluster = await startCluster()));
  afterAll(() => cluster.end());

  for (const [client, connect] of Object.entries(clustered)) {
    describe.concurrent(`with ${client} and announceChanges`, () => {
      runContract(connect, () => cluster.nodes[0]!.port, { announceChanges: true });
    });
  }
});
