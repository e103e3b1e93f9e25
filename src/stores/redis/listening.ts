import type { Send } from "./client.ts";
import { quietly } from "../shared/quietly.ts";

/** What a connection hears: a channel that all servers carry, and those of groups of slots that its server has. */
export interface Channels {
  readonly plain: string | undefined;
  readonly shards: readonly string[];
}

/** A connection, or several, that hear until they are lost: they never reconnect by themselves. */
interface Listening {
  /** Fulfilled as soon as whatever is published will be heard. */
  readonly ready: Promise<void>;
  /** Fulfilled if every connection still answers, and is where its channels are. */
  ping(): Promise<unknown>;
  close(): void;
}

/** A connection to one server. */
export interface ServerListening extends Listening {
  /** Once ready: what the server calls the connection, and how many shards' channels it has confirmed. */
  readonly subscribed: { readonly id: string; readonly shards: number };
}

/** Opens connections of their own. Their errors end in `lost`, never in an unhandled `error` event. */
export type Listen<Kind extends Listening = Listening> = (
  channels: Channels,
  heard: (message: string) => void,
  lost: () => void,
) => Kind;

/** What is used of a connection that `duplicate` of the package redis gives. */
export interface NodeRedisListener {
  on(event: string, listener: (...told: unknown[]) => void): unknown;
  connect(): Promise<unknown>;
  subscribe(channel: string, listener: (message: string) => void): Promise<unknown>;
  destroy(): unknown;
}

/** What is used of a connection that `duplicate` of ioredis or iovalkey gives. */
export interface IoRedisListener {
  on(event: string, listener: (...told: unknown[]) => void): unknown;
  connect(): Promise<unknown>;
  client(subcommand: "ID"): Promise<unknown>;
  subscribe(channel: string): Promise<unknown>;
  ssubscribe(channel: string): Promise<unknown>;
  ping(): Promise<unknown>;
  disconnect(): void;
}

const NODE_REDIS_TROUBLE = [
  "error",
  "end",
  "terminated",
  "reconnecting",
  "topology-change",
  "client-error",
  "sharded-channel-moved",
];
const IO_REDIS_TROUBLE = ["error", "close", "end", "moved"];

const NOTHING = { id: "", shards: 0 };

export function nodeRedisListening(open: () => Promise<NodeRedisListener>): Listen<ServerListening> {
  return ({ plain, shards }, heard, lost) => {
    type Opened = NodeRedisListener & {
      ping?(): Promise<unknown>;
      sSubscribe?: NodeRedisListener["subscribe"];
      sendCommand?(words: string[]): Promise<unknown>;
    };
    let connection: Opened | undefined;
    let closed = false;
    // While it connects, trouble is what `connect` rejects with. From then on any counts: what has been subscribed to may
    // be lost before the last channel is confirmed.
    let isConnected = false;
    let subscribed = NOTHING;
    const trouble = () => void (isConnected && lost());
    const destroy = (given: NodeRedisListener) => void Promise.resolve(quietly(() => given.destroy())).catch(() => {});
    return {
      ready: (async () => {
        const opened: Opened = await open();
        for (const event of NODE_REDIS_TROUBLE) opened.on(event, trouble);
        connection = opened;
        try {
          if (!closed) await opened.connect();
          isConnected = !closed;
          const id = shards.length > 0 && !closed ? String(await opened.sendCommand!(["CLIENT", "ID"])) : "";
          if (!closed && plain !== undefined) await opened.subscribe(plain, heard);
          if (!closed) subscribed = { id, shards: await confirmed(shards, (one) => opened.sSubscribe!(one, heard)) };
        } finally {
          if (closed) destroy(opened);
        }
      })(),
      get subscribed() {
        return subscribed;
      },
      ping: async () => connection?.ping?.(),
      close() {
        closed = true;
        isConnected = false;
        if (connection) destroy(connection);
      },
    };
  };
}

export function ioRedisListening(
  source: () => { duplicate(overrides?: object): IoRedisListener },
): Listen<ServerListening> {
  return ({ plain, shards }, heard, lost) => {
    let connection: IoRedisListener | undefined;
    let isConnected = false;
    let subscribed = NOTHING;
    const trouble = () => void (isConnected && lost());
    return {
      ready: (async () => {
        const opened = source().duplicate({
          lazyConnect: true,
          retryStrategy: () => null,
          autoResubscribe: false,
          maxRetriesPerRequest: 0,
          enableOfflineQueue: true,
        });
        connection = opened;
        for (const event of IO_REDIS_TROUBLE) opened.on(event, trouble);
        for (const event of ["message", "smessage"]) opened.on(event, (_channel, message) => heard(String(message)));
        await opened.connect();
        isConnected = true;
        const id = shards.length > 0 ? String(await opened.client("ID")) : "";
        if (plain !== undefined) await opened.subscribe(plain);
        subscribed = { id, shards: await confirmed(shards, (one) => opened.ssubscribe(one)) };
      })(),
      get subscribed() {
        return subscribed;
      },
      ping: async () => connection?.ping(),
      close() {
        isConnected = false;
        connection?.disconnect();
      },
    };
  };
}

/**
 * Hears a cluster: a connection to each primary, for the channels that it has. The plain channel is heard beside them,
 * for what a server sends that knows no other.
 */
export function clusterListening<Node extends object>(cluster: {
  nodeOf(channel: string): Promise<Node>;
  open(node: Node): Listen<ServerListening>;
  /** Over the connection for commands. */
  send(node: Node): Send;
  /** Asks for a key in the channel's slot: so the client learns where it is now. */
  visit(channel: string): Promise<unknown>;
}): Listen {
  const learning = new Set<string>();

  /** Nobody waits for it: it may take as long as a server is away. */
  async function learn(channels: readonly string[]): Promise<void> {
    const [first] = channels as [string];
    if (learning.has(first)) return;
    learning.add(first);
    try {
      for (const channel of channels) await cluster.visit(channel);
    } catch {
      // Then the next attempt to listen fails as well, and there is another visit.
    } finally {
      learning.delete(first);
    }
  }

  async function orLearn<T>(channels: readonly string[], attempt: Promise<T>): Promise<T> {
    try {
      return await attempt;
    } catch (error) {
      void learn(channels);
      throw error;
    }
  }

  /**
   * The server is asked what it sends over a connection. It says of itself when it takes a channel off, but clients may
   * take that for the reply to what they have just sent.
   */
  async function verify(node: Node, { subscribed: { id, shards } }: ServerListening): Promise<void> {
    if (shards === 0) return;
    const told = String(await cluster.send(node)(["CLIENT", "LIST", "ID", id]));
    if (!new RegExp(`\\bid=${id}\\b`).test(told)) throw new Error("the server has lost the connection that listens");
    const found = /\bssub=(\d+)/.exec(told);
    // Redis tells since 7.0.3.
    if (found && Number(found[1]) !== shards) throw new Error("the server has taken a channel off: its slot has moved");
  }

  return ({ plain, shards }, heard, lost) => {
    const channelsOf = new Map<Node, string[]>();
    const opened: { readonly node: Node; readonly own: string[]; readonly listening: ServerListening }[] = [];
    let closed = false;
    let turn = 0;

    const verifyAll = () =>
      Promise.all(opened.map(({ node, own, listening }) => orLearn(own, verify(node, listening))));

    return {
      ready: (async () => {
        for (const channel of shards) {
          const node = await orLearn([channel], cluster.nodeOf(channel));
          channelsOf.set(node, [...(channelsOf.get(node) ?? []), channel]);
        }
        if (closed) return;
        for (const [node, own] of channelsOf) {
          const channels = { plain: opened.length === 0 ? plain : undefined, shards: own };
          opened.push({ node, own, listening: cluster.open(node)(channels, heard, lost) });
        }
        await Promise.all(opened.map(({ own, listening }) => orLearn(own, listening.ready)));
        if (!closed) await verifyAll();
      })(),
      async ping() {
        // What a server says of a moved slot may get lost, and a client without anything to do would not find out.
        turn += 1;
        await Promise.all([...channelsOf.values()].map((own) => cluster.visit(own[turn % own.length]!)));
        for (const [node, own] of channelsOf) {
          for (const channel of own) if ((await cluster.nodeOf(channel)) !== node) throw new Error("a slot has moved");
        }
        await Promise.all(opened.map(({ listening }) => listening.ping()));
        // After the pings: it is while one is under way that a client may miss it.
        await verifyAll();
      },
      close() {
        closed = true;
        for (const { listening } of opened) listening.close();
      },
    };
  };
}

/** Subscribes to channels, and says how many of them the server knows. */
async function confirmed(
  channels: readonly string[],
  subscribe: (channel: string) => Promise<unknown>,
): Promise<number> {
  const known = await Promise.all(channels.map((channel) => ifKnown(subscribe(channel))));
  return known.filter(Boolean).length;
}

/** A server older than Redis 7 publishes on the plain channel. */
async function ifKnown(subscribed: Promise<unknown>): Promise<boolean> {
  try {
    await subscribed;
    return true;
  } catch (error) {
    if (!(error instanceof Error) || !/unknown command/i.test(error.message)) throw error;
    return false;
  }
}
