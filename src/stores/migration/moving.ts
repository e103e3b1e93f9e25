import type { SessionStore, StoreListener } from "../../store.ts";
import { readLatest } from "../../capabilities.ts";
import { checkStores, CONTROL_ID, recordKindOf } from "./migration-records.ts";
import { sessionMigration } from "./session-migration.ts";
import { checkOptions, checkPositiveInteger } from "../../checks.ts";
import { checkStored, checkTime, copyOf } from "../shared/stored.ts";

/** Options of {@link movingStore}. */
export interface MovingStoreOptions {
  /** The old store, which has the sessions. Required. */
  readonly from: SessionStore;
  /** The new store, to which the sessions are moved. Required. */
  readonly to: SessionStore;
}

/**
 * Serves sessions from two stores while `copySessions` moves them from one to the other.
 *
 * 1. Deploy it in place of `from`, process by process. Until a copy begins, it writes only to `from`.
 * 2. When no process uses `from` alone any more, run `copySessions(from, to)`.
 * 3. When the copy is complete, deploy `to` alone, process by process.
 *
 * Each session is in one of the stores at a time and is moved by a compare-and-set. So no update is lost, no sign-out is
 * undone, and nobody is signed out. The store has the capabilities that both stores have. Closing it closes both.
 *
 * @throws TypeError if sessions can't be moved between these stores, and for an option that it does not know.
 *
 * @example
 * ```ts
 * const store = movingStore({ from: fileStore(), to: redisStore(client) });
 * const sessions = createSessions({ secretKey: process.env.SECRET_KEY, store });
 * ```
 */
export function movingStore(options: MovingStoreOptions): SessionStore {
  checkOptions("movingStore", options, { from: true, to: true });
  const { from, to } = options;
  checkStores("movingStore", from, to);
  const { isKnownToHaveBegun, hasBegun, migrate, read } = sessionMigration(from, to);
  let closed = false;

  function assertOpen(): void {
    if (closed) throw new Error("the moving store is closed: make a new one with movingStore()");
  }

  const store: SessionStore = {
    async read(id) {
      assertOpen();
      return read(id);
    },

    // Creates in `from` as long as other processes may use it alone. If a copy has begun in the meantime, it may have missed
    // the session, so the session is moved here.
    async create(id, given) {
      assertOpen();
      checkStored(given);
      const stored = copyOf(given);
      if (!isKnownToHaveBegun()) {
        const created = await from.create(id, stored);
        if (!(await hasBegun())) return created;
        if (created) {
          await migrate(id);
          return true;
        }
      }
      if ((await migrate(id)).stored !== undefined) return false;
      if (await to.create(id, stored)) return true;
      const leftover = await readLatest(to, id);
      if (leftover === undefined || recordKindOf(leftover) === "session") return false;
      return to.update(id, stored, leftover.version);
    },

    async update(id, given, expectedVersion) {
      assertOpen();
      checkStored(given);
      const stored = copyOf(given);
      // An application never expects the version of a marker or of a staged copy, so this can't replace one.
      if (await (isKnownToHaveBegun() ? to : from).update(id, stored, expectedVersion)) return true;
      if (!(await hasBegun())) return false;
      const found = await migrate(id);
      return found.stored?.version === expectedVersion && to.update(id, stored, expectedVersion);
    },

    // A touch does not change the version, so a process that is copying the session would not detect it. If a copy has
    // begun in the meantime, the session is moved and touched again in `to`.
    async touch(id, expiresAt) {
      assertOpen();
      checkTime(expiresAt);
      if (!isKnownToHaveBegun()) {
        const touched = await from.touch(id, expiresAt);
        if (!(await hasBegun())) return touched;
      }
      return (await migrate(id)).stored !== undefined && to.touch(id, expiresAt);
    },

    // The marker stays. Without it, a copy that was staged too late would look like a copy that has been moved.
    async delete(id) {
      assertOpen();
      if (await hasBegun()) return (await migrate(id)).stored !== undefined && to.delete(id);
      const ended = await from.delete(id);
      if (!(await hasBegun())) return ended;
      // The copy began during this call. The record that was deleted may have been a marker.
      const kind = recordKindOf(await readLatest(to, id));
      if (kind === "session") return to.delete(id);
      if (kind === "staged") await to.delete(id);
      return ended;
    },
  };

  if (from.idsOfUser && to.idsOfUser) {
    store.idsOfUser = async (userId) => {
      assertOpen();
      // Lists the old store first: a session that is moved in the meantime leaves a marker with its user there.
      const ids = new Set(await from.idsOfUser!(userId));
      if (!(await hasBegun())) return [...ids];
      for (const id of await to.idsOfUser!(userId)) ids.add(id);
      const live: string[] = [];
      for (const id of ids) if ((await read(id))?.userId === userId) live.push(id);
      return live;
    };
  }

  if (from.all && to.all) {
    store.all = async function* () {
      assertOpen();
      for await (const id of from.all!()) {
        assertOpen();
        if (id !== CONTROL_ID && (await read(id)) !== undefined) yield id;
      }
      if (!(await hasBegun())) return;
      for await (const id of to.all!()) {
        assertOpen();
        if ((await readLatest(from, id)) === undefined && (await read(id)) !== undefined) yield id;
      }
    };
  }

  if (from.subscribe && to.subscribe) {
    store.subscribe = (listener) => {
      assertOpen();
      return subscribeBoth(from, to, listener);
    };
  }

  // A store that removes expired sessions by itself has no deleteExpired.
  if (from.deleteExpired || to.deleteExpired) {
    store.deleteExpired = async (limit) => {
      assertOpen();
      checkPositiveInteger("deleteExpired: limit", limit);
      const deleted = (await from.deleteExpired?.(limit)) ?? 0;
      if (deleted >= limit) return deleted;
      return deleted + ((await to.deleteExpired?.(limit - deleted)) ?? 0);
    };
  }

  store.close = async () => {
    closed = true;
    await Promise.all([from.close?.(), to.close?.()]);
  };

  return Object.assign(store, {
    ...(from.announcesChanges && to.announcesChanges ? { announcesChanges: true } : {}),
    ...(from.inProcess ? { inProcess: true } : {}),
  });
}

/** Subscribes to both stores. The move of a session may be notified as a change of it, which a listener must expect anyway. */
function subscribeBoth(from: SessionStore, to: SessionStore, listener: StoreListener): () => void {
  const isListening = { from: false, to: false };
  let notifiedState: boolean | undefined;

  const listenTo = (side: "from" | "to"): StoreListener => ({
    ended: (id) => listener.ended?.(id),
    changed: (id) => listener.changed?.(id),
    listening(is) {
      isListening[side] = is;
      const both = isListening.from && isListening.to;
      if (both === notifiedState) return;
      notifiedState = both;
      listener.listening?.(both);
    },
  });

  const unsubscribers = [from.subscribe!(listenTo("from"))];
  const unsubscribe = () => {
    for (const each of unsubscribers) each();
  };
  try {
    unsubscribers.push(to.subscribe!(listenTo("to")));
  } catch (error) {
    unsubscribe();
    throw error;
  }
  return unsubscribe;
}
