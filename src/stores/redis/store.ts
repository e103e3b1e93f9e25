import { Buffer } from "node:buffer";
import { type Duration, milliseconds } from "../../lifecycle/timeouts.ts";
import type { SessionStore, StoredSession, StoreListener } from "../../store.ts";
import { adaptClient, type RedisStoreClient, type Words } from "./client.ts";
import { redisSubscription } from "./subscription.ts";
import { redisKeys } from "./keys.ts";
import { CHANGED, ENDED, runAndTell } from "./notifications.ts";
import { userIndex } from "./users.ts";
import {
  decodeRecord,
  encodeRecord,
  instantBytes,
  LATEST,
  userKind,
  userSection,
  indexedUserOf,
  versionBytes,
} from "./value.ts";
import { CREATE, DELETE, DONE, MARK, NOT_INDEXED, REFUSED, run, type Script, TOUCH, UPDATE } from "./scripts.ts";
import { replicaWait } from "./replicas.ts";
import { warnOfEviction } from "./warning.ts";
import { checkOptions, checkStored, checkTime, copyOf } from "../shared/stored.ts";

export type {
  IoRedisClient,
  IoRedisCluster,
  NodeRedisClient,
  NodeRedisCluster,
  NodeRedisSentinel,
  RedisStoreClient,
} from "./client.ts";

/** How {@link redisStore} keeps sessions. */
export interface RedisStoreOptions {
  /** What all keys begin with, and a colon. Default `"sojourn:"`. */
  prefix?: string | undefined;
  /** Tells subscribers of every update too, as a near cache needs it. Default `false`. */
  announceChanges?: boolean | undefined;
  /**
   * Every write waits until so many replicas have it, and rejects where fewer have within `timeout` (default `"200ms"`).
   * Default: none, and a failover may lose the last writes that were acknowledged. Waiting holds up what else is on the
   * connection: give the store a client of its own.
   */
  replicas?: ReplicaOptions | undefined;
}

/** What a write waits for. */
export interface ReplicaOptions {
  readonly wait: number;
  readonly timeout?: Duration | undefined;
}

/** A {@link SessionStore} in Redis or Valkey. */
export interface RedisStore extends SessionStore {
  readonly announcesChanges: boolean;
  subscribe(listener: StoreListener): () => void;
  idsOfUser(userId: string): Promise<string[]>;
  /** Each session at least once; one may come twice while the server resizes its table. */
  all(): AsyncIterable<string>;
  close(): Promise<void>;
}

const SCAN_COUNT = 1000;
const MOST_USERS = 5;

/**
 * Keeps sessions in Redis 6.2 or later, or in Valkey: one server, one behind Sentinels, or a cluster.
 *
 * A read is one GET, a write one script; the server forgets expired sessions by itself, and its clock says when. The
 * server must keep what it is given: `maxmemory-policy noeviction`.
 *
 * @param client of redis (createClient, createCluster, createSentinel), ioredis or iovalkey (Redis, Cluster). It stays
 *   the application's: connect it, listen to its `error` event, and close it after the store.
 * @throws {TypeError} for another client, or an option it doesn't know or can't use.
 */
export function redisStore(client: RedisStoreClient, options: RedisStoreOptions = {}): RedisStore {
  checkOptions("redisStore", options, ["prefix", "announceChanges", "replicas"]);
  const { prefix = "sojourn:", announceChanges = false, replicas } = options;
  if (typeof announceChanges !== "boolean") throw new TypeError("redisStore: announceChanges must be true or false");
  const adapted = adaptClient(client);
  const keys = redisKeys(prefix);
  const users = userIndex({ client: adapted, keys, write });
  const feed = redisSubscription(adapted, keys);
  const warned = warnOfEviction(adapted, keys);
  const confirmed = replicas && replicaWait(adapted, waitOf(replicas), patienceOf(replicas));
  let closed = false;

  function open(): void {
    if (closed) throw new Error("the Redis store is closed: make a new one with redisStore()");
  }

  /** Runs a script that writes, and perhaps tells of it, and waits for the replicas. */
  async function write(script: Script, key: string, words: Words, message?: string): Promise<unknown> {
    const done = () =>
      message === undefined
        ? run(adapted, script, key, words)
        : runAndTell(adapted, keys, { script, key, words, message });
    if (!confirmed) return done();
    const reply = await confirmed(key, done, (given) => given !== REFUSED && given !== NOT_INDEXED);
    // It may have been deleted by a command whose reply was lost: what is gone must be gone from the replicas too.
    if (script === DELETE && reply === REFUSED)
      await confirmed(
        key,
        () => run(adapted, MARK, key, []),
        () => true,
      );
    return reply;
  }

  /** Whose session it was is known from the reply, the beginning of its value. */
  function removeFromIndex(id: string, reply: unknown): void {
    const indexed = Buffer.isBuffer(reply) ? indexedUserOf(reply) : undefined;
    if (indexed) users.forget(id, indexed);
  }

  return {
    announcesChanges: announceChanges,

    async read(id) {
      open();
      const key = keys.session(id);
      const record = (await adapted.send(key, ["GET", key])) as Buffer | null;
      return record === null ? undefined : decodeRecord(record);
    },

    async create(id, given) {
      open();
      checkRecord(given);
      warned();
      const stored = copyOf(given);
      const { userId, expiresAt } = stored;
      const indexedUntil = userId === undefined ? 0 : await users.add(userId, id, expiresAt);
      const words = [encodeRecord(stored, indexedUntil), endOf(expiresAt)];
      return (await write(CREATE, keys.session(id), words)) === DONE;
    },

    async update(id, given, expectedVersion) {
      open();
      checkRecord(given);
      const stored = copyOf(given);
      const { userId, expiresAt, extendOnly } = stored;
      const length = userId === undefined ? 0 : userSection(userId).length;
      const message = announceChanges ? CHANGED + keys.name(id) : undefined;
      const attempt = (indexedUntil: number) => {
        const record = encodeRecord(stored, indexedUntil);
        const words = [record, endOf(expiresAt), versionBytes(expectedVersion), `${length}`];
        const indexed = (indexedUntil === 0 ? "0" : "1") + (extendOnly ? "+" : "");
        return write(UPDATE, keys.session(id), [...words, indexed], message);
      };
      let reply = await attempt(0);
      if (reply === NOT_INDEXED && extendOnly) {
        // The end that the session keeps may be later than the one given, and move while it is looked at.
        for (let turns = 0; reply === NOT_INDEXED; turns += 1) {
          if (turns === MOST_USERS) throw new Error("the session is extended faster than it can be indexed");
          const found = await this.read(id);
          reply = await attempt(await users.add(userId!, id, Math.max(expiresAt, found?.expiresAt ?? 0)));
        }
      } else if (reply === NOT_INDEXED) reply = await attempt(await users.add(userId!, id, expiresAt));
      removeFromIndex(id, reply);
      return reply !== REFUSED;
    },

    async touch(id, expiresAt) {
      open();
      checkInstant(expiresAt);
      const key = keys.session(id);
      const words: Words = [instantBytes(expiresAt), endOf(expiresAt)];
      let reply = await write(TOUCH, key, words);
      // Each turn means that the session has got another user since the last one.
      for (let turns = 0; Buffer.isBuffer(reply); turns += 1) {
        if (turns === MOST_USERS) throw new Error("the session changes its user faster than it can be indexed");
        const { userId } = indexedUserOf(reply)!;
        const until = await users.add(userId, id, expiresAt);
        reply = await write(TOUCH, key, [...words, instantBytes(until), userSection(userId), `${userKind(userId)}`]);
      }
      return reply !== REFUSED;
    },

    async delete(id) {
      open();
      const reply = await write(DELETE, keys.session(id), [], ENDED + keys.name(id));
      removeFromIndex(id, reply);
      return reply !== REFUSED;
    },

    async idsOfUser(userId) {
      open();
      return users.idsOfUser(userId);
    },

    subscribe(listener) {
      open();
      return feed.subscribe(listener);
    },

    async *all() {
      open();
      const { sends, state } = await adapted.primaries(keys.channel);
      for (const send of sends) {
        let cursor = "0";
        do {
          open();
          const words = ["SCAN", cursor, "MATCH", keys.pattern, "COUNT", `${SCAN_COUNT}`];
          const [next, found] = (await send(words)) as [Buffer, Buffer[]];
          // A key may come again later, when the server's table has changed: to remember all would take memory for all.
          for (const key of new Set(found.map(String))) {
            const id = keys.idIn(key);
            if (id !== undefined) yield id;
          }
          cursor = String(next);
        } while (cursor !== "0");
      }
      // Sessions may have gone from a server that was still to be asked to one that had been.
      const after = await adapted.primaries(keys.channel);
      if (state !== undefined && after.state === state) return;
      throw new Error(
        "servers or the slots of a cluster have changed, or are changing, while sessions were listed: list them again",
      );
    },

    async close() {
      closed = true;
      feed.close();
    },
  };
}

function waitOf(replicas: ReplicaOptions): number {
  checkOptions("redisStore: replicas", replicas, ["wait", "timeout"]);
  if (Number.isInteger(replicas.wait) && replicas.wait > 0) return replicas.wait;
  throw new TypeError("redisStore: replicas.wait must be a whole number of replicas, from 1");
}

function patienceOf({ timeout = "200ms" }: ReplicaOptions): number {
  return milliseconds(timeout, "redisStore: replicas.timeout");
}

function checkRecord(stored: StoredSession): void {
  checkStored(stored);
  checkInstant(stored.expiresAt);
}

function checkInstant(expiresAt: number): void {
  checkTime(expiresAt);
  if (expiresAt > LATEST) throw new TypeError("redisStore: expiresAt must lie before the year 10889");
}

/** A key with PXAT can still be read in that very millisecond; a session can't. */
function endOf(expiresAt: number): string {
  return `${Math.max(1, expiresAt - 1)}`;
}
