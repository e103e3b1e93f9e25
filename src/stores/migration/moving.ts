import type { SessionStore, StoreListener } from "../../store.ts";
import { readLatest } from "../../capabilities.ts";
import { checkPair, CONTROL_ID, formOf } from "./forms.ts";
import { handover } from "./handover.ts";
import { checkOptions, checkPositiveInteger } from "../../checks.ts";
import { checkStored, checkTime, copyOf } from "../shared/stored.ts";

/** The stores that {@link movingStore} stands between. */
export interface MovingStoreOptions {
  /** Where the sessions are. */
  readonly from: SessionStore;
  /** Where they are to go. */
  readonly to: SessionStore;
}

/**
 * Two stores as one, while `copySessions` moves the sessions from the first to the second.
 *
 * 1. Deploy it in place of `from`, process by process: until a copy begins, all that is written goes to `from`.
 * 2. When no process is left that uses `from` alone, run `copySessions(from, to)`.
 * 3. When that has come to its end, deploy `to` alone, process by process.
 *
 * Each session is in one of the stores, and changes over by a compare-and-set: no update is lost, no sign-out undone,
 * nobody signed out. What both stores can do it can do.
 *
 * @throws {TypeError} at stores between which sessions can't be moved.
 */
export function movingStore(options: MovingStoreOptions): SessionStore {
  checkOptions("movingStore", options, { from: true, to: true });
  const { from, to } = options;
  checkPair("movingStore", from, to);
  const { isKnown, underWay, settle, read } = handover(from, to);
  let closed = false;

  function open(): void {
    if (closed) throw new Error("the moving store is closed: make a new one with movingStore()");
  }

  const store: SessionStore = {
    async read(id) {
      open();
      return read(id);
    },

    // In `from`, as long as others may use that alone. Whoever has created there finds out afterwards whether the copier
    // can have missed it.
    async create(id, given) {
      open();
      checkStored(given);
      const stored = copyOf(given);
      if (!isKnown()) {
        const created = await from.create(id, stored);
        if (!(await underWay())) return created;
        if (created) {
          await settle(id);
          return true;
        }
      }
      if ((await settle(id)).stored !== undefined) return false;
      if (await to.create(id, stored)) return true;
      const leftover = await readLatest(to, id);
      if (leftover === undefined || formOf(leftover) === "session") return false;
      return to.update(id, stored, leftover.version);
    },

    async update(id, given, expectedVersion) {
      open();
      checkStored(given);
      const stored = copyOf(given);
      // Neither a marker nor a staged copy has a version that anybody expects.
      if (await (isKnown() ? to : from).update(id, stored, expectedVersion)) return true;
      if (!(await underWay())) return false;
      const found = await settle(id);
      return found.stored?.version === expectedVersion && to.update(id, stored, expectedVersion);
    },

    // A touch leaves the version alone, so nobody who is copying would notice: it counts if no copy had begun by the
    // time it was done, and is done again behind the handover otherwise.
    async touch(id, expiresAt) {
      open();
      checkTime(expiresAt);
      if (!isKnown()) {
        const touched = await from.touch(id, expiresAt);
        if (!(await underWay())) return touched;
      }
      return (await settle(id)).stored !== undefined && to.touch(id, expiresAt);
    },

    // The marker stays: without it, a copy that somebody staged too late could not be told from one handed over.
    async delete(id) {
      open();
      if (await underWay()) return (await settle(id)).stored !== undefined && to.delete(id);
      const ended = await from.delete(id);
      if (!(await underWay())) return ended;
      // The copy has begun this moment: it may have been the marker that went.
      const form = formOf(await readLatest(to, id));
      if (form === "session") return to.delete(id);
      if (form === "staged") await to.delete(id);
      return ended;
    },
  };

  if (from.idsOfUser && to.idsOfUser) {
    store.idsOfUser = async (userId) => {
      open();
      // In this order: what leaves the one meanwhile has left its marker, with the user.
      const ids = new Set(await from.idsOfUser!(userId));
      if (!(await underWay())) return [...ids];
      for (const id of await to.idsOfUser!(userId)) ids.add(id);
      const owned: string[] = [];
      for (const id of ids) if ((await read(id))?.userId === userId) owned.push(id);
      return owned;
    };
  }

  if (from.all && to.all) {
    store.all = async function* () {
      open();
      for await (const id of from.all!()) {
        open();
        if (id !== CONTROL_ID && (await read(id)) !== undefined) yield id;
      }
      if (!(await underWay())) return;
      for await (const id of to.all!()) {
        open();
        if ((await readLatest(from, id)) === undefined && (await read(id)) !== undefined) yield id;
      }
    };
  }

  if (from.subscribe && to.subscribe) {
    store.subscribe = (listener) => {
      open();
      return subscribeBoth(from, to, listener);
    };
  }

  // An engine that expires by itself has nothing to forget.
  if (from.deleteExpired || to.deleteExpired) {
    store.deleteExpired = async (limit) => {
      open();
      checkPositiveInteger("deleteExpired: limit", limit);
      const forgotten = (await from.deleteExpired?.(limit)) ?? 0;
      if (forgotten >= limit) return forgotten;
      return forgotten + ((await to.deleteExpired?.(limit - forgotten)) ?? 0);
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

/** A handover is neither an end nor, to who has read the session before, a change that matters: it may be told as one. */
function subscribeBoth(from: SessionStore, to: SessionStore, listener: StoreListener): () => void {
  const heard = { from: false, to: false };
  let told: boolean | undefined;

  const on = (side: "from" | "to"): StoreListener => ({
    ended: (id) => listener.ended?.(id),
    changed: (id) => listener.changed?.(id),
    listening(isListening) {
      heard[side] = isListening;
      const both = heard.from && heard.to;
      if (both === told) return;
      told = both;
      listener.listening?.(both);
    },
  });

  const ends = [from.subscribe!(on("from"))];
  const end = () => {
    for (const endOne of ends) endOne();
  };
  try {
    ends.push(to.subscribe!(on("to")));
  } catch (error) {
    end();
    throw error;
  }
  return end;
}
