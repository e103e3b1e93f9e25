import { describe, expect, it, vi } from "vitest";
import {
  clusterListening,
  type Channels,
  type IoRedisListener,
  ioRedisListening,
  type NodeRedisListener,
  nodeRedisListening,
  type ServerListening,
} from "./listening.ts";

/** A cluster of two nodes, each with a channel. */
function fakeCluster(ready: (node: object) => Promise<void> = async () => {}) {
  const [a, b] = [{ name: "a" }, { name: "b" }];
  const where = new Map<string, object>([
    ["one", a],
    ["two", b],
  ]);
  const opened: (Channels & { node: object; closed: boolean })[] = [];
  const visit = vi.fn<(channel: string) => Promise<void>>(async () => {});
  /** What the server says of a connection. */
  const told = vi.fn<(node: object) => string>(() => "id=7 addr=127.0.0.1:1 sub=0 ssub=1 multi=-1");
  const listen = clusterListening({
    nodeOf: async (channel) => where.get(channel)!,
    open:
      (node) =>
      (channels): ServerListening => {
        const entry = { node, ...channels, closed: false };
        opened.push(entry);
        return {
          ready: ready(node),
          subscribed: { id: "7", shards: channels.shards.length },
          ping: async () => {},
          close: () => void (entry.closed = true),
        };
      },
    send: (node) => async () => told(node),
    visit,
  });
  const start = () =>
    listen(
      { plain: "all", shards: ["one", "two"] },
      () => {},
      () => {},
    );
  return { a, b, where, opened, visit, told, start };
}

describe("clusterListening", () => {
  it("opens a connection to each node, for its channels, and hears the plain channel over one of them", async () => {
    const { a, b, opened, visit, start } = fakeCluster();
    await start().ready;
    expect(opened).toEqual([
      { node: a, plain: "all", shards: ["one"], closed: false },
      { node: b, plain: undefined, shards: ["two"], closed: false },
    ]);
    expect(visit).not.toHaveBeenCalled();
  });

  it("finds out that a channel is elsewhere, though nothing has told it", async () => {
    const { a, where, visit, start } = fakeCluster();
    const listening = start();
    await listening.ready;
    await listening.ping();
    visit.mockImplementation(async (channel) => void where.set(channel, a));
    await expect(listening.ping()).rejects.toThrow(/moved/);
  });

  it("has the client look where the channels are that could not be heard", async () => {
    const { b, visit, start } = fakeCluster(async (node) => {
      if (node === b) throw new Error("MOVED");
    });
    await expect(start().ready).rejects.toThrow("MOVED");
    expect(visit.mock.calls).toEqual([["two"]]);
  });

  it("looks no second time while a look is under way", async () => {
    const { b, visit, start } = fakeCluster(async (node) => {
      if (node === b) throw new Error("connection refused");
    });
    visit.mockImplementation(() => new Promise<void>(() => {}));
    for (let turn = 0; turn < 3; turn += 1) await expect(start().ready).rejects.toThrow("refused");
    expect(visit).toHaveBeenCalledOnce();
  });

  it("is not ready, nor goes on, where the server sends fewer channels over a connection than were asked for", async () => {
    const { b, told, visit, start } = fakeCluster();
    const listening = start();
    await listening.ready;
    await listening.ping();
    told.mockImplementation((node) => (node === b ? "id=7 sub=0 ssub=0" : "id=7 sub=1 ssub=1"));
    await expect(listening.ping()).rejects.toThrow(/slot has moved/);
    await expect(start().ready).rejects.toThrow(/slot has moved/);
    expect(visit.mock.lastCall).toEqual(["two"]);
  });

  it("is not ready where the server does not know of the connection", async () => {
    const { told, start } = fakeCluster();
    told.mockReturnValue("");
    await expect(start().ready).rejects.toThrow(/lost the connection/);
  });

  it("goes by what the client says where the server counts no shards' channels", async () => {
    const { told, start } = fakeCluster();
    told.mockReturnValue("id=7 addr=127.0.0.1:1 sub=0 multi=-1");
    const listening = start();
    await listening.ready;
    await expect(listening.ping()).resolves.toBeUndefined();
  });

  it("closes all of its connections, and opens none afterwards", async () => {
    const { opened, start } = fakeCluster();
    const listening = start();
    await listening.ready;
    listening.close();
    expect(opened.map(({ closed }) => closed)).toEqual([true, true]);
    const late = start();
    late.close();
    await late.ready;
    expect(opened).toHaveLength(2);
  });
});

describe("a connection that listens", () => {
  /** A connection whose channels are confirmed one by one. */
  function fakeConnection() {
    const listeners = new Map<string, () => void>();
    const confirmations: (() => void)[] = [];
    const subscribe = () => new Promise<void>((resolve) => confirmations.push(resolve));
    const connection = {
      on: (event: string, listener: () => void) => listeners.set(event, listener),
      connect: vi.fn<() => Promise<void>>(async () => {}),
      client: async () => 7,
      sendCommand: async () => 7,
      subscribe,
      sSubscribe: subscribe,
      ssubscribe: subscribe,
      ping: async () => {},
      destroy: () => {},
      disconnect: () => {},
    };
    return { connection, confirmations, emit: (event: string) => listeners.get(event)!() };
  }

  const kinds = {
    redis: {
      listen: (connection: object) => nodeRedisListening(async () => connection as NodeRedisListener),
      moved: "sharded-channel-moved",
    },
    ioredis: {
      listen: (connection: object) => ioRedisListening(() => ({ duplicate: () => connection as IoRedisListener })),
      moved: "moved",
    },
  };

  for (const [name, { listen, moved }] of Object.entries(kinds)) {
    it(`is lost when a channel has moved before the last one is confirmed, with ${name}`, async () => {
      const { connection, confirmations, emit } = fakeConnection();
      const lost = vi.fn<() => void>();
      const listening = listen(connection)({ plain: undefined, shards: ["one", "two"] }, () => {}, lost);
      await vi.waitUntil(() => confirmations.length === 2);
      confirmations[0]!();
      expect(lost).not.toHaveBeenCalled();
      emit(moved);
      expect(lost).toHaveBeenCalledOnce();
      confirmations[1]!();
      await listening.ready;
      expect(listening.subscribed).toEqual({ id: "7", shards: 2 });
    });

    it(`rejects, and is not lost besides, when it can't be opened, with ${name}`, async () => {
      const { connection, emit } = fakeConnection();
      const lost = vi.fn<() => void>();
      connection.connect.mockImplementation(async () => {
        emit("error");
        throw new Error("refused");
      });
      const listening = listen(connection)({ plain: "all", shards: [] }, () => {}, lost);
      await expect(listening.ready).rejects.toThrow("refused");
      expect(lost).not.toHaveBeenCalled();
    });
  }
});
