import { getEventListeners } from "node:events";
import { PassThrough } from "node:stream";
import { setImmediate as nextTurn } from "node:timers/promises";
import { describe, expect, it, onTestFinished, vi } from "vitest";
import { redisDriver, type RedisStoreClient } from "./client.ts";

/** A client of the package redis whose commands get no reply until `reply` is called. */
function silentNodeRedis() {
  const waiting: ((reply: null) => void)[] = [];
  const client = {
    _commandOptions: { timeout: 2000 as number | undefined },
    options: [] as object[],
    sendCommand(_command: unknown, options: object) {
      client.options.push(options);
      return new Promise((resolve) => waiting.push(resolve));
    },
    duplicate() {},
    subscribe() {},
  };
  const reply = () => {
    for (const resolve of waiting.splice(0)) resolve(null);
  };
  return { client: client as unknown as RedisStoreClient & typeof client, reply };
}

describe("redisDriver", () => {
  it("gives commands of a client of redis a signal with the client's timeout in common", () => {
    vi.useFakeTimers();
    try {
      const timeout = vi.spyOn(AbortSignal, "timeout");
      const { client } = silentNodeRedis();
      const { send } = redisDriver(client);
      for (let count = 0; count < 3; count += 1) void send("key", ["GET", "key"]);
      expect(timeout.mock.calls).toEqual([[2000]]);
      const [first, second, third] = client.options;
      expect(first).toMatchObject({ timeout: undefined, abortSignal: expect.any(AbortSignal) });
      expect(second).toBe(first);
      expect(third).toBe(first);
      // Later commands wait as long as the first ones did, even if no timer has run since.
      vi.spyOn(performance, "now").mockReturnValue(performance.now() + 200);
      void send("key", ["GET", "key"]);
      expect(timeout.mock.calls).toEqual([[2000], [2000]]);
    } finally {
      vi.useRealTimers();
      vi.restoreAllMocks();
    }
  });

  it("keeps a listener of that signal, so that its list is not made anew for each lone command", () => {
    const { client } = silentNodeRedis();
    void redisDriver(client).send("key", ["GET", "key"]);
    const { abortSignal } = client.options[0] as { abortSignal: AbortSignal };
    expect(getEventListeners(abortSignal, "abort")).toHaveLength(1);
  });

  it("leaves the commands of a client without a timeout without one", () => {
    const { client } = silentNodeRedis();
    client["_commandOptions"] = { timeout: undefined };
    void redisDriver(client).send("key", ["GET", "key"]);
    expect(client.options[0]).not.toHaveProperty("abortSignal");
  });

  it("refuses commands while 10000 have no reply, and sends them again when the replies have come", async () => {
    const { client, reply } = silentNodeRedis();
    const { send } = redisDriver(client);
    const replies = Array.from({ length: 10_000 }, () => send("key", ["GET", "key"]));
    await expect(send("key", ["GET", "key"])).rejects.toThrow("10000 commands wait for replies of the Redis server:");
    expect(client.options).toHaveLength(10_000);
    reply();
    await Promise.all(replies);
    const next = send("key", ["GET", "key"]);
    reply();
    await expect(next).resolves.toBeNull();
  });

  describe("with a connection that gives no reply", () => {
    const silentAfter = (wait: number) => {
      const { client, reply } = silentNodeRedis();
      const calls: string[] = [];
      const connection = {
        isOpen: true,
        isReady: true,
        destroy: () => void calls.push("destroy"),
        connect: () => (calls.push("connect"), Promise.reject(new Error("not yet"))),
      };
      const { send } = redisDriver(Object.assign(client, connection));
      let now = 0;
      vi.spyOn(performance, "now").mockImplementation(() => now);
      onTestFinished(() => void vi.restoreAllMocks());
      const ask = () => void send("key", ["GET", "key"]).catch(() => {});
      ask();
      const laterAsk = () => {
        now += wait;
        ask();
      };
      return { calls, connection: client as typeof client & typeof connection, reply, ask, laterAsk };
    };

    it("leaves it after 15 seconds, once, and again after 15 more", () => {
      const { calls, ask, laterAsk } = silentAfter(5001);
      for (let count = 0; count < 2; count += 1) laterAsk();
      expect(calls).toEqual([]);
      laterAsk();
      ask();
      expect(calls).toEqual(["destroy", "connect"]);
      for (let count = 0; count < 3; count += 1) laterAsk();
      expect(calls).toHaveLength(4);
    });

    it("keeps it where a reply came meanwhile, and where nothing waited for one", async () => {
      const { calls, laterAsk, reply } = silentAfter(10_000);
      for (let count = 0; count < 4; count += 1) {
        reply();
        await nextTurn();
        laterAsk();
      }
      expect(calls).toEqual([]);
    });

    it.each(["isReady", "isOpen"] as const)(
      "leaves the client alone that is connecting, or that closes: not %s",
      (state) => {
        const { calls, connection, laterAsk } = silentAfter(20_000);
        connection[state] = false;
        for (let count = 0; count < 3; count += 1) laterAsk();
        expect(calls).toEqual([]);
        // The time without a connection was no silence of the one that is there now.
        connection[state] = true;
        laterAsk();
        expect(calls).toEqual([]);
        laterAsk();
        expect(calls).toEqual(["destroy", "connect"]);
      },
    );

    it("keeps it after the process was stopped, and could read no reply", () => {
      const { calls, ask, laterAsk } = silentAfter(60_000);
      laterAsk();
      ask();
      expect(calls).toEqual([]);
    });

    it("keeps it where the server replies with errors", async () => {
      const { calls, connection, laterAsk } = silentAfter(5001);
      connection.sendCommand = () => Promise.reject(new Error("LOADING Redis is loading the dataset in memory"));
      for (let count = 0; count < 8; count += 1) {
        laterAsk();
        await nextTurn();
      }
      expect(calls).toEqual([]);
    });
  });

  it("says what is missing where a client was never connected", async () => {
    const { client } = silentNodeRedis();
    const closed = new Error("The client is closed");
    client.sendCommand = () => Promise.reject(closed);
    const failure = redisDriver(client).send("key", ["GET", "key"]);
    await expect(failure).rejects.toMatchObject({
      message: expect.stringContaining("await client.connect()"),
      cause: closed,
    });
  });

  it.each<[string, unknown, string]>([
    ["a promise", Promise.resolve(silentNodeRedis().client), "await it, as in redisStore(await createClient("],
    ["an address", "redis://127.0.0.1:6379", "await openStore(url)"],
    [
      "the options of another store",
      { client: silentNodeRedis().client },
      "give the client itself, redisStore(client)",
    ],
    ["something else", {}, "createClient, createCluster"],
  ])("names the remedy for %s", (_, given, remedy) => {
    expect(() => redisDriver(given as never)).toThrow(TypeError);
    expect(() => redisDriver(given as never)).toThrow(remedy);
  });

  it("does not count a command that was rejected as one without a reply", async () => {
    const { client } = silentNodeRedis();
    client.sendCommand = () => Promise.reject(new Error("the connection is lost"));
    const { send } = redisDriver(client);
    for (let round = 0; round < 2; round += 1) {
      const sent = await Promise.allSettled(Array.from({ length: 6000 }, () => send("key", ["GET", "key"])));
      for (const each of sent) expect(each).toHaveProperty("reason.message", "the connection is lost");
    }
  });

  it("holds the writes to every primary of a cluster back until the end of the turn, and no longer", async () => {
    const streams = [new PassThrough(), undefined, new PassThrough()] as const;
    const getBuffer = async (key: string) => void streams[0].write(key);
    const client = { options: {}, slots: [], getBuffer, nodes: () => streams.map((stream) => ({ stream })) };
    const { send } = redisDriver(client as unknown as RedisStoreClient);
    const corked = () => [streams[0].writableCorked, streams[2].writableCorked];
    void send("key", ["GET", "a"]);
    void send("key", ["GET", "b"]);
    expect(corked()).toEqual([1, 1]);
    expect(streams[0].readableLength).toBe(0);
    await nextTurn();
    expect(corked()).toEqual([0, 0]);
    expect(String(streams[0].read())).toBe("ab");
    void send("key", ["GET", "c"]);
    expect(corked()).toEqual([1, 1]);
    await nextTurn();
    expect(corked()).toEqual([0, 0]);
  });
});
