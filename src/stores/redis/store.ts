import { Buffer } from "node:buffer";
import type { SessionStore, StoredSession, StoreListener } from "../../store.ts";
import { type RedisArguments, redisDriver, type RedisStoreClient } from "./client.ts";
import { redisSubscription } from "./subscription.ts";
import { redisKeys } from "./keys.ts";
import { CHANGED, ENDED, runAndNotify } from "./notifications.ts";
import { userIndex } from "./user-index.ts";
import {
  decodeIndexedUser,
  decodeStored,
  encodeInstant,
  encodeRevision,
  encodeSession,
  encodeUser,
  INSTANT_BYTES,
  MAX_INSTANT,
  REVISION_OFFSET,
} from "./value.ts";
import {
  CREATE,
  DELETE,
  DONE,
  NOT_INDEXED,
  type RedisScript,
  REFUSED,
  runScript,
  TOUCH,
  UPDATE,
  WRITE_MARKER,
} from "./scripts.ts";
import { replicaConfirmation, type ReplicaOptions } from "./replicas.ts";
import { evictionCheck } from "./eviction.ts";
import { checkOptions } from "../../checks.ts";
import { checkStored, checkTime } from "../shared/stored.ts";

export type {
  IoRedisClient,
  IoRedisCluster,
  NodeRedisClient,
  NodeRedisCluster,
  NodeRedisSentinel,
  RedisStoreClient,
} from "./client.ts";
export type { ReplicaOptions } from "./replicas.ts";

/** Options of {@link redisStore}. */
export interface RedisStoreOptions {
  /** The text that all keys begin with; a colon is added if it does not end with one. Default `"sojourn:"`. */
  prefix?: string | undefined;
  /** Whether subscribers are also notified of every update, as a near cache needs it. Default `false`. */
  announceChanges?: boolean | undefined;
  /**
   * Makes every write wait for replicas. Default: none, and a failover may lose the last acknowledged writes. Waiting blocks
   * other commands on the connection: give the store a client of its own.
   */
  replicas?: ReplicaOptions | undefined;
}

/** A {@link SessionStore} in Redis or Valkey. */
export interface RedisStore extends SessionStore {
  readonly announcesChanges: boolean;
  subscribe(listener: StoreListener): () => void;
  idsOfUser(userId: string): Promise<string[]>;
  /** Lists each session at least once. A session may come twice while the server resizes its table. */
  all(): AsyncIterable<string>;
  close(): Promise<void>;
}

const SCAN_COUNT = 1000;
const MAX_INDEX_ATTEMPTS = 5;

/**
 * Keeps sessions in Redis 6.2 or later, or in Valkey: one server, a primary behind Sentinels, or a cluster.
 *
 * A read is one GET, a write is one script. The server removes expired sessions by itself, by its own clock. It must not
 * evict keys: set `maxmemory-policy noeviction`.
 *
 * @param client - of redis (createClient, createCluster, createSentinel), ioredis or iovalkey (Redis, Cluster). It stays
 *   the application's: connect it, listen to its `error` event, and close it after the store.
 * @throws TypeError for anything else, for a client with settings that would break sessions, and for an option that it
 *   does not know or can't use.
 *
 * @example
 * ```ts
 * const client = createClient({ url: process.env.REDIS_URL });
 * client.on("error", console.error);
 * await client.connect();
 * const sessions = createSessions({ secretKey: process.env.SECRET_KEY, store: redisStore(client) });
 * ```
 */
export function redisStore(client: RedisStoreClient, options: RedisStoreOptions = {}): RedisStore {
  checkOptions("redisStore", options, { prefix: true, announceChanges: true, replicas: true });
  const { prefix = "sojourn:", announceChanges = false, replicas } = options;
  if (typeof announceChanges !== "boolean") throw new TypeError("redisStore: announceChanges must be true or false");
  const driver = redisDriver(client);
  const keys = redisKeys(prefix);
  const index = userIndex({ driver, keys, runWrite, confirmEarlierWrites });
  const subscription = redisSubscription(driver, keys);
  const checkEvictionOnce = evictionCheck(driver, keys);
  const confirm = replicas && replicaConfirmation(driver, replicas);
  let isClosed = false;

  function assertOpen(): void {
    if (isClosed) throw new Error("the Redis store is closed: make a new one with redisStore()");
  }

  /** Runs a script that writes, with a notification if there is a message, and waits for the replicas. */
  function runWrite(script: RedisScript, key: string, args: RedisArguments, message?: string): Promise<unknown> {
    const send = () =>
      message === undefined
        ? runScript(driver, script, key, args)
        : runAndNotify(driver, keys, { script, key, args, message });
    return confirm ? runConfirmed(script, key, send) : send();
  }

  async function runConfirmed(script: RedisScript, key: string, send: () => Promise<unknown>): Promise<unknown> {
    const reply = await confirm!(key, send, (received) => received !== REFUSED && received !== NOT_INDEXED);
    // An earlier command whose reply was lost may have deleted the session. The replicas must have that deletion too.
    if (script === DELETE && reply === REFUSED) await confirmEarlierWrites(key);
    return reply;
  }

  /** Waits until the replicas have what any connection has written to a session's key. */
  async function confirmEarlierWrites(key: string): Promise<void> {
    await confirm?.(
      key,
      () => runScript(driver, WRITE_MARKER, key, []),
      () => true,
    );
  }

  /** Removes a session from the index of the user that it had before the script, if the reply is a head. */
  function removeFromUserIndex(id: string, reply: unknown): void {
    const indexedUser = Buffer.isBuffer(reply) ? decodeIndexedUser(reply) : undefined;
    if (indexedUser) index.remove(id, indexedUser);
  }

  return {
    announcesChanges: announceChanges,

    async read(id) {
      assertOpen();
      const key = keys.sessionKey(id);
      const value = (await driver.send(key, ["GET", key])) as Buffer | null;
      return value === null ? undefined : decodeStored(value);
    },

    async create(id, stored) {
      assertOpen();
      checkSession(stored);
      checkEvictionOnce();
      const { userId, expiresAt } = stored;
      const { head, payload } = encodeSession(stored, userId === undefined ? undefined : encodeUser(userId));
      const args = [head, toPxat(expiresAt)];
      if (payload) args.push(encodeInstant(await index.add(userId!, id, expiresAt)), payload);
      return (await runWrite(CREATE, keys.sessionKey(id), args)) === DONE;
    },

    async update(id, stored, expectedVersion) {
      assertOpen();
      checkSession(stored);
      if (!Number.isSafeInteger(expectedVersion) || expectedVersion < 1) return false;
      const { userId, expiresAt, extendOnly = false } = stored;
      const user = userId === undefined ? undefined : encodeUser(userId);
      const { head, payload } = encodeSession(stored, user);
      const expected = encodeRevision(expectedVersion, user);
      const lastByte = REVISION_OFFSET + expected.length - 1 + (user ? INSTANT_BYTES : 0);
      const args = [head, expected, toPxat(expiresAt), `${lastByte}`];
      if (payload) args.push(payload);
      const message = announceChanges ? CHANGED + keys.encodeId(id) : undefined;
      const tryUpdate = (indexedUntil?: number) => {
        const key = keys.sessionKey(id);
        if (indexedUntil === undefined && !extendOnly && message === undefined) return runWrite(UPDATE, key, args);
        const until = indexedUntil === undefined ? "" : encodeInstant(indexedUntil);
        return runWrite(UPDATE, key, [...args, ...(payload ? [] : [""]), until, extendOnly ? "+" : ""], message);
      };
      let reply = await tryUpdate();
      for (let attempts = 0; reply === NOT_INDEXED; attempts += 1) {
        if (attempts === MAX_INDEX_ATTEMPTS) throw new Error("the session is extended faster than it can be indexed");
        // The session may keep a later expiry than the given one, and touches may move it between the read and the update.
        const found = extendOnly ? await this.read(id) : undefined;
        reply = await tryUpdate(await index.add(userId!, id, Math.max(expiresAt, found?.expiresAt ?? 0)));
      }
      removeFromUserIndex(id, reply);
      return reply !== REFUSED;
    },

    async touch(id, expiresAt) {
      assertOpen();
      checkExpiry(expiresAt);
      const key = keys.sessionKey(id);
      const args: RedisArguments = [encodeInstant(expiresAt), toPxat(expiresAt)];
      let reply = await runWrite(TOUCH, key, args);
      // A second attempt means that the session has got another user since the first.
      for (let attempts = 0; Buffer.isBuffer(reply); attempts += 1) {
        if (attempts === MAX_INDEX_ATTEMPTS)
          throw new Error("the session changes its user faster than it can be indexed");
        const { userId } = decodeIndexedUser(reply)!;
        const indexedUntil = await index.add(userId, id, expiresAt);
        reply = await runWrite(TOUCH, key, [...args, encodeInstant(indexedUntil), encodeUser(userId)]);
      }
      return reply !== REFUSED;
    },

    async delete(id) {
      assertOpen();
      const reply = await runWrite(DELETE, keys.sessionKey(id), [], ENDED + keys.encodeId(id));
      removeFromUserIndex(id, reply);
      return reply !== REFUSED;
    },

    async idsOfUser(userId) {
      assertOpen();
      return index.idsOfUser(userId);
    },

    subscribe(listener) {
      assertOpen();
      return subscription.subscribe(listener);
    },

    async *all() {
      assertOpen();
      const { senders, state } = await driver.findPrimaries(keys.channel);
      for (const send of senders) {
        let cursor = "0";
        do {
          assertOpen();
          const command = ["SCAN", cursor, "MATCH", keys.pattern, "COUNT", `${SCAN_COUNT}`];
          const [next, found] = (await send(command)) as [Buffer, Buffer[]];
          // Duplicates are removed within a reply only: removing all would mean to keep all keys in memory.
          for (const key of new Set(found.map(String))) {
            const id = keys.idOfKey(key);
            if (id !== undefined) yield id;
          }
          cursor = String(next);
        } while (cursor !== "0");
      }
      // A session may have moved from a server that was not scanned yet to one that had been.
      const after = await driver.findPrimaries(keys.channel);
      if (state !== undefined && after.state === state) return;
      throw new Error(
        "servers or the slots of a cluster have changed, or are changing, while sessions were listed: list them again",
      );
    },

    async close() {
      isClosed = true;
      subscription.close();
    },
  };
}

function checkSession(stored: StoredSession): void {
  checkStored(stored);
  checkExpiry(stored.expiresAt);
}

function checkExpiry(expiresAt: number): void {
  checkTime(expiresAt);
  if (expiresAt > MAX_INSTANT) throw new TypeError("redisStore: expiresAt must lie before the year 10889");
}

/** The PXAT of a session's key: a key can still be read in that millisecond, a session can't in that of `expiresAt`. */
function toPxat(expiresAt: number): string {
  return `${Math.max(1, expiresAt - 1)}`;
}
