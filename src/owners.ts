import { SessionError } from "./errors.ts";
import { lastSeenAt } from "./expiry.ts";
import { loadedRecord, type Client, type LoadedRecord } from "./record.ts";
import type { SessionStore, StoredSession } from "./store.ts";
import type { Host } from "./visit.ts";
import { forEach, Patience } from "./waiting.ts";

/** One of an owner's sessions, as `sessions.list` shows it. */
export interface SessionInfo {
  readonly id: string;
  readonly owner: string;
  /** Epoch milliseconds, like all times here. */
  readonly createdAt: number;
  readonly signedInAt: number;
  /** As exact as touching: it may have been seen up to `touchInterval` later. */
  readonly lastSeenAt: number;
  readonly expiresAt: number;
  /** What `signIn` was told. */
  readonly note: string | undefined;
  /** What the `client` option told of the request that signed in. */
  readonly client: Client | undefined;
  /** Whether it is the session that was given as `current`. */
  readonly isCurrent: boolean;
}

/** How many sessions an owner may have at once, and what a further sign-in meets. */
export interface OwnerLimit {
  readonly sessions: number;
  /** `"evict"` ends the owner's oldest sign-in, `"refuse"` fails the new one with `ERR_SESSION_LIMIT`. */
  readonly whenFull: "evict" | "refuse";
}

/** @throws TypeError naming what the store can't do. */
export function capable<Name extends "idsOf" | "all">(
  store: SessionStore,
  name: Name,
  what: string,
): NonNullable<SessionStore[Name]> {
  const method = store[name];
  if (!method) throw new TypeError(`${what} needs a store with ${name}(); this one has none`);
  return method.bind(store) as NonNullable<SessionStore[Name]>;
}

/**
 * The sessions of an owner that are live, the latest sign-in first. Without a `patience` that bounds the whole, each
 * question to the store has a `storeTimeout` of its own: an owner may have many.
 */
export async function liveSessionsOf(host: Host, owner: string, patience?: Patience): Promise<SessionInfo[]> {
  const idsOf = capable(host.store, "idsOf", "listing an owner's sessions");
  const ask: Patience["ask"] = (what, question) => (patience ?? new Patience(host.storeTimeout)).ask(what, question);
  const found: SessionInfo[] = [];
  await forEach(await ask("list", () => idsOf(owner)), async (id) => {
    const stored = await ask("read", () => host.store.read(id));
    const loaded = stored && readable(host, id, stored);
    // The index may name a session that has just ended, or changed hands.
    if (loaded && loaded.record.owner === owner) found.push(infoOf(host, id, loaded));
  });
  return found.toSorted((a, b) => b.signedInAt - a.signedInAt || (a.id < b.id ? -1 : 1));
}

/** One record that can't be opened must not hide the others, nor keep its owner from signing in. */
function readable(host: Host, id: string, stored: StoredSession): LoadedRecord | undefined {
  try {
    return loadedRecord(host, id, stored);
  } catch (error) {
    host.emitter.emit("fault", { id, error });
    return undefined;
  }
}

function infoOf(host: Host, id: string, { record, expiresAt }: LoadedRecord): SessionInfo {
  const { owner, createdAt, signedInAt, note, client } = record;
  return {
    id,
    owner: owner!,
    createdAt,
    signedInAt: signedInAt!,
    lastSeenAt: lastSeenAt(expiresAt, record, host.timeouts),
    expiresAt,
    note,
    client,
    isCurrent: false,
  };
}

/** Ends one session. `true` if it was live and this call ended it. */
export async function revoke(
  host: Host,
  id: string,
  owner?: string,
  patience = new Patience(host.storeTimeout),
): Promise<boolean> {
  const ended = await patience.ask("delete", () => host.store.delete(id));
  if (ended) host.emitter.emit("revoked", { id, owner });
  return ended;
}

/**
 * Ends all sessions of an owner, but for `except`, and says how many. Every session that was there when it began is
 * ended when it returns: the index names each from before it is visible until after it has ended.
 */
export async function revokeAll(host: Host, owner: string, except: string | undefined): Promise<number> {
  const idsOf = capable(host.store, "idsOf", "revoking an owner's sessions");
  const ids = await new Patience(host.storeTimeout).ask("list", () => idsOf(owner));
  return revokeThese(
    host,
    ids.filter((id) => id !== except),
    owner,
  );
}

/** Ends what can be ended, and only then fails for what can't. */
async function revokeThese(host: Host, ids: Iterable<string> | AsyncIterable<string>, owner?: string): Promise<number> {
  let ended = 0;
  await forEach(ids, async (id) => {
    if (await revoke(host, id, owner)) ended++;
  });
  return ended;
}

/** Ends every session in the store, and says how many. */
export async function revokeEverything(host: Host): Promise<number> {
  const all = capable(host.store, "all", "revoking everything");
  let ended = 0;
  // A session that is renewed during the walk may be passed over: walk until one finds nothing.
  for (let before = -1; before < ended;) {
    before = ended;
    ended += await revokeThese(host, all());
  }
  return ended;
}

/**
 * Stores a sign-in within the owner's limit. Sign-ins of one owner go one after the other in a process; between processes
 * two at the same moment may both be refused, or end each other's elders, but never both stay beyond the limit.
 *
 * @param store - stores it. @param takeBack - undoes that.
 * @throws SessionError ERR_SESSION_LIMIT where the limit is one that refuses.
 */
export async function withinLimit(
  host: Host,
  { owner, id }: { owner: string; id: string },
  patience: Patience,
  store: () => Promise<boolean>,
  takeBack: () => Promise<unknown>,
): Promise<boolean> {
  const limit = host.maxPerOwner;
  if (!limit) return store();
  return host.lanes.enter(`owner ${owner}`, async () => {
    // Asked before anything is stored: a store that can't tell fails the sign-in, and leaves the session as it was.
    const others = async () => (await liveSessionsOf(host, owner, patience)).filter((one) => one.id !== id);
    const before = await others();
    if (limit.whenFull === "refuse" && before.length >= limit.sessions) throw full(limit);
    if (!(await store())) return false;
    try {
      const now = await others();
      if (limit.whenFull === "evict") {
        for (const elder of now.slice(limit.sessions - 1)) await revoke(host, elder.id, owner, patience);
        return true;
      }
      if (now.length < limit.sessions) return true;
    } catch (error) {
      // It is stored, and the next sign-in looks again.
      host.emitter.emit("fault", { id, error });
      return true;
    }
    await takeBack();
    throw full(limit);
  });
}

function full(limit: OwnerLimit): SessionError {
  return new SessionError("ERR_SESSION_LIMIT", `This owner has ${limit.sessions} sessions already; one must end first`);
}
