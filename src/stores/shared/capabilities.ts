import type { SessionStore, StoredSession } from "../../store.ts";

const METHODS = ["readLatest", "idsOfUser", "all", "deleteExpired", "subscribe", "close"] as const;

/** What a store can do beyond the five operations, for another that stands before it: bound, and only what is there. */
export function capabilitiesOf(
  store: SessionStore,
): Omit<SessionStore, "read" | "create" | "update" | "touch" | "delete"> {
  const found: Record<string, unknown> = {};
  for (const name of METHODS) {
    const method = store[name] as ((...given: never) => unknown) | undefined;
    if (method !== undefined) found[name] = method.bind(store);
  }
  for (const name of ["announcesChanges", "inProcess"] as const) {
    if (store[name] !== undefined) found[name] = store[name];
  }
  return found;
}

/** Reads a session past any near cache. */
export function readLatest(store: SessionStore, id: string): Promise<StoredSession | undefined> {
  return store.readLatest ? store.readLatest(id) : store.read(id);
}
