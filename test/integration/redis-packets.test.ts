import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { Redis as IoRedis } from "ioredis";
import { Redis as Valkey } from "iovalkey";
import { createClient } from "redis";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import { redisStore, type RedisStoreClient } from "../../src/stores/redis/store.ts";
import { REDIS_SERVER, type RedisServer, startRedis } from "../support/redis.ts";
import { startProxy } from "../support/throwaway.ts";

// Commands of one turn of the event loop leave as one packet. Each is still a command of its own.

const COUNT = 50;
const IDS = Array.from({ length: COUNT }, (_, index) => `session-${index}`);
const EXPIRES_AT = Date.now() + 3_600_000;
const session = (version: number) => ({ payload: Buffer.alloc(200, version), version, expiresAt: EXPIRES_AT });

const clients: Record<string, (port: number) => Promise<{ client: RedisStoreClient; end(): void }>> = {
  async redis(port) {
    // A busy machine may take longer than the default timeout.
    const client = createClient({ url: `redis://127.0.0.1:${port}`, commandOptions: { timeout: 120_000 } });
    await client.on("error", () => {}).connect();
    return { client, end: () => client.destroy() };
  },
  async ioredis(port) {
    const client = new IoRedis(port, "127.0.0.1", { retryStrategy: () => 20 }).on("error", () => {});
    await once(client, "ready");
    return { client, end: () => client.disconnect() };
  },
  async iovalkey(port) {
    const client = new Valkey(port, "127.0.0.1", { retryStrategy: () => 20 }).on("error", () => {});
    await once(client, "ready");
    return { client, end: () => client.disconnect() };
  },
};

/** A proxy that resets its next connection as soon as so many more bytes of the client have passed. */
async function startCuttingProxy(target: number) {
  const sockets = new Set<Socket>();
  let bytesLeft = Infinity;
  const proxy = createServer((client) => {
    const upstream = connect(target, "127.0.0.1");
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.on("error", () => {});
    }
    client.on("data", (chunk: Buffer) => {
      const passed = chunk.subarray(0, bytesLeft);
      bytesLeft -= passed.length;
      upstream.write(passed);
      if (bytesLeft > 0) return;
      bytesLeft = Infinity;
      upstream.end();
      client.resetAndDestroy();
    });
    upstream.on("data", (chunk) => void (client.destroyed || client.write(chunk)));
  }).listen(0, "127.0.0.1");
  await once(proxy, "listening");
  return {
    port: (proxy.address() as AddressInfo).port,
    cutAfter: (bytes: number) => void (bytesLeft = bytes),
    stop() {
      for (const socket of sockets) socket.destroy();
      proxy.close();
    },
  };
}

describe.skipIf(!REDIS_SERVER)("redisStore", () => {
  let server: RedisServer;
  beforeAll(async () => (server = await startRedis()));
  afterAll(() => server.end());
  beforeEach(() => server.command("FLUSHALL"));
  afterEach(() => vi.restoreAllMocks());

  /** How often the server has read from a socket. */
  async function countReads(): Promise<number> {
    return Number(/^total_reads_processed:(\d+)/m.exec(await server.command("INFO", "stats"))?.[1]);
  }

  for (const [name, connectClient] of Object.entries(clients)) {
    describe(`with ${name}`, () => {
      it("sends the commands of one turn of the event loop as one packet", async () => {
        const { client, end } = await connectClient(server.port);
        const store = redisStore(client);
        await store.create(IDS[0]!, session(1));
        const before = await countReads();
        const found = await Promise.all(IDS.map((id) => store.read(id)));
        // The server reads the packet, and the commands that count.
        expect((await countReads()) - before).toBeLessThanOrEqual(4);
        expect(found.map((each) => each?.version)).toEqual(IDS.map((_, index) => (index === 0 ? 1 : undefined)));
        await store.close();
        end();
      });

      it("rejects one command of a packet alone", async () => {
        const { client, end } = await connectClient(server.port);
        const store = redisStore(client);
        await Promise.all(IDS.map((id) => store.create(id, session(1))));
        await server.command("DEL", `sojourn:${IDS[7]}`);
        await server.command("LPUSH", `sojourn:${IDS[7]}`, "no session");
        const reads = Promise.allSettled(IDS.map((id) => store.read(id)));
        const updates = Promise.allSettled(IDS.map((id) => store.update(id, session(2), 1)));
        for (const results of [await reads, await updates]) {
          for (const [index, { status }] of results.entries())
            expect(status).toBe(index === 7 ? "rejected" : "fulfilled");
        }
        const after = await Promise.all(IDS.filter((_, index) => index !== 7).map((id) => store.read(id)));
        for (const each of after) expect(each?.version).toBe(2);
        await store.close();
        end();
      });

      it("settles every command of a packet when the client is closed in the same turn", async () => {
        const { client, end } = await connectClient(server.port);
        const store = redisStore(client);
        await Promise.all(IDS.map((id) => store.create(id, session(1))));
        const updates = Promise.allSettled(IDS.map((id) => store.update(id, session(2), 1)));
        end();
        const results = await updates;
        const other = await connectClient(server.port);
        const after = await Promise.all(IDS.map((id) => redisStore(other.client).read(id)));
        for (const [index, { status }] of results.entries()) {
          if (status === "fulfilled") expect(after[index]?.version).toBe(2);
          else expect([1, 2]).toContain(after[index]?.version);
        }
        other.end();
      });

      it("acknowledges exactly what is written when a connection is cut in the middle of a packet", async () => {
        const proxy = await startCuttingProxy(server.port);
        const { client, end } = await connectClient(proxy.port);
        const store = redisStore(client);
        await Promise.all(IDS.map((id) => store.create(id, session(1))));
        await store.update(IDS[0]!, session(2), 1);
        for (const bytes of [1, 1000, 5000, 5001, 9000]) {
          const versions = await Promise.all(IDS.map(async (id) => (await store.read(id))!.version));
          proxy.cutAfter(bytes);
          const results = await Promise.allSettled(
            IDS.map((id, index) => store.update(id, session(versions[index]! + 1), versions[index]!)),
          );
          await vi.waitFor(() => store.read(IDS[0]!), { timeout: 30_000 });
          const after = await Promise.all(IDS.map((id) => store.read(id)));
          for (const [index, result] of results.entries()) {
            const { version } = after[index]!;
            if (result.status === "fulfilled") {
              expect(result.value).toBe(true);
              expect(version).toBe(versions[index]! + 1);
            } else expect(version - versions[index]!).toBeOneOf([0, 1]);
          }
        }
        end();
        proxy.stop();
      });

      it("refuses commands at once while 10000 wait for a server that stalls, and has all replies when it goes on", async () => {
        const { client, end } = await connectClient(server.port);
        const store = redisStore(client);
        await store.create(IDS[0]!, session(1));
        server.pause();
        const waiting = Array.from({ length: 10_000 }, () => store.read(IDS[0]!));
        try {
          await expect(store.read(IDS[0]!)).rejects.toThrow("10000 commands wait for replies");
          await expect(store.update(IDS[0]!, session(2), 1)).rejects.toThrow("10000 commands wait for replies");
        } finally {
          server.resume();
        }
        const found = await Promise.all(waiting);
        expect(found.every((each) => each?.version === 1)).toBe(true);
        expect(await store.update(IDS[0]!, session(2), 1)).toBe(true);
        await store.close();
        end();
      });
    });
  }

  it("makes no signal for each command of a client of redis, and still none is sent after the client's timeout", async () => {
    const proxy = await startProxy({ port: server.port });
    const client = createClient({ url: `redis://127.0.0.1:${proxy.port}`, commandOptions: { timeout: 300 } });
    await client.on("error", () => {}).connect();
    const store = redisStore(client);
    await store.create(IDS[0]!, session(1));
    const timeout = vi.spyOn(AbortSignal, "timeout");
    await Promise.all(IDS.map((id) => store.read(id)));
    expect(timeout.mock.calls.length).toBeLessThanOrEqual(1);
    const warn = vi.spyOn(process, "emitWarning");
    proxy.refuse();
    await vi.waitFor(() => expect(client.isReady).toBe(false));
    const updates = IDS.map(() => store.update(IDS[0]!, session(2), 1));
    for (const { status } of await Promise.allSettled(updates)) expect(status).toBe("rejected");
    expect(warn).not.toHaveBeenCalled();
    proxy.accept();
    await vi.waitFor(() => store.read(IDS[0]!), { timeout: 30_000 });
    expect(await store.read(IDS[0]!)).toMatchObject({ version: 1 });
    client.destroy();
    await proxy.stop();
  });
});
