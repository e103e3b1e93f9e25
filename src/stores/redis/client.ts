import { Buffer } from "node:buffer";
import {
  clusterListening,
  type IoRedisListener,
  ioRedisListening,
  type Listen,
  type NodeRedisListener,
  nodeRedisListening,
} from "./listening.ts";
import { clusterPrimaries, onePrimary, type Primaries } from "./primaries.ts";
import { slotOf } from "./slot.ts";
import { tooOld } from "../shared/oldest-clients.ts";

/** A command's words. */
export type Words = readonly (string | Buffer)[];

/** A connection of `createClient` of the package redis, version 6 or later. */
export interface NodeRedisClient {
  readonly options?: object | undefined;
  sendCommand(words: Words, options?: { typeMapping?: Record<number, unknown> }): Promise<unknown>;
  duplicate(overrides?: object): NodeRedisListener;
}

/** What `createCluster` of the package redis makes. */
export interface NodeRedisCluster {
  readonly slots: readonly { readonly master: object }[];
  sendCommand(key: string, isReadonly: boolean, words: (string | Buffer)[], options?: object): Promise<unknown>;
  nodeClient(node: never): Promise<NodeRedisClient>;
}

/** What `createSentinel` of the package redis makes. */
export interface NodeRedisSentinel {
  sendCommand(isReadonly: boolean, words: (string | Buffer)[], options?: object): Promise<unknown>;
  getMasterNode(): object | undefined;
  duplicate(overrides?: object): NodeRedisListener;
}

/** A `Redis` of ioredis or iovalkey, with Sentinels or without. */
export interface IoRedisClient {
  readonly options: object;
  /** As all commands have one: not `callBuffer`, which loses its first word where commands are pipelined automatically. */
  getBuffer(key: string): Promise<unknown>;
  duplicate(overrides?: object): IoRedisListener;
}

/** A `Cluster` of ioredis or iovalkey. */
export interface IoRedisCluster {
  readonly options: object;
  readonly slots: readonly (readonly string[])[];
  getBuffer(key: string): Promise<unknown>;
  nodes(role: "master"): IoRedisClient[];
}

/** Any client that {@link redisStore} can use. */
export type RedisStoreClient = NodeRedisClient | NodeRedisCluster | NodeRedisSentinel | IoRedisClient | IoRedisCluster;

/** Sends words to a server that is known, and gives its reply: texts as Buffers, numbers as they are. */
export type Send = (words: Words) => Promise<unknown>;

/** A connection to one server, and what it is told by from others. */
export interface Connection {
  readonly identity: object;
  readonly send: Send;
}

/** What the store needs of a client, whichever it is. */
export interface RedisClient {
  /** Sends a command to the primary that holds `key`. */
  send(key: string, words: Words): Promise<unknown>;
  /** The connection over which `send` writes `key`. */
  connectionOf(key: string): Promise<Connection>;
  /** Every primary. To look for them it may ask for keys that begin with `name`. @throws {Error} where one is unknown. */
  primaries(name: string): Promise<Primaries>;
  readonly listen: Listen;
  /** Whether keys are spread over slots: then news are told on channels of groups of slots. */
  readonly isCluster: boolean;
}

const BLOB_STRING = 36;
const BUFFERS = { typeMapping: { [BLOB_STRING]: Buffer } };

/**
 * Tells the clients apart by the calls they offer.
 *
 * @throws {TypeError} for what is no client, or one with settings that a session store can't live with.
 */
export function adaptClient(client: RedisStoreClient): RedisClient {
  if (typeof client !== "object" || client === null) throw new TypeError(NO_CLIENT);
  const calls = client as object as Partial<Record<string, unknown>>;
  const offers = (...names: string[]) => names.every((name) => typeof calls[name] === "function");
  checkAge(calls, offers);
  checkSettings(calls);
  if (offers("getBuffer", "nodes")) return ioRedisCluster(client as IoRedisCluster);
  if (offers("getBuffer", "duplicate")) return ioRedis(client as IoRedisClient);
  if (offers("sendCommand", "nodeClient")) return nodeRedisCluster(client as NodeRedisCluster);
  if (offers("sendCommand", "getMasterNode")) return nodeRedisSentinel(client as NodeRedisSentinel);
  if (offers("sendCommand", "duplicate", "subscribe")) return nodeRedis(client as NodeRedisClient);
  throw new TypeError(NO_CLIENT);
}

const NO_CLIENT =
  "redisStore takes a client of redis (createClient, createCluster, createSentinel), ioredis or iovalkey " +
  "(Redis, Cluster); a pool is not needed, because commands are pipelined";

/**
 * Clients name no version, so their age shows in what they offer. Each test also asks for something that only this client
 * has: a client of another make is not refused for lacking a call that the store does not need.
 */
function checkAge(client: Partial<Record<string, unknown>>, offers: (...names: string[]) => boolean): void {
  // CLIENT UNBLOCK came with redis 6. Commands are in camel case from redis 4 on; redis 3 has `internal_send_command`.
  const isNodeRedis = offers("sendCommand", "hSet") || offers("internal_send_command");
  if (isNodeRedis && !offers("clientUnblock")) throw tooOld("redisStore", "redis");
  if ("scriptsSet" in client && offers("getBuffer") && !offers("nodes") && !offers("setSocketTimeout")) {
    throw tooOld("redisStore", "ioredis");
  }
  const pool = client["connectionPool"] as { nodeRecords?: unknown; recreate?: unknown } | undefined;
  if (pool?.nodeRecords !== undefined && typeof pool.recreate !== "function") throw tooOld("redisStore", "iovalkey");
}

function checkSettings(client: Partial<Record<string, unknown>>): void {
  const options = (client["options"] ?? {}) as Record<string, unknown>;
  const nodes = (options["redisOptions"] ?? {}) as Record<string, unknown>;
  if (client["_keyPrefix"] || options["keyPrefix"] || nodes["keyPrefix"]) {
    throw new TypeError("redisStore needs a client without keyPrefix: remove that, and use the store's option prefix");
  }
  const ignored = (options["autoPipeliningIgnoredCommands"] ?? []) as readonly string[];
  if (typeof client["nodes"] === "function" && options["enableAutoPipelining"] && !ignored.includes("evalsha")) {
    throw new TypeError(
      "redisStore in a cluster: automatic pipelining takes a script's hash for its key. " +
        'Remove enableAutoPipelining, or set autoPipeliningIgnoredCommands to ["evalsha", "eval"]',
    );
  }
  if (typeof client["nodes"] === "function" && (options["stringNumbers"] || nodes["stringNumbers"])) {
    throw new TypeError(
      "redisStore in a cluster needs a client without stringNumbers, with which it never finds where slots are: remove that",
    );
  }
  if (options["scaleReads"] !== undefined && options["scaleReads"] !== "master") {
    throw new TypeError(
      'redisStore needs a client that reads from primaries: remove scaleReads, or set it to "master". ' +
        "A replica may still show a session that has ended",
    );
  }
}

function nodeRedis(client: NodeRedisClient): RedisClient {
  const send: Send = (words) => client.sendCommand(words, BUFFERS);
  return {
    send: (_key, words) => send(words),
    connectionOf: async () => ({ identity: client, send }),
    primaries: () => onePrimary(send),
    listen: nodeRedisListening(async () => duplicateOf(client)),
    isCluster: false,
  };
}

function nodeRedisSentinel(client: NodeRedisSentinel): RedisClient {
  const send: Send = (words) => client.sendCommand(false, [...words], BUFFERS);
  return {
    send: (_key, words) => send(words),
    connectionOf: async () => ({ identity: client, send }),
    primaries: () => onePrimary(send),
    listen: nodeRedisListening(async () => client.duplicate()),
    isCluster: false,
  };
}

function nodeRedisCluster(cluster: NodeRedisCluster): RedisClient {
  const sender =
    (node: NodeRedisClient): Send =>
    (words) =>
      node.sendCommand(words, BUFFERS);
  const nodeOf = (key: string) => cluster.nodeClient(cluster.slots[slotOf(key)]!.master as never);
  // Not read-only, whatever it does: replicas may be behind.
  const send: RedisClient["send"] = (key, words) => cluster.sendCommand(key, false, [...words], BUFFERS);
  return {
    send,
    async connectionOf(key) {
      const node = await nodeOf(key);
      return { identity: node, send: sender(node) };
    },
    primaries: (name) =>
      clusterPrimaries(
        {
          nodeOf: (slot) => cluster.slots[slot]?.master,
          sendTo: async (slot) => sender(await cluster.nodeClient(cluster.slots[slot]!.master as never)),
          visit: (key) => send(key, ["GET", key]),
        },
        name,
      ),
    listen: clusterListening({
      nodeOf: async (channel) => nodeOf(channel),
      open: (node) => nodeRedisListening(async () => duplicateOf(node)),
      send: sender,
      visit: (channel) => send(channel, ["GET", channel]),
    }),
    isCluster: true,
  };
}

function duplicateOf(client: NodeRedisClient): NodeRedisListener {
  const { socket } = (client.options ?? {}) as { socket?: object };
  return client.duplicate({ socket: { ...socket, reconnectStrategy: false } });
}

function ioRedis(client: IoRedisClient): RedisClient {
  const send = ioRedisSend(client);
  return {
    send: (_key, words) => send(words),
    connectionOf: async () => ({ identity: client, send }),
    primaries: () => onePrimary(send),
    listen: ioRedisListening(() => client),
    isCluster: false,
  };
}

function ioRedisCluster(cluster: IoRedisCluster): RedisClient {
  const send = ioRedisSend(cluster);
  /** It lists only those that it has a connection to. */
  function nodeAt(slot: number): IoRedisClient | undefined {
    const [primary] = cluster.slots[slot] ?? [];
    return cluster.nodes("master").find(({ options }) => {
      const { host, port } = options as { host?: string; port?: number };
      return `${host}:${port}` === primary;
    });
  }
  async function nodeOf(key: string): Promise<IoRedisClient> {
    const node = nodeAt(slotOf(key));
    if (!node) throw new Error("the node that holds the session is not known at the moment");
    return node;
  }
  return {
    send: (_key, words) => send(words),
    async connectionOf(key) {
      const node = await nodeOf(key);
      return { identity: node, send: ioRedisSend(node) };
    },
    primaries: (name) =>
      clusterPrimaries(
        {
          nodeOf: (slot) => cluster.slots[slot]?.[0],
          async sendTo(slot) {
            const node = nodeAt(slot);
            return node && ioRedisSend(node);
          },
          visit: (key) => send(["GET", key]),
        },
        name,
      ),
    listen: clusterListening<IoRedisClient>({
      nodeOf,
      open: (node) => ioRedisListening(() => node),
      send: ioRedisSend,
      visit: (channel) => send(["GET", channel]),
    }),
    isCluster: true,
  };
}

function ioRedisSend(client: object): Send {
  const commands = client as Record<string, (...words: Words) => Promise<unknown>>;
  return ([name, ...words]) => commands[`${String(name).toLowerCase()}Buffer`]!(...words);
}
