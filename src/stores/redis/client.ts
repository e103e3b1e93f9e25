/// <reference types="node" preserve="true" />
import type { Buffer } from "node:buffer";
import { ioRedisClusterDriver, ioRedisDriver } from "./io-redis.ts";
import type { IoRedisDuplicate, NodeRedisDuplicate, OpenListener } from "./listener-connections.ts";
import { nodeRedisClusterDriver, nodeRedisDriver, nodeRedisSentinelDriver } from "./node-redis.ts";
import type { Primaries } from "./primaries.ts";
import { hasMethods } from "../../methods.ts";
import { tooOld } from "../shared/oldest-clients.ts";

/** A command's name and arguments, or arguments alone. */
export type RedisArguments = readonly (string | Buffer)[];

/** A client from `createClient` of the package redis, version 6 or later. */
export interface NodeRedisClient {
  readonly options?: object | undefined;
  readonly isOpen?: boolean;
  readonly isReady?: boolean;
  destroy?(): void;
  connect?(): Promise<unknown>;
  sendCommand(command: RedisArguments, options?: { typeMapping?: Record<number, unknown> }): Promise<unknown>;
  duplicate(overrides?: object): NodeRedisDuplicate;
}

/** A client from `createCluster` of the package redis. */
export interface NodeRedisCluster {
  readonly slots: readonly { readonly master: object }[];
  sendCommand(key: string, isReadonly: boolean, command: (string | Buffer)[], options?: object): Promise<unknown>;
  nodeClient(node: never): Promise<NodeRedisClient>;
}

/** A client from `createSentinel` of the package redis. */
export interface NodeRedisSentinel {
  sendCommand(isReadonly: boolean, command: (string | Buffer)[], options?: object): Promise<unknown>;
  getMasterNode(): object | undefined;
  duplicate(overrides?: object): NodeRedisDuplicate;
}

/** The calls that are used of a client's socket. */
export interface PacketStream {
  cork(): unknown;
  uncork(): unknown;
}

/** A `Redis` of ioredis or iovalkey, with Sentinels or without. */
export interface IoRedisClient {
  /** The client's own options. */
  readonly options: object;
  /** The connection's socket. */
  readonly stream?: PacketStream | undefined;
  /** Each command has such a method. `callBuffer` is not used: with automatic pipelining it loses its first argument. */
  getBuffer(key: string): Promise<unknown>;
  /** Makes a client for notifications. */
  duplicate(overrides?: object): IoRedisDuplicate;
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

/** Sends a command to one server, and returns its reply: strings as Buffers, numbers as numbers. */
export type SendCommand = (command: RedisArguments) => Promise<unknown>;

/** The connection to one server over which commands are sent. */
export interface NodeConnection {
  /** The same object for the same connection. */
  readonly identity: object;
  readonly send: SendCommand;
}

/** The calls that the store makes, the same for every package. */
export interface RedisDriver {
  /** Sends a command to the primary that has `key`. */
  send(key: string, command: RedisArguments): Promise<unknown>;
  /** The connection over which `send` sends commands for `key`. */
  connectionFor(key: string): Promise<NodeConnection>;
  /** Finds every primary. It may read keys that begin with `keyPrefix`. @throws Error if a primary is unknown. */
  findPrimaries(keyPrefix: string): Promise<Primaries>;
  readonly openListener: OpenListener;
  /** Whether the connection is there, and the application wants to keep it. */
  isConnected?(): boolean;
  /** Leaves the connection and makes another. Where it is missing, the client does so by itself. */
  reconnect?(): void;
  /** Whether keys are spread over slots. Notifications then use the channels of slot groups. */
  readonly isCluster: boolean;
}

/** Commands that may wait for a reply at a time. A socket that stalls would keep any number in memory. */
const MAX_PENDING_COMMANDS = 10_000;
/** A connection that gives no reply for so long is left, if the client does not do so. */
const MAX_SILENCE_MS = 15_000;
/**
 * A longer time between two commands counts as so much silence. The process may have been blocked or stopped in it, and not have read
 * the replies yet.
 */
const MAX_GAP_MS = 10_000;
/** An error of the server begins with its code: `LOADING Redis is loading the dataset in memory`. */
const SERVER_ERROR = /^[A-Z]+ /;

/**
 * Recognises a client by its methods.
 *
 * @throws TypeError for anything else, and for a client with settings that would break sessions.
 */
export function redisDriver(client: RedisStoreClient): RedisDriver {
  const driver = driverFor(client);
  return { ...driver, send: watchPending(driver) };
}

function driverFor(client: RedisStoreClient): RedisDriver {
  if (typeof client !== "object" || client === null) throw new TypeError(notAClient(client));
  checkAge(client as object);
  checkSettings(client as object);
  if (hasMethods(client, "getBuffer", "nodes")) return ioRedisClusterDriver(client as IoRedisCluster);
  if (hasMethods(client, "getBuffer", "duplicate")) return ioRedisDriver(client as IoRedisClient);
  if (hasMethods(client, "sendCommand", "nodeClient")) return nodeRedisClusterDriver(client as NodeRedisCluster);
  if (hasMethods(client, "sendCommand", "getMasterNode")) return nodeRedisSentinelDriver(client as NodeRedisSentinel);
  if (hasMethods(client, "sendCommand", "duplicate", "subscribe")) return nodeRedisDriver(client as NodeRedisClient);
  throw new TypeError(notAClient(client));
}

/**
 * Refuses commands while too many have no reply, and so bounds the memory of an outage. Leaves a connection that is silent: it may
 * have died without a word, and the system would keep it for a quarter of an hour.
 */
function watchPending({ send, isConnected, reconnect }: RedisDriver): RedisDriver["send"] {
  let pending = 0;
  let hasReplied = true;
  let sentAt = 0;
  let silence = 0;
  const onReply = (reply: unknown): unknown => {
    pending -= 1;
    hasReplied = true;
    return reply;
  };
  const onError = (error: unknown): never => {
    pending -= 1;
    if (!(error instanceof Error)) throw error;
    if (SERVER_ERROR.test(error.message)) hasReplied = true;
    if (error.message === "The client is closed") throw new Error(CLOSED, { cause: error });
    throw error;
  };
  return (key, command) => {
    const now = performance.now();
    if (hasReplied || pending === 0 || isConnected?.() === false) {
      hasReplied = false;
      silence = 0;
    } else {
      silence += Math.min(now - sentAt, MAX_GAP_MS);
    }
    sentAt = now;
    if (reconnect && silence > MAX_SILENCE_MS) {
      silence = 0;
      reconnect();
    }
    if (pending >= MAX_PENDING_COMMANDS) return Promise.reject(new Error(TOO_MANY_PENDING));
    const reply = send(key, command);
    pending += 1;
    return reply.then(onReply, onError);
  };
}

const TOO_MANY_PENDING = `${MAX_PENDING_COMMANDS} commands wait for replies of the Redis server: it does not answer, or not fast enough`;

/** It begins with the words of node-redis, which does not say what is missing. */
const CLOSED = "The client is closed: call await client.connect() before the server listens";

function notAClient(given: unknown): string {
  if (hasMethods(given, "then")) {
    return "redisStore takes a client of redis, not a promise of one: await it, as in redisStore(await createClient({ url }).connect())";
  }
  if (typeof given === "string") {
    return 'redisStore takes a client of redis, not an address: for that, await openStore(url) of "sojourn/open"';
  }
  const { client } = (given ?? {}) as { readonly client?: unknown };
  if (hasMethods(client, "sendCommand") || hasMethods(client, "getBuffer")) {
    return "redisStore takes a client of redis, not an object with one: give the client itself, redisStore(client)";
  }
  return NOT_A_CLIENT;
}

const NOT_A_CLIENT =
  "redisStore takes a client of redis (createClient, createCluster, createSentinel), ioredis or iovalkey " +
  "(Redis, Cluster); a pool is not needed, because commands are pipelined";

/**
 * Refuses a client that is too old. Clients do not name their version, so it is recognised by missing methods. Each check
 * also asks for something that only this package has: another client is not refused for a method that the store does not
 * use.
 */
function checkAge(client: Partial<Record<string, unknown>>): void {
  // CLIENT UNBLOCK came with redis 6. Commands are in camel case since redis 4; redis 3 has `internal_send_command`.
  const isNodeRedis = hasMethods(client, "sendCommand", "hSet") || hasMethods(client, "internal_send_command");
  if (isNodeRedis && !hasMethods(client, "clientUnblock")) throw tooOld("redisStore", "redis");
  const isIoRedis = "scriptsSet" in client && hasMethods(client, "getBuffer") && !hasMethods(client, "nodes");
  if (isIoRedis && !hasMethods(client, "setSocketTimeout")) throw tooOld("redisStore", "ioredis");
  const pool = client["connectionPool"] as { nodeRecords?: unknown; recreate?: unknown } | undefined;
  if (pool?.nodeRecords !== undefined && typeof pool.recreate !== "function") throw tooOld("redisStore", "iovalkey");
}

function checkSettings(client: Partial<Record<string, unknown>>): void {
  const options = (client["options"] ?? {}) as Record<string, unknown>;
  // A cluster's client has the options of its nodes' clients in `defaults`.
  const { defaults } = (client["_options"] ?? {}) as { readonly defaults?: Record<string, unknown> };
  const socket = ((defaults ?? options)["socket"] ?? {}) as Record<string, unknown>;
  if (hasMethods(client, "sendCommand") && socket["socketTimeout"] && socket["reconnectStrategy"] === undefined) {
    throw new TypeError(
      "redisStore needs a client that connects again: with socketTimeout alone, node-redis gives up for good after the first " +
        `timeout. Add ${defaults ? "defaults: { " : ""}socket: { reconnectStrategy: (retries) => Math.min(50 * 2 ** retries, 2000) }${defaults ? " }" : ""}`,
    );
  }
  const nodeOptions = (options["redisOptions"] ?? {}) as Record<string, unknown>;
  if (client["_keyPrefix"] || options["keyPrefix"] || nodeOptions["keyPrefix"]) {
    throw new TypeError("redisStore needs a client without keyPrefix: remove it, and use the store's option prefix");
  }
  const ignored = (options["autoPipeliningIgnoredCommands"] ?? []) as readonly string[];
  if (typeof client["nodes"] === "function" && options["enableAutoPipelining"] && !ignored.includes("evalsha")) {
    throw new TypeError(
      "redisStore in a cluster: automatic pipelining takes a script's hash for its key. " +
        'Remove enableAutoPipelining, or set autoPipeliningIgnoredCommands to ["evalsha", "eval"]',
    );
  }
  if (typeof client["nodes"] === "function" && (options["stringNumbers"] || nodeOptions["stringNumbers"])) {
    throw new TypeError(
      "redisStore in a cluster needs a client without stringNumbers, with which it never finds the nodes of slots: remove it",
    );
  }
  if (options["scaleReads"] !== undefined && options["scaleReads"] !== "master") {
    throw new TypeError(
      'redisStore needs a client that reads from primaries: remove scaleReads, or set it to "master". ' +
        "A replica may still show a session that has ended",
    );
  }
}
