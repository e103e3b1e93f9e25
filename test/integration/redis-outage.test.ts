import { Redis as IoRedis } from "ioredis";
import { Redis as Valkey } from "iovalkey";
import { createClient } from "redis";
import { describe, expect, it, onTestFinished, vi } from "vitest";
import { redisStore, type RedisStoreClient } from "../../src/stores/redis/store.ts";
import { outageCases, type OutageWorld } from "../support/outages.ts";
import { REDIS_SERVER, startRedis } from "../support/redis.ts";
import { startProxy } from "../support/throwaway.ts";

type Connect = (port: number) => Promise<{ client: RedisStoreClient; end(): unknown }>;

const clients: Record<string, Connect> = {
  async "redis with the documented settings"(port) {
    const client = createClient({
      url: `redis://127.0.0.1:${port}`,
      commandOptions: { timeout: 5000 },
      pingInterval: 5000,
      socket: {
        connectTimeout: 2000,
        socketTimeout: 10_000,
        reconnectStrategy: (retries) => Math.min(50 * 2 ** retries, 2000),
      },
    });
    client.on("error", () => {});
    await client.connect();
    return { client, end: () => client.destroy() };
  },
  async "redis with default settings"(port) {
    const client = createClient({ url: `redis://127.0.0.1:${port}` }).on("error", () => {});
    await client.connect();
    return { client, end: () => client.destroy() };
  },
  async "ioredis with the documented settings"(port) {
    const client = new IoRedis(port, "127.0.0.1", {
      maxRetriesPerRequest: 1,
      connectTimeout: 2000,
      socketTimeout: 5000,
      retryStrategy: (times) => Math.min(50 * times, 1000),
    });
    client.on("error", () => {});
    return { client, end: () => client.disconnect() };
  },
  async "ioredis with default settings"(port) {
    const client = new IoRedis(port, "127.0.0.1");
    client.on("error", () => {});
    return { client, end: () => client.disconnect() };
  },
  async "iovalkey with the documented settings"(port) {
    const client = new Valkey(port, "127.0.0.1", {
      maxRetriesPerRequest: 1,
      connectTimeout: 2000,
      socketTimeout: 5000,
      retryStrategy: (times) => Math.min(50 * times, 1000),
    });
    client.on("error", () => {});
    return { client, end: () => client.disconnect() };
  },
};

async function world(connect: Connect): Promise<OutageWorld> {
  const server = await startRedis();
  const proxy = await startProxy({ port: server.port });
  return {
    server,
    proxy,
    async connect() {
      const { client, end } = await connect(proxy.port);
      return { store: redisStore(client), end: async () => void (await end()) };
    },
    async connections() {
      const list = await server.command("CLIENT", "LIST");
      return list.split("\n").filter((line) => /\bid=/.test(line) && !/\bcmd=client\|list\b/.test(line)).length;
    },
    async stop() {
      await proxy.stop();
      await server.end();
    },
  };
}

/** Limits how many run at the same time: many servers that start together would be slow. */
function limitConcurrency(max: number): (run: () => Promise<void>) => Promise<void> {
  const waiting: (() => void)[] = [];
  let running = 0;
  return async (run) => {
    if (running === max) await new Promise<void>((resolve) => waiting.push(resolve));
    else running += 1;
    try {
      await run();
    } finally {
      const next = waiting.shift();
      if (next) next();
      else running -= 1;
    }
  };
}

describe.skipIf(!REDIS_SERVER)("redisStore with a connection of node-redis that has died without a word", () => {
  it("makes another one", async () => {
    const { proxy, connect, stop } = await world(clients["redis with the documented settings"]!);
    onTestFinished(stop);
    const { store, end } = await connect();
    onTestFinished(end);
    const id = "a".repeat(22);
    const stored = { payload: Buffer.from("a"), version: 1, expiresAt: Date.now() + 60_000, userId: undefined };
    expect(await store.create(id, stored)).toBe(true);
    proxy.silence();
    const lost = store.read(id).catch((error: unknown) => error);
    const { now } = performance;
    vi.spyOn(performance, "now").mockImplementation(() => now.call(performance) + 20_000);
    onTestFinished(() => void vi.restoreAllMocks());
    store.read(id).catch(() => {});
    expect(await lost).toBeInstanceOf(Error);
    expect(await store.read(id)).toMatchObject({ version: 1 });
  });
});

describe.skipIf(!REDIS_SERVER)("redisStore in an outage", () => {
  const runLimited = limitConcurrency(2);
  for (const [name, connect] of Object.entries(clients)) {
    describe.concurrent(`with ${name}`, () => {
      const cases = outageCases(() => world(connect));
      // With default settings, only the case with a lost connection differs.
      const chosen = name.includes("default settings")
        ? cases.filter((each) => each.name.includes("cut again"))
        : cases;
      it.each(chosen)("$name", async ({ run }) => {
        await expect(runLimited(run)).resolves.toBeUndefined();
      });
    });
  }
});
