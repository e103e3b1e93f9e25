import cluster from "node:cluster";
import { checkClock, checkOptions } from "../checks.ts";
import { createKeyedQueue } from "../keyed-queue.ts";
import type { SessionStore } from "../store.ts";
import { hasMethods, isRedisClient } from "../methods.ts";
import { checkStored, checkTime, copyOf } from "../stores/shared/stored.ts";
import { answerOf } from "./callbacks.ts";
import { decode, encodeEnded, encodeSession, endedKeyOf, type Found, keyOf } from "./foreign-record.ts";

/** A store for express-session, by the methods that {@link expressStore} calls. */
export interface ExpressSessionStore {
  get(sid: string, callback: (error?: unknown, session?: unknown) => void): unknown;
  set(sid: string, session: object, callback: (error?: unknown) => void): unknown;
  destroy(sid: string, callback: (error?: unknown) => void): unknown;
  all?(callback: (error?: unknown, sessions?: unknown) => void): unknown;
}

/** The stores of express-session behind those that {@link expressStore} has made. */
const origins = new WeakMap<SessionStore, ExpressSessionStore>();

/** The store of express-session that `expressStore` was given. */
export function originOf(store: SessionStore): ExpressSessionStore | undefined {
  return origins.get(store);
}

/** The options of {@link expressStore}. */
export interface ExpressStoreOptions {
  /**
   * `"one"`: this process alone uses the sessions. `"several"`: other processes use them too. Then changes that two processes
   * make at the same time can be lost, and each operation takes one or two calls more, so that a sign-out stays final.
   * Default `"one"`.
   */
  processes?: "one" | "several" | undefined;
  /** The current time in epoch milliseconds, for tests. Default: `Date.now`. */
  clock?: (() => number) | undefined;
}

/** All in this process, for two store objects may lead to the same database. An id is random, so it is of one database. */
const queue = createKeyedQueue();
/** The operations of each session that are under way or wait. */
const waiting = new Map<string, number>();
/** Behind a call that is never answered, more would only take memory. */
const MAX_WAITING = 1000;
/** A write of another process that began before the end of the session is done by then. */
const ENDED_MS = 86_400_000;

/**
 * Keeps sessions in a store that was made for express-session, such as `connect-redis` or `connect-pg-simple`.
 *
 * Such a store has no compare-and-set. Within one process, operations on one session run one after another: no update is
 * lost, and a sign-out is final. Between processes a sign-out is final too (`processes: "several"`), but changes of two
 * processes at the same time can be lost. `redisStore`, `postgresStore` and the others lose none.
 *
 * The store can list a user's sessions only if the express-session store has `all`. It reads all sessions for that.
 *
 * @throws TypeError for something that is no express-session store, for an option that it does not know or can't use, and in
 *   a worker of `node:cluster` without `processes: "several"`.
 *
 * @example
 * ```ts
 * const store = expressStore(new RedisStore({ client }));
 * const sessions = createSessions({ secretKey: process.env.SECRET_KEY, store });
 * ```
 */
export function expressStore(store: ExpressSessionStore, options: ExpressStoreOptions = {}): SessionStore {
  const made = createExpressStore(store, options);
  origins.set(made, store);
  return made;
}

/** Keys that this process has created lately: what one of them names may be there. */
const created = new Set<string>();
const MAX_CREATED = 10_000;

/** Notes that a key is used from now on. @returns whether it was noted before. */
function noteCreated(key: string): boolean {
  if (created.has(key)) return true;
  created.add(key);
  if (created.size > MAX_CREATED) for (const oldest of created) return !created.delete(oldest);
  return false;
}

/**
 * As {@link expressStore}.
 *
 * @param asksBeforeCreate - `false`: under an id that this process has not created lately there is nothing, because it is
 *   random. Some stores fail when they are asked for a session that is missing, and all of them take time.
 */
export function createExpressStore(
  store: ExpressSessionStore,
  options: ExpressStoreOptions,
  asksBeforeCreate = true,
): SessionStore {
  checkStore(store);
  checkOptions("expressStore", options, { processes: true, clock: true });
  checkClock("expressStore: clock", options.clock);
  const { processes = "one", clock = () => Date.now() } = options;
  if (processes !== "one" && processes !== "several") {
    throw new TypeError('expressStore: processes must be "one" or "several"');
  }
  if (processes === "one" && cluster.isWorker) {
    throw new TypeError(
      "expressStore: node:cluster runs several processes, and an express-session store has no compare-and-set: " +
        "use redisStore or postgresStore, " +
        'or accept with processes: "several" that changes of two processes at the same time can be lost',
    );
  }
  const isShared = processes === "several";

  async function lookUp(key: string): Promise<Found> {
    const content = await answerOf<unknown>((callback) => store.get(key, callback)).catch((error: unknown) => {
      // session-file-store calls back with the error of the missing file. express-session takes it for no session, too.
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
      throw error;
    });
    return decode(content);
  }

  const write = (key: string, content: object): Promise<unknown> =>
    answerOf((callback) => store.set(key, content, callback));
  const remove = (key: string): Promise<unknown> => answerOf((callback) => store.destroy(key, callback));

  async function hasEnded(id: string): Promise<boolean> {
    return isShared && (await lookUp(endedKeyOf(id))).kind === "ended";
  }

  /** Finds what is under an id's key. A session that another process has ended, or that has expired, is free. */
  async function find(id: string): Promise<Found> {
    const [found, ended] = await Promise.all([lookUp(keyOf(id)), hasEnded(id)]);
    if (found.kind !== "session") return found;
    if (found.id !== id) return { kind: "other" };
    return ended || found.stored.expiresAt <= clock() ? { kind: "free" } : found;
  }

  async function findLive(id: string): Promise<Extract<Found, { kind: "session" }>["stored"] | undefined> {
    const found = await find(id);
    return found.kind === "session" ? found.stored : undefined;
  }

  /**
   * Replaces a session. In the meantime another process may have marked it as ended and removed it. Then this call has
   * brought it back, and removes it again.
   */
  async function replace(id: string, content: object): Promise<boolean> {
    await write(keyOf(id), content);
    if (!(await hasEnded(id))) return true;
    await remove(keyOf(id));
    return false;
  }

  /** Runs the steps of one operation while no other operation of this process changes the session. */
  async function alone<T>(id: string, steps: () => Promise<T>): Promise<T> {
    const key = keyOf(id);
    const count = waiting.get(key) ?? 0;
    if (count === MAX_WAITING) {
      throw new Error(`the express-session store has not answered: ${MAX_WAITING} operations of one session wait`);
    }
    waiting.set(key, count + 1);
    try {
      return await queue.run<T>(key, steps);
    } finally {
      const left = waiting.get(key)! - 1;
      if (left === 0) waiting.delete(key);
      else waiting.set(key, left);
    }
  }

  async function listLive(): Promise<Extract<Found, { kind: "session" }>[]> {
    const listed = await answerOf<unknown>((callback) => store.all!(callback));
    // Some stores give a list, others an object with the keys.
    const found = Object.values(listed ?? {}).map(readable);
    const ended = new Set(found.map((each) => (each.kind === "ended" ? each.id : undefined)));
    const sessions = new Map<string, Extract<Found, { kind: "session" }>>();
    for (const each of found) {
      if (each.kind !== "session" || each.stored.expiresAt <= clock() || ended.has(each.id)) continue;
      // A scan of Redis may list a key twice.
      sessions.set(each.id, each);
    }
    return [...sessions.values()];
  }

  const made: SessionStore = {
    read: async (id) => findLive(id),

    async create(id, given) {
      checkStored(given);
      const stored = copyOf(given);
      return alone(id, async () => {
        const mayExist = noteCreated(keyOf(id)) || asksBeforeCreate || isShared;
        if (mayExist && (await find(id)).kind !== "free") return false;
        await write(keyOf(id), encodeSession(id, stored, clock()));
        if (await hasEnded(id)) await remove(endedKeyOf(id));
        return true;
      });
    },

    async update(id, given, expectedVersion) {
      checkStored(given);
      const stored = copyOf(given);
      return alone(id, async () => {
        const found = await findLive(id);
        if (found?.version !== expectedVersion) return false;
        const expiresAt = stored.extendOnly ? Math.max(found.expiresAt, stored.expiresAt) : stored.expiresAt;
        return replace(id, encodeSession(id, { ...stored, expiresAt }, clock()));
      });
    },

    // The store's own touch would extend the time to live, which can't be read back.
    async touch(id, expiresAt) {
      checkTime(expiresAt);
      return alone(id, async () => {
        const found = await findLive(id);
        if (found === undefined) return false;
        if (expiresAt <= found.expiresAt) return true;
        return replace(id, encodeSession(id, { ...found, expiresAt }, clock()));
      });
    },

    async delete(id) {
      return alone(id, async () => {
        const found = await lookUp(keyOf(id));
        if (found.kind !== "session" || found.id !== id) return false;
        const isLive = found.stored.expiresAt > clock() && !(await hasEnded(id));
        // The mark comes first. A write of another process finds it, or is removed here.
        if (isLive && isShared) {
          const until = Math.max(found.stored.expiresAt, clock() + ENDED_MS);
          await write(endedKeyOf(id), encodeEnded(id, until, clock()));
        }
        await remove(keyOf(id));
        return isLive;
      });
    },
  };
  if (!hasMethods(store, "all")) return made;
  return Object.assign(made, {
    async idsOfUser(userId: string) {
      const sessions = await listLive();
      return sessions.filter(({ stored }) => stored.userId === userId).map(({ id }) => id);
    },
    async *all() {
      for (const { id } of await listLive()) yield id;
    },
  });
}

/** Decodes an entry of a list. Nobody can use a damaged session, so it does not keep the others from being listed. */
function readable(content: unknown): Found {
  try {
    return decode(content);
  } catch {
    return { kind: "other" };
  }
}

function checkStore(store: unknown): void {
  if (isRedisClient(store)) {
    throw new TypeError(
      'expressStore: this is a client of Redis: give redisStore(client) of "sojourn/redis" to createSessions',
    );
  }
  if (hasMethods(store, "get", "set", "destroy")) return;
  if (hasMethods(store, "read", "create", "update")) {
    throw new TypeError("expressStore: this is a store of Sojourn already: give it to createSessions as it is");
  }
  throw new TypeError(
    "expressStore needs a store for express-session, with get, set and destroy: give it the store that was made by new, " +
      "such as new RedisStore({ client })",
  );
}
