import { namesOf } from "./checks.ts";
import type { SessionStore, StoredSession } from "./store.ts";

/** The names of the operations that every store has. */
type Operation = {
  [Name in keyof SessionStore]-?: {} extends Pick<SessionStore, Name> ? never : Name;
}[keyof SessionStore];
/** The optional methods and properties of a store. */
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

/** Returns the optional methods and properties that a store has, for a store that wraps it. Methods are bound. */
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
 * Returns the method of a capability, bound to its store.
 *
 * @param caller - the name of the caller, for the error message.
 * @throws {TypeError} if the store does not have the method.
 */
export function requireCapability<Name extends "idsOfUser" | "all">(
  store: SessionStore,
  name: Name,
  caller: string,
): NonNullable<SessionStore[Name]> {
  const method = store[name];
  if (!method) throw new TypeError(`${caller} needs a store with ${name}(); this one has none`);
  return method.bind(store) as NonNullable<SessionStore[Name]>;
}

/** Reads a session from the store, not from a near cache. */
export function readLatest(store: SessionStore, id: string): Promise<StoredSession | undefined> {
  return store.readLatest ? store.readLatest(id) : store.read(id);
}
