import type { SendCommand } from "./client.ts";
import { quietly } from "../shared/quietly.ts";

/** The channels that a connection subscribes to. */
export interface ListenerChannels {
  /** The channel that every server of a cluster carries. */
  readonly plain: string | undefined;
  /** Channels of slot groups that the connection's server has. */
  readonly shards: readonly string[];
}

/** One or several connections that receive messages until the first of them is lost. They never reconnect. */
interface RedisListenerConnection {
  /** Fulfilled as soon as every message that is published will be received. */
  readonly ready: Promise<void>;
  /** Fulfilled if every connection answers, and every channel is still at its connection's server. */
  ping(): Promise<unknown>;
  close(): void;
}

/** A listener connection to one server. */
export interface NodeListenerConnection extends RedisListenerConnection {
  /** Once ready: the server's id of the connection, and the number of shard channels that it has confirmed. */
  readonly subscribed: { readonly id: string; readonly shards: number };
}

/** Opens a listener connection. A connection's errors cause `onLost`, never an unhandled `error` event. */
export type OpenListener<Kind extends RedisListenerConnection = RedisListenerConnection> = (
  channels: ListenerChannels,
  onMessage: (message: string) => void,
  onLost: () => void,
) => Kind;

/** The calls that are used of a connection from `duplicate` of the package redis. */
export interface NodeRedisDuplicate {
  on(event: string, listener: (...args: unknown[]) => void): unknown;
  connect(): Promise<unknown>;
  subscribe(channel: string, listener: (message: string) => void): Promise<unknown>;
  destroy(): unknown;
}

/** The calls that are used of a connection from `duplicate` of ioredis or iovalkey. */
export interface IoRedisDuplicate {
  on(event: string, listener: (...args: unknown[]) => void): unknown;
  connect(): Promise<unknown>;
  client(subcommand: "ID"): Promise<unknown>;
  subscribe(channel: string): Promise<unknown>;
  ssubscribe(channel: string): Promise<unknown>;
  ping(): Promise<unknown>;
  disconnect(): void;
}

// After any of these events messages may be missing.
const NODE_REDIS_LOSS_EVENTS = [
  "error",
  "end",
  "terminated",
  "reconnecting",
  "topology-change",
  "client-error",
  "sharded-channel-moved",
];
const IO_REDIS_LOSS_EVENTS = ["error", "close", "end", "moved"];

const NOT_SUBSCRIBED = { id: "", shards: 0 };

/** For one server, with the package redis. */
export function nodeRedisListenerOpener(
  duplicate: () => Promise<NodeRedisDuplicate>,
): OpenListener<NodeListenerConnection> {
  return ({ plain, shards }, onMessage, onLost) => {
    type FullDuplicate = NodeRedisDuplicate & {
      ping?(): Promise<unknown>;
      sSubscribe?: NodeRedisDuplicate["subscribe"];
      sendCommand?(command: string[]): Promise<unknown>;
    };
    let current: FullDuplicate | undefined;
    let isClosed = false;
    // Until it is connected, `connect` rejects with any error. From then on every loss counts: a subscription may be lost
    // before the last channel is confirmed.
    let isConnected = false;
    let subscribed = NOT_SUBSCRIBED;
    const reportLoss = () => void (isConnected && onLost());
    const destroy = (connection: NodeRedisDuplicate) =>
      void Promise.resolve(quietly(() => connection.destroy())).catch(() => {});
    return {
      ready: (async () => {
        const connection: FullDuplicate = await duplicate();
        for (const event of NODE_REDIS_LOSS_EVENTS) connection.on(event, reportLoss);
        current = connection;
        try {
          if (!isClosed) await connection.connect();
          isConnected = !isClosed;
          const id = shards.length > 0 && !isClosed ? String(await connection.sendCommand!(["CLIENT", "ID"])) : "";
          if (!isClosed && plain !== undefined) await connection.subscribe(plain, onMessage);
          if (!isClosed) {
            const confirmed = await subscribeToAll(shards, (channel) => connection.sSubscribe!(channel, onMessage));
            subscribed = { id, shards: confirmed };
          }
        } finally {
          if (isClosed) destroy(connection);
        }
      })(),
      get subscribed() {
        return subscribed;
      },
      ping: async () => current?.ping?.(),
      close() {
        isClosed = true;
        isConnected = false;
        if (current) destroy(current);
      },
    };
  };
}

/** For one server, with ioredis or iovalkey. */
export function ioRedisListenerOpener(
  getClient: () => { duplicate(overrides?: object): IoRedisDuplicate },
): OpenListener<NodeListenerConnection> {
  return ({ plain, shards }, onMessage, onLost) => {
    let current: IoRedisDuplicate | undefined;
    let isConnected = false;
    let subscribed = NOT_SUBSCRIBED;
    const reportLoss = () => void (isConnected && onLost());
    return {
      ready: (async () => {
        const connection = getClient().duplicate({
          lazyConnect: true,
          retryStrategy: () => null,
          autoResubscribe: false,
          maxRetriesPerRequest: 0,
          enableOfflineQueue: true,
        });
        current = connection;
        for (const event of IO_REDIS_LOSS_EVENTS) connection.on(event, reportLoss);
        for (const event of ["message", "smessage"]) {
          connection.on(event, (_channel, message) => onMessage(String(message)));
        }
        await connection.connect();
        isConnected = true;
        const id = shards.length > 0 ? String(await connection.client("ID")) : "";
        if (plain !== undefined) await connection.subscribe(plain);
        const confirmed = await subscribeToAll(shards, (channel) => connection.ssubscribe(channel));
        subscribed = { id, shards: confirmed };
      })(),
      get subscribed() {
        return subscribed;
      },
      ping: async () => current?.ping(),
      close() {
        isConnected = false;
        current?.disconnect();
      },
    };
  };
}

/**
 * For a cluster: a connection to each primary, for the channels of its slots. One of them also subscribes to the plain
 * channel, for messages of servers that know no other.
 */
export function clusterListenerOpener<Node extends object>(cluster: {
  nodeOf(channel: string): Promise<Node>;
  openerFor(node: Node): OpenListener<NodeListenerConnection>;
  /** Sends over the node's connection for commands. */
  sendTo(node: Node): SendCommand;
  /** Reads a key in the channel's slot: the client then learns which node has the slot. */
  refreshSlotOf(channel: string): Promise<unknown>;
}): OpenListener {
  const refreshing = new Set<string>();

  /** Runs in the background, because it may last as long as a server is away. */
  async function refreshSlots(channels: readonly string[]): Promise<void> {
    const [first] = channels as [string];
    if (refreshing.has(first)) return;
    refreshing.add(first);
    try {
      for (const channel of channels) await cluster.refreshSlotOf(channel);
    } catch {
      // The next attempt to connect fails as well, and refreshes again.
    } finally {
      refreshing.delete(first);
    }
  }

  async function refreshSlotsOnFailure<T>(channels: readonly string[], attempt: Promise<T>): Promise<T> {
    try {
      return await attempt;
    } catch (error) {
      void refreshSlots(channels);
      throw error;
    }
  }

  /**
   * Asks the server how many shard channels the connection has. The server announces when it removes a channel, but a client
   * may take that for the reply to the command it has just sent.
   */
  async function verifySubscriptions(node: Node, { subscribed }: NodeListenerConnection): Promise<void> {
    const { id, shards } = subscribed;
    if (shards === 0) return;
    const reply = String(await cluster.sendTo(node)(["CLIENT", "LIST", "ID", id]));
    if (!new RegExp(`\\bid=${id}\\b`).test(reply)) throw new Error("the server has lost the listener connection");
    const found = /\bssub=(\d+)/.exec(reply);
    // Redis reports ssub since 7.0.3.
    if (found && Number(found[1]) !== shards) throw new Error("the server has removed a channel: its slot has moved");
  }

  return ({ plain, shards }, onMessage, onLost) => {
    const channelsOf = new Map<Node, string[]>();
    const connections: { node: Node; channels: string[]; connection: NodeListenerConnection }[] = [];
    let isClosed = false;
    let pingCount = 0;

    const verifyAll = () =>
      Promise.all(
        connections.map(({ node, channels, connection }) =>
          refreshSlotsOnFailure(channels, verifySubscriptions(node, connection)),
        ),
      );

    return {
      ready: (async () => {
        for (const channel of shards) {
          const node = await refreshSlotsOnFailure([channel], cluster.nodeOf(channel));
          channelsOf.set(node, [...(channelsOf.get(node) ?? []), channel]);
        }
        if (isClosed) return;
        for (const [node, channels] of channelsOf) {
          const wanted = { plain: connections.length === 0 ? plain : undefined, shards: channels };
          connections.push({ node, channels, connection: cluster.openerFor(node)(wanted, onMessage, onLost) });
        }
        await Promise.all(
          connections.map(({ channels, connection }) => refreshSlotsOnFailure(channels, connection.ready)),
        );
        if (!isClosed) await verifyAll();
      })(),
      async ping() {
        // The server's announcement of a moved slot may get lost, and an idle client would not notice: each ping reads a
        // key in one slot of each node.
        pingCount += 1;
        await Promise.all(
          [...channelsOf.values()].map((channels) => cluster.refreshSlotOf(channels[pingCount % channels.length]!)),
        );
        for (const [node, channels] of channelsOf) {
          for (const channel of channels) {
            if ((await cluster.nodeOf(channel)) !== node) throw new Error("a slot has moved");
          }
        }
        await Promise.all(connections.map(({ connection }) => connection.ping()));
        // After the pings: a client may miss the announcement while a ping is under way.
        await verifyAll();
      },
      close() {
        isClosed = true;
        for (const { connection } of connections) connection.close();
      },
    };
  };
}

/** Subscribes to shard channels, and returns how many of them the server supports. */
async function subscribeToAll(
  channels: readonly string[],
  subscribe: (channel: string) => Promise<unknown>,
): Promise<number> {
  const supported = await Promise.all(channels.map((channel) => isSupported(subscribe(channel))));
  return supported.filter(Boolean).length;
}

/** A server older than Redis 7 has no shard channels, and publishes on the plain channel. */
async function isSupported(subscribing: Promise<unknown>): Promise<boolean> {
  try {
    await subscribing;
    return true;
  } catch (error) {
    if (!(error instanceof Error) || !/unknown command/i.test(error.message)) throw error;
    return false;
  }
}
