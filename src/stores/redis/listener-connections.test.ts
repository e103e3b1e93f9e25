import { describe, expect, it, vi } from "vitest";
import {
  clusterListenerOpener,
  type IoRedisDuplicate,
  ioRedisListenerOpener,
  type ListenerChannels,
  type NodeListenerConnection,
  type NodeRedisDuplicate,
  nodeRedisListenerOpener,
} from "./listener-connections.ts";

/** A cluster of two nodes, each with a channel. */
function fakeCluster(ready: (node: object) => Promise<void> = async () => {}) {
  const [a, b] = [{ name: "a" }, { name: "b" }];
  const nodeOf = new Map<string, object>([
    ["one", a],
    ["two", b],
  ]);
  const opened: (ListenerChannels & { node: object; closed: boolean })[] = [];
  const refreshSlotOf = vi.fn<(channel: string) => Promise<void>>(async () => {});
  /** The server's reply about a connection. */
  const clientList = vi.fn<(node: object) => string>(() => "id=7 addr=127.0.0.1:1 sub=0 ssub=1 multi=-1");
  const openListener = clusterListenerOpener({
    nodeOf: async (channel) => nodeOf.get(channel)!,
    openerFor:
      (node) =>
      (channels): NodeListenerConnection => {
        const entry = { node, ...channels, closed: false };
        opened.push(entry);
        return {
          ready: ready(node),
          subscribed: { id: "7", shards: channels.shards.length },
          ping: async () => {},
          close: () => void (entry.closed = true),
        };
      },
    sendTo: (node) => async () => clientList(node),
    refreshSlotOf,
  });
  const start = () =>
    openListener(
      { plain: "all", shards: ["one", "two"] },
      () => {},
      () => {},
    );
  return { a, b, nodeOf, opened, refreshSlotOf, clientList, start };
}

describe("clusterListenerOpener", () => {
  it("opens a connection to each node for its channels, and subscribes to the plain channel over one of them", async () => {
    const { a, b, opened, refreshSlotOf, start } = fakeCluster();
    await start().ready;
    expect(opened).toEqual([
      { node: a, plain: "all", shards: ["one"], closed: false },
      { node: b, plain: undefined, shards: ["two"], closed: false },
    ]);
    expect(refreshSlotOf).not.toHaveBeenCalled();
  });

  it("notices at a ping that a channel has moved, even without an announcement", async () => {
    const { a, nodeOf, refreshSlotOf, start } = fakeCluster();
    const connection = start();
    await connection.ready;
    await connection.ping();
    refreshSlotOf.mockImplementation(async (channel) => void nodeOf.set(channel, a));
    await expect(connection.ping()).rejects.toThrow(/moved/);
  });

  it("makes the client look up the slots of the channels that it could not subscribe to", async () => {
    const { b, refreshSlotOf, start } = fakeCluster(async (node) => {
      if (node === b) throw new Error("MOVED");
    });
    await expect(start().ready).rejects.toThrow("MOVED");
    expect(refreshSlotOf.mock.calls).toEqual([["two"]]);
  });

  it("looks slots up once at a time", async () => {
    const { b, refreshSlotOf, start } = fakeCluster(async (node) => {
      if (node === b) throw new Error("connection refused");
    });
    refreshSlotOf.mockImplementation(() => new Promise<void>(() => {}));
    for (let attempt = 0; attempt < 3; attempt += 1) await expect(start().ready).rejects.toThrow("refused");
    expect(refreshSlotOf).toHaveBeenCalledOnce();
  });

  it("is not ready, and fails its ping, if the server has fewer channels of a connection than it confirmed", async () => {
    const { b, clientList, refreshSlotOf, start } = fakeCluster();
    const connection = start();
    await connection.ready;
    await connection.ping();
    clientList.mockImplementation((node) => (node === b ? "id=7 sub=0 ssub=0" : "id=7 sub=1 ssub=1"));
    await expect(connection.ping()).rejects.toThrow(/slot has moved/);
    await expect(start().ready).rejects.toThrow(/slot has moved/);
    expect(refreshSlotOf.mock.lastCall).toEqual(["two"]);
  });

  it("is not ready if the server does not know the connection", async () => {
    const { clientList, start } = fakeCluster();
    clientList.mockReturnValue("");
    await expect(start().ready).rejects.toThrow(/lost the listener connection/);
  });

  it("relies on the client's confirmations if the server does not report shard channels", async () => {
    const { clientList, start } = fakeCluster();
    clientList.mockReturnValue("id=7 addr=127.0.0.1:1 sub=0 multi=-1");
    const connection = start();
    await connection.ready;
    await expect(connection.ping()).resolves.toBeUndefined();
  });

  it("closes all of its connections, and opens none afterwards", async () => {
    const { opened, start } = fakeCluster();
    const connection = start();
    await connection.ready;
    connection.close();
    expect(opened.map(({ closed }) => closed)).toEqual([true, true]);
    const late = start();
    late.close();
    await late.ready;
    expect(opened).toHaveLength(2);
  });
});

describe("a listener connection to one server", () => {
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

  const packages = {
    redis: {
      openerFor: (connection: object) => nodeRedisListenerOpener(async () => connection as NodeRedisDuplicate),
      movedEvent: "sharded-channel-moved",
    },
    ioredis: {
      openerFor: (connection: object) =>
        ioRedisListenerOpener(() => ({ duplicate: () => connection as IoRedisDuplicate })),
      movedEvent: "moved",
    },
  };

  for (const [name, { openerFor, movedEvent }] of Object.entries(packages)) {
    it(`is lost when a channel has moved before the last one is confirmed, with ${name}`, async () => {
      const { connection, confirmations, emit } = fakeConnection();
      const onLost = vi.fn<() => void>();
      const listener = openerFor(connection)({ plain: undefined, shards: ["one", "two"] }, () => {}, onLost);
      await vi.waitUntil(() => confirmations.length === 2);
      confirmations[0]!();
      expect(onLost).not.toHaveBeenCalled();
      emit(movedEvent);
      expect(onLost).toHaveBeenCalledOnce();
      confirmations[1]!();
      await listener.ready;
      expect(listener.subscribed).toEqual({ id: "7", shards: 2 });
    });

    it(`rejects, and does not report a loss as well, if it can't be opened, with ${name}`, async () => {
      const { connection, emit } = fakeConnection();
      const onLost = vi.fn<() => void>();
      connection.connect.mockImplementation(async () => {
        emit("error");
        throw new Error("refused");
      });
      const listener = openerFor(connection)({ plain: "all", shards: [] }, () => {}, onLost);
      await expect(listener.ready).rejects.toThrow("refused");
      expect(onLost).not.toHaveBeenCalled();
    });
  }
});
