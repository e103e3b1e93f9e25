import { namesOf } from "./checks.ts";
import type { SessionStore, StoredSession, SyncOperation } from "./store.ts";

/** The names of the operations that every store has. */
export type OperationName = {
  [Name in keyof SessionStore]-?: {} extends Pick<SessionStore, Name> ? never : Name;
}[keyof SessionStore];
/** The optional methods and properties of a store. */
type Capabilities = Omit<SessionStore, OperationName>;

export const OPERATIONS = namesOf<OperationName>({ read: true, create: true, update: true, touch: true, delete: true });
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

/** Whether clients keep the sessions of a store (`cookieStore`). Then it answers within a request only. */
export function isClientSide(store: SessionStore): boolean {
  return "clientSide" in store;
}

/** @throws TypeError for a store that no other can be built on. @param maker - the name of the caller. */
export function refuseClientSide(maker: string, store: SessionStore): void {
  if (isClientSide(store))
    throw new TypeError(
      `${maker} needs a store on the server, and cookieStore() keeps sessions with their clients: give it to createSessions as its store`,
    );
}

/**
 * Returns the method of a capability, bound to its store.
 *
 * @param caller - the name of the caller, for the error message.
 * @throws TypeError if the store does not have the method.
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

export type OperationArguments<Name extends OperationName> = Parameters<SessionStore[Name]>;
export type OperationResult<Name extends OperationName> = Awaited<ReturnType<SessionStore[Name]>>;

/** The form of an operation that answers at once, where the store has it. */
export function syncOf<Name extends OperationName>(
  store: SessionStore,
  name: Name,
): SyncOperation<OperationArguments<Name>, OperationResult<Name>>["sync"] {
  const operation = store[name] as SyncOperation<OperationArguments<Name>, OperationResult<Name>>;
  const { sync } = operation;
  return sync?.of === operation ? sync : undefined;
}

/** An operation that answers at once, and by a promise if it is called as every store's. */
export function syncOperation<Args extends unknown[], Result>(
  sync: (...args: Args) => Result,
): SyncOperation<Args, Result> {
  const operation = async (...args: Args): Promise<Result> => sync(...args);
  return Object.assign(operation, { sync: Object.assign(sync, { of: operation }) });
}

/** Reads a session from the store, not from a near cache. */
export function readLatest(store: SessionStore, id: string): Promise<StoredSession | undefined> {
  return store.readLatest ? store.readLatest(id) : store.read(id);
}
