import { namesOf } from "./checks.ts";
import type { SessionStore, StoredSession } from "./store.ts";

/** What every store has. */
type Operation = {
  [Name in keyof SessionStore]-?: {} extends Pick<SessionStore, Name> ? never : Name;
}[keyof SessionStore];
/** What a store may leave out. */
type Capabilities = Omit<SessionStore, Operation>;

export const OPERATIONS = namesOf<Operation>({ read: true, create: true, update: true, touch: true, delete: true });
const CAPABILITIES = namesOf<keyof Capabilities>({
  readLatest: true,
  idsOfUser: true,
  all: true,
  deleteExpired: true,
  subscribe: true,
  close: true,
  announcesChanges: true,
  inProcess: true,
});

/** What a store can do beyond the five operations, for another that stands before it: bound, and only what is there. */
export function capabilitiesOf(store: SessionStore): Capabilities {
  const found: Record<string, unknown> = {};
  for (const name of CAPABILITIES) {
    const capability: unknown = store[name];
    if (typeof capability === "function") found[name] = capability.bind(store);
    else if (capability !== undefined) found[name] = capability;
  }
  return found;
}

/**
 * The method of a capability, bound.
 *
 * @throws TypeError naming what the store can't do.
 */
export function requireCapability<Name extends "idsOfUser" | "all">(
  store: SessionStore,
  name: Name,
  what: string,
): NonNullable<SessionStore[Name]> {
  const method = store[name];
  if (!method) throw new TypeError(`${what} needs a store with ${name}(); this one has none`);
  return method.bind(store) as NonNullable<SessionStore[Name]>;
}

/** Reads a session past any near cache. */
export function readLatest(store: SessionStore, id: string): Promise<StoredSession | undefined> {
  return store.readLatest ? store.readLatest(id) : store.read(id);
}
