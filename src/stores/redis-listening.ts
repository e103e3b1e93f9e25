/** What a connection hears: a channel that all servers carry, and those of groups of slots that its server has. */
export interface Channels {
  readonly plain: string | undefined;
  readonly shards: readonly string[];
}

/** A connection, or several, that hear until they are lost: they never reconnect by themselves. */
export interface Listening {
  /** Fulfilled as soon as whatever is published will be heard. */
  readonly ready: Promise<void>;
  /** Fulfilled if every connection still answers, and is where its channels are. */
  ping(): Promise<unknown>;
  close(): void;
}

/** Opens connections of their own. Their errors end in `lost`, never in an unhandled `error` event. */
export type Listen = (channels: Channels, heard: (message: string) => void, lost: () => void) => Listening;

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

export function nodeRedisListening(open: () => Promise<NodeRedisListener>): Listen {
  return ({ plain, shards }, heard, lost) => {
    type Opened = NodeRedisListener & { ping?(): Promise<unknown>; sSubscribe?: NodeRedisListener["subscribe"] };
    let connection: Opened | undefined;
    let closed = false;
    let isReady = false;
    const trouble = () => void (isReady && lost());
    const destroy = (given: NodeRedisListener) => void Promise.resolve(quietly(() => given.destroy())).catch(() => {});
    return {
      ready: (async () => {
        const opened: Opened = await open();
        for (const event of NODE_REDIS_TROUBLE) opened.on(event, trouble);
        connection = opened;
        try {
          if (!closed) await opened.connect();
          if (!closed && plain !== undefined) await opened.subscribe(plain, heard);
          if (!closed) await Promise.all(shards.map((channel) => ifKnown(opened.sSubscribe!(channel, heard))));
        } finally {
          if (closed) destroy(opened);
        }
        isReady = true;
      })(),
      ping: async () => connection?.ping?.(),
      close() {
        closed = true;
        isReady = false;
        if (connection) destroy(connection);
      },
    };
  };
}

export function ioRedisListening(source: () => { duplicate(overrides?: object): IoRedisListener }): Listen {
  return ({ plain, shards }, heard, lost) => {
    let connection: IoRedisListener | undefined;
    let isReady = false;
    const trouble = () => void (isReady && lost());
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
        if (plain !== undefined) await opened.subscribe(plain);
        await Promise.all(shards.map((channel) => ifKnown(opened.ssubscribe(channel))));
        isReady = true;
      })(),
      ping: async () => connection?.ping(),
      close() {
        isReady = false;
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
  open(node: Node): Listen;
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

  return ({ plain, shards }, heard, lost) => {
    const opened: Listening[] = [];
    const channelsOf = new Map<Node, string[]>();
    let closed = false;
    let turn = 0;
    return {
      ready: (async () => {
        for (const channel of shards) {
          const node = await orLearn([channel], cluster.nodeOf(channel));
          channelsOf.set(node, [...(channelsOf.get(node) ?? []), channel]);
        }
        if (closed) return;
        for (const [node, own] of channelsOf) {
          const channels = { plain: opened.length === 0 ? plain : undefined, shards: own };
          opened.push(cluster.open(node)(channels, heard, lost));
        }
        await Promise.all(opened.map(({ ready }, index) => orLearn([...channelsOf.values()][index]!, ready)));
      })(),
      async ping() {
        // What a server says of a moved slot may get lost, and a client without anything to do would not find out.
        turn += 1;
        await Promise.all([...channelsOf.values()].map((own) => cluster.visit(own[turn % own.length]!)));
        for (const [node, own] of channelsOf) {
          for (const channel of own) if ((await cluster.nodeOf(channel)) !== node) throw new Error("a slot has moved");
        }
        await Promise.all(opened.map((each) => each.ping()));
      },
      close() {
        closed = true;
        for (const each of opened) each.close();
      },
    };
  };
}

/** A server older than Redis 7 publishes on the plain channel. */
async function ifKnown(subscribed: Promise<unknown>): Promise<void> {
  try {
    await subscribed;
  } catch (error) {
    if (!(error instanceof Error) || !/unknown command/i.test(error.message)) throw error;
  }
}

function quietly<T>(act: () => T): T | undefined {
  try {
    return act();
  } catch {
    return undefined;
  }
}
