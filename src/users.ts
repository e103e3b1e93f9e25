import { SessionError } from "./errors.ts";
import { endIfUnchanged } from "./lifecycle/end.ts";
import { lastSeenAt } from "./lifecycle/timeouts.ts";
import { loadedRecord, storedSession, type Client, type LoadedRecord } from "./record/record.ts";
import type { StoredSession } from "./store.ts";
import { requireCapability, readLatest } from "./capabilities.ts";
import type { Context } from "./context.ts";
import { forEach } from "./concurrency.ts";
import { Deadline } from "./deadline.ts";

/** One of a user's sessions, as `sessions.list` shows it. */
export interface SessionInfo {
  readonly id: string;
  readonly userId: string;
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

/** How many sessions a user may have at once, and what a further sign-in meets. */
export interface UserLimit {
  readonly sessions: number;
  /** `"evict"` ends the user's oldest sign-in, `"refuse"` fails the new one with `ERR_SESSION_LIMIT`. */
  readonly whenFull: "evict" | "refuse";
}

/** A session of a user as it was read. */
interface LiveSession {
  readonly id: string;
  readonly loaded: LoadedRecord;
}

/** Where a user is signed in, the latest sign-in first. */
export async function list(context: Context, userId: string): Promise<SessionInfo[]> {
  return (await liveSessionsOf(context, userId)).map(({ id, loaded }) => describeSession(context, id, loaded));
}

/**
 * The sessions of a user that are live, the latest sign-in first: as the store knows them, past any near cache. Without a
 * `deadline` that bounds the whole, each question to the store has a `storeTimeout` of its own: a user may have many.
 */
async function liveSessionsOf(context: Context, userId: string, deadline?: Deadline): Promise<LiveSession[]> {
  const idsOfUser = requireCapability(context.store, "idsOfUser", "listing a user's sessions");
  const run: Deadline["run"] = (what, question) => (deadline ?? new Deadline(context.storeTimeout)).run(what, question);
  const found: LiveSession[] = [];
  await forEach(await run("list", () => idsOfUser(userId)), async (id) => {
    const stored = await run("read", () => readLatest(context.store, id));
    const loaded = stored && decodeIfReadable(context, id, stored);
    // The index may name a session that has just ended, or changed hands.
    if (loaded && loaded.record.userId === userId) found.push({ id, loaded });
  });
  return found.toSorted((a, b) => signedInAt(b) - signedInAt(a) || (a.id < b.id ? -1 : 1));
}

const signedInAt = ({ loaded }: LiveSession): number => loaded.record.signedInAt!;

/** One record that can't be opened must not hide the others, nor keep its user from signing in. */
function decodeIfReadable(context: Context, id: string, stored: StoredSession): LoadedRecord | undefined {
  try {
    return loadedRecord(context, id, stored);
  } catch (error) {
    context.emitter.emit("error", { id, error });
    return undefined;
  }
}

function describeSession(context: Context, id: string, { record, expiresAt }: LoadedRecord): SessionInfo {
  const { userId, createdAt, note, client } = record;
  return {
    id,
    userId: userId!,
    createdAt,
    signedInAt: record.signedInAt!,
    lastSeenAt: lastSeenAt(expiresAt, record, context.timeouts),
    expiresAt,
    note,
    client,
    isCurrent: false,
  };
}

/** Ends one session, if it is this user's. `true` if it was live and this call ended it. */
export function revoke(context: Context, id: string, userId: string | undefined): Promise<boolean> {
  return end(context, id, (its) => userId === undefined || its === userId);
}

/**
 * Ends the session that is stored under an id and meant, or if its user has signed in again meanwhile, the one that it has
 * become.
 */
async function end(
  context: Context,
  id: string,
  isMeant: (userId: string | undefined) => boolean,
  deadline = new Deadline(context.storeTimeout),
): Promise<boolean> {
  for (;;) {
    const stored = await deadline.run("read", () => readLatest(context.store, id));
    if (!stored) return false;
    const loaded = decodeIfReadable(context, id, stored);
    const { userId, ended } = loaded?.record ?? { userId: stored.userId };
    if (ended) {
      if (!isMeant(ended.userId)) return false;
      if (ended.movedTo !== undefined && ended.userId === undefined) {
        // Somebody has signed in to a visitor's session. That goes on, but if it fails it puts nothing back.
        const kept = storedSession(context, id, { ...loaded!, version: loaded!.version + 1 });
        if (await deadline.run("update", () => context.store.update(id, kept, loaded!.version))) return false;
        continue;
      }
      // A sign-in or sign-out that fails after all must not put back what is to be revoked.
      await deadline.run("delete", () => context.store.delete(id));
      if (ended.movedTo === undefined) return false;
      id = ended.movedTo;
      // Another user's sign-in has ended the session that is meant.
      isMeant = (its) => its === ended.userId;
    } else {
      if (!isMeant(userId)) return false;
      const isEnded = loaded
        ? await endIfUnchanged(context, id, loaded, deadline)
        : await deadline.run("delete", () => context.store.delete(id));
      if (isEnded) context.emitter.emit("revoked", { id, userId });
      if (isEnded || !loaded) return isEnded;
    }
  }
}

/**
 * Ends all sessions of a user, but for `except`, and says how many. Every session that was there when it began is
 * ended when it returns: the index names each from before it is visible until after it has ended.
 */
export async function revokeAll(context: Context, userId: string, except: string | undefined): Promise<number> {
  const idsOfUser = requireCapability(context.store, "idsOfUser", "revoking a user's sessions");
  const ids = await new Deadline(context.storeTimeout).run("list", () => idsOfUser(userId));
  const spared = [except, storedIdOf(context, except)];
  return revokeEach(
    ids.filter((id) => !spared.includes(id)),
    // Not even where whoever can write to the store has put another's session under this user.
    (id) => end(context, id, (its) => its === userId),
  );
}

/** The id under which a session is stored whose new one was given to a request that has signed in and not ended yet. */
export function storedIdOf(context: Context, id: string | undefined): string | undefined {
  return id === undefined ? undefined : (context.moves.get(id) ?? id);
}

/** Ends what can be ended, and only then fails for what can't. */
async function revokeEach(
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
export async function revokeEverything(context: Context): Promise<number> {
  const all = requireCapability(context.store, "all", "revoking everything");
  let ended = 0;
  // A session that is renewed during the walk may be passed over: walk until one finds nothing.
  for (let before = -1; before < ended;) {
    before = ended;
    ended += await revokeEach(all(), (id) => revoke(context, id, undefined));
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
 * Signs in within the user's limit. Sign-ins of one user go one after the other in a process. Between processes several
 * may be stored before any of them counts: then all rank them alike, each itself included, so that just as many stay as the
 * limit allows. Whoever withdraws because of an error leaves it to the caller to take back what was stored.
 *
 * @param former - the id of a session that this sign-in takes the place of, which does not count.
 * @throws SessionError ERR_SESSION_LIMIT where the limit is one that refuses.
 */
export async function withinLimit(
  context: Context,
  { userId, id, former }: { userId: string; id: string; former: string | undefined },
  deadline: Deadline,
  signingIn: SigningIn,
): Promise<void> {
  const limit = context.maxPerUser;
  if (!limit) {
    await signingIn.store(0);
    await signingIn.finish();
    return;
  }
  const counted = async () => (await liveSessionsOf(context, userId, deadline)).filter((one) => one.id !== former);
  return context.commits.run(`user ${userId}`, async () => {
    const before = await counted();
    const latest = before[0] ? signedInAt(before[0]) : 0;
    if (limit.whenFull === "refuse") {
      if (before.length >= limit.sessions) throw createLimitError(limit);
      await signingIn.store(latest);
      const isAdmitted = (await outranks(context, await counted(), id, limit, deadline)) && (await signingIn.admit());
      if (!isAdmitted) throw createLimitError(limit);
    } else {
      await signingIn.store(latest);
      await evict(context, userId, limit, await counted(), deadline);
    }
    if (await signingIn.finish()) return;
    // The former session goes on after all, by a token that somebody else has been given: it counts.
    const all = await liveSessionsOf(context, userId, deadline);
    if (limit.whenFull === "evict") await evict(context, userId, limit, all, deadline);
    else if (all.length > limit.sessions) throw createLimitError(limit);
  });
}

/** Ends the sessions whose sign-in is the longest ago, beyond the limit. */
async function evict(
  context: Context,
  userId: string,
  limit: UserLimit,
  latestFirst: readonly LiveSession[],
  deadline: Deadline,
): Promise<void> {
  for (const { id } of latestFirst.slice(limit.sessions)) await end(context, id, (its) => its === userId, deadline);
}

/**
 * Whether a sign-in that was stored is within the limit. Those that were counted before stay; of the others the earliest
 * do, and end those beyond them, which may not have looked yet.
 */
async function outranks(
  context: Context,
  latestFirst: readonly LiveSession[],
  id: string,
  limit: UserLimit,
  deadline: Deadline,
): Promise<boolean> {
  const isCounted = ({ loaded }: LiveSession) => loaded.version > 1;
  const earliestFirst = latestFirst.toReversed();
  const ranked = [...earliestFirst.filter(isCounted), ...earliestFirst.filter((one) => !isCounted(one))];
  if (!ranked.slice(0, limit.sessions).some((one) => one.id === id)) return false;
  for (const beyond of ranked.slice(limit.sessions)) {
    if (await endIfUnchanged(context, beyond.id, beyond.loaded, deadline)) continue;
    // It has been counted in between, or withdrawn.
    if (await deadline.run("read", () => readLatest(context.store, beyond.id))) return false;
  }
  return true;
}

function createLimitError(limit: UserLimit): SessionError {
  return new SessionError("ERR_SESSION_LIMIT", `This user has ${limit.sessions} sessions already; one must end first`);
}
