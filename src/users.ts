import { SessionError } from "./errors.ts";
import { lastSeenAt } from "./lifecycle/timeouts.ts";
import { loadedRecord, type Client, type LoadedRecord } from "./record/record.ts";
import type { SessionStore, StoredSession } from "./store.ts";
import { readLatest } from "./stores/shared/capabilities.ts";
import type { Host } from "./request/request-session.ts";
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
 * The sessions of an owner that are live, the latest sign-in first: as the store knows them, past any near cache. Without a
 * `patience` that bounds the whole, each question to the store has a `storeTimeout` of its own: an owner may have many.
 */
export async function liveSessionsOf(host: Host, owner: string, patience?: Patience): Promise<SessionInfo[]> {
  const idsOf = capable(host.store, "idsOf", "listing an owner's sessions");
  const ask: Patience["ask"] = (what, question) => (patience ?? new Patience(host.storeTimeout)).ask(what, question);
  const found: SessionInfo[] = [];
  await forEach(await ask("list", () => idsOf(owner)), async (id) => {
    const stored = await ask("read", () => readLatest(host.store, id));
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
export async function revoke(host: Host, id: string): Promise<boolean> {
  const patience = new Patience(host.storeTimeout);
  const stored = await patience.ask("read", () => readLatest(host.store, id));
  // The record of a session that has moved is no session; it is ended all the same where nobody can read it.
  const record = stored && readable(host, id, stored)?.record;
  if (!stored || record?.movedTo !== undefined) return false;
  return end(host, id, record?.owner, patience);
}

async function end(host: Host, id: string, owner: string | undefined, patience: Patience): Promise<boolean> {
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
  const spared = storedUnder(host, except);
  return revokeThese(
    ids.filter((id) => id !== spared),
    async (id) => {
      const patience = new Patience(host.storeTimeout);
      const stored = await patience.ask("read", () => readLatest(host.store, id));
      if (!stored) return false;
      // Not even where whoever can write to the store has put another's session under this owner.
      const record = readable(host, id, stored)?.record;
      if (record ? record.owner !== owner : stored.owner !== owner) return false;
      return end(host, id, owner, patience);
    },
  );
}

/** The id under which a session is stored whose new one was given to a request that has signed in and not ended yet. */
export function storedUnder(host: Host, id: string | undefined): string | undefined {
  return id === undefined ? undefined : (host.moves.get(id) ?? id);
}

/** Ends what can be ended, and only then fails for what can't. */
async function revokeThese(
  ids: Iterable<string> | AsyncIterable<string>,
  revokeOne: (id: string) => Promise<boolean>,
): Promise<number> {
  let ended = 0;
  await forEach(ids, async (id) => {
    if (await revokeOne(id)) ended++;
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
    ended += await revokeThese(all(), (id) => revoke(host, id));
  }
  return ended;
}

/** The two halves of a sign-in. */
interface SigningIn {
  /** Stores the session that begins. @param after - a moment that its `signedInAt` has to be later than. */
  store(after: number): Promise<void>;
  /** Ends the session that was there before, if there was one. */
  finish(): Promise<void>;
}

/**
 * Signs in within the owner's limit. Sign-ins of one owner go one after the other in a process. Between processes several
 * may be stored before any of them counts: then all rank them alike, by moment and id, each counting itself, so that just
 * as many stay as the limit allows. Whoever withdraws because of an error leaves it to the caller to take back what
 * was stored.
 *
 * @param former - the id of a session that this sign-in takes the place of, which does not count.
 * @throws SessionError ERR_SESSION_LIMIT where the limit is one that refuses.
 */
export async function withinLimit(
  host: Host,
  { owner, id, former }: { owner: string; id: string; former: string | undefined },
  patience: Patience,
  signingIn: SigningIn,
): Promise<void> {
  const limit = host.maxPerOwner;
  if (!limit) {
    await signingIn.store(0);
    return signingIn.finish();
  }
  const refuses = limit.whenFull === "refuse";
  const counted = async () => (await liveSessionsOf(host, owner, patience)).filter((one) => one.id !== former);
  return host.lanes.enter(`owner ${owner}`, async () => {
    // Asked before anything is stored: a store that can't tell fails the sign-in, and leaves the session as it was.
    const before = await counted();
    if (refuses && before.length >= limit.sessions) throw full(limit);
    await signingIn.store(before[0]?.signedInAt ?? 0);
    const endBeyond = async (latestFirst: SessionInfo[]) => {
      const ranked = refuses ? latestFirst.toReversed() : latestFirst;
      for (const beyond of ranked.slice(limit.sessions)) await end(host, beyond.id, owner, patience);
      return ranked.slice(0, limit.sessions).some((one) => one.id === id);
    };
    if (refuses && !(await endBeyond(await counted()))) throw full(limit);
    await signingIn.finish();
    try {
      if (!refuses) await endBeyond(await counted());
    } catch (error) {
      // It is stored, and the next sign-in looks again.
      host.emitter.emit("fault", { id, error });
    }
  });
}

function full(limit: OwnerLimit): SessionError {
  return new SessionError("ERR_SESSION_LIMIT", `This owner has ${limit.sessions} sessions already; one must end first`);
}
