import { SessionError } from "./errors.ts";
import { endIfUnchanged } from "./lifecycle/end.ts";
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

/** A session of an owner as it was read. */
interface Owned {
  readonly id: string;
  readonly loaded: LoadedRecord;
}

/** Where an owner is signed in, the latest sign-in first. */
export async function list(host: Host, owner: string): Promise<SessionInfo[]> {
  return (await liveSessionsOf(host, owner)).map(({ id, loaded }) => infoOf(host, id, loaded));
}

/**
 * The sessions of an owner that are live, the latest sign-in first: as the store knows them, past any near cache. Without a
 * `patience` that bounds the whole, each question to the store has a `storeTimeout` of its own: an owner may have many.
 */
async function liveSessionsOf(host: Host, owner: string, patience?: Patience): Promise<Owned[]> {
  const idsOf = capable(host.store, "idsOf", "listing an owner's sessions");
  const ask: Patience["ask"] = (what, question) => (patience ?? new Patience(host.storeTimeout)).ask(what, question);
  const found: Owned[] = [];
  await forEach(await ask("list", () => idsOf(owner)), async (id) => {
    const stored = await ask("read", () => readLatest(host.store, id));
    const loaded = stored && readable(host, id, stored);
    // The index may name a session that has just ended, or changed hands.
    if (loaded && loaded.record.owner === owner) found.push({ id, loaded });
  });
  return found.toSorted((a, b) => signedInAt(b) - signedInAt(a) || (a.id < b.id ? -1 : 1));
}

const signedInAt = ({ loaded }: Owned): number => loaded.record.signedInAt!;

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
  const { owner, createdAt, note, client } = record;
  return {
    id,
    owner: owner!,
    createdAt,
    signedInAt: record.signedInAt!,
    lastSeenAt: lastSeenAt(expiresAt, record, host.timeouts),
    expiresAt,
    note,
    client,
    isCurrent: false,
  };
}

/** Ends one session. `true` if it was live and this call ended it. */
export function revoke(host: Host, id: string): Promise<boolean> {
  return end(host, id, () => true);
}

/**
 * Ends the session that is stored under an id and meant, or if its user has signed in again meanwhile, the one that it has
 * become.
 */
async function end(
  host: Host,
  id: string,
  isMeant: (owner: string | undefined) => boolean,
  patience = new Patience(host.storeTimeout),
): Promise<boolean> {
  for (;;) {
    const stored = await patience.ask("read", () => readLatest(host.store, id));
    if (!stored) return false;
    const loaded = readable(host, id, stored);
    const { owner, ended } = loaded?.record ?? { owner: stored.owner };
    if (ended) {
      if (!isMeant(ended.owner) || (ended.movedTo !== undefined && ended.owner === undefined)) return false;
      // A sign-in or sign-out that fails after all must not put back what is to be revoked.
      await patience.ask("delete", () => host.store.delete(id));
      if (ended.movedTo === undefined) return false;
      id = ended.movedTo;
    } else {
      if (!isMeant(owner)) return false;
      const isEnded = loaded
        ? await endIfUnchanged(host, id, loaded, patience)
        : await patience.ask("delete", () => host.store.delete(id));
      if (isEnded) host.emitter.emit("revoked", { id, owner });
      if (isEnded || !loaded) return isEnded;
    }
  }
}

/**
 * Ends all sessions of an owner, but for `except`, and says how many. Every session that was there when it began is
 * ended when it returns: the index names each from before it is visible until after it has ended.
 */
export async function revokeAll(host: Host, owner: string, except: string | undefined): Promise<number> {
  const idsOf = capable(host.store, "idsOf", "revoking an owner's sessions");
  const ids = await new Patience(host.storeTimeout).ask("list", () => idsOf(owner));
  const spared = [except, storedUnder(host, except)];
  return revokeThese(
    ids.filter((id) => !spared.includes(id)),
    // Not even where whoever can write to the store has put another's session under this owner.
    (id) => end(host, id, (its) => its === owner),
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

/** The steps of a sign-in. */
interface SigningIn {
  /** Stores the session that begins. @param after - a moment that its `signedInAt` has to be later than. */
  store(after: number): Promise<void>;
  /** Marks it as counted; `false` where somebody has ended it. */
  admit(): Promise<boolean>;
  /** Ends the session that was there before, if there was one; `false` where that goes on. */
  finish(): Promise<boolean>;
}

/**
 * Signs in within the owner's limit. Sign-ins of one owner go one after the other in a process. Between processes several
 * may be stored before any of them counts: then all rank them alike, each itself included, so that just as many stay as the
 * limit allows. Whoever withdraws because of an error leaves it to the caller to take back what was stored.
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
    await signingIn.finish();
    return;
  }
  const counted = async () => (await liveSessionsOf(host, owner, patience)).filter((one) => one.id !== former);
  return host.lanes.enter(`owner ${owner}`, async () => {
    const before = await counted();
    const latest = before[0] ? signedInAt(before[0]) : 0;
    if (limit.whenFull === "refuse") {
      if (before.length >= limit.sessions) throw full(limit);
      await signingIn.store(latest);
      const isAdmitted = (await outranks(host, await counted(), id, limit, patience)) && (await signingIn.admit());
      if (!isAdmitted) throw full(limit);
    } else {
      await signingIn.store(latest);
      await evict(host, owner, limit, await counted(), patience);
    }
    if (await signingIn.finish()) return;
    // The former session goes on after all, by a token that somebody else has been given: it counts.
    const all = await liveSessionsOf(host, owner, patience);
    if (limit.whenFull === "evict") await evict(host, owner, limit, all, patience);
    else if (all.length > limit.sessions) throw full(limit);
  });
}

/** Ends the sessions whose sign-in is the longest ago, beyond the limit. */
async function evict(
  host: Host,
  owner: string,
  limit: OwnerLimit,
  latestFirst: readonly Owned[],
  patience: Patience,
): Promise<void> {
  for (const { id } of latestFirst.slice(limit.sessions)) await end(host, id, (its) => its === owner, patience);
}

/**
 * Whether a sign-in that was stored is within the limit. Those that were counted before stay; of the others the earliest
 * do, and end those beyond them, which may not have looked yet.
 */
async function outranks(
  host: Host,
  latestFirst: readonly Owned[],
  id: string,
  limit: OwnerLimit,
  patience: Patience,
): Promise<boolean> {
  const isCounted = ({ loaded }: Owned) => loaded.version > 1;
  const earliestFirst = latestFirst.toReversed();
  const ranked = [...earliestFirst.filter(isCounted), ...earliestFirst.filter((one) => !isCounted(one))];
  if (!ranked.slice(0, limit.sessions).some((one) => one.id === id)) return false;
  for (const beyond of ranked.slice(limit.sessions)) {
    if (await endIfUnchanged(host, beyond.id, beyond.loaded, patience)) continue;
    // It has been counted in between, or withdrawn.
    if (await patience.ask("read", () => readLatest(host.store, beyond.id))) return false;
  }
  return true;
}

function full(limit: OwnerLimit): SessionError {
  return new SessionError("ERR_SESSION_LIMIT", `This owner has ${limit.sessions} sessions already; one must end first`);
}
