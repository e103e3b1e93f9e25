import { SessionError } from "./errors.ts";
import { refuseFormer } from "./lifecycle/refusals.ts";
import { endIfUnchanged, preventPutBack, remove } from "./lifecycle/end.ts";
import { lastSeenAt } from "./lifecycle/timeouts.ts";
import { decryptSession, type Client, type LoadedRecord } from "./record/record.ts";
import type { StoredSession } from "./store.ts";
import { requireCapability, readLatest } from "./capabilities.ts";
import type { Context } from "./context.ts";
import { forEach } from "./concurrency.ts";
import type { Answer } from "./coroutine.ts";
import { Deadline } from "./deadline.ts";

/** One of a user's sessions, as `sessions.list` shows it. */
export interface SessionInfo {
  /** The public id, for `sessions.revoke`. */
  readonly id: string;
  /** The user who signed in. */
  readonly userId: string;
  /** The beginning of the session, in epoch milliseconds, like all times here. */
  readonly createdAt: number;
  /** The time of the sign-in. */
  readonly signedInAt: number;
  /** The time of the last extension. The last request may be up to `touchInterval` later. */
  readonly lastSeenAt: number;
  /** The end of the session without further activity. */
  readonly expiresAt: number;
  /** The option `note` of `signIn`. */
  readonly note: string | undefined;
  /** The value that the option `client` returned for the request that signed in. */
  readonly client: Client | undefined;
  /** Whether this is the session whose id was passed as `current`. */
  readonly isCurrent: boolean;
}

/** The maximum number of a user's sessions, and the effect on a further sign-in. */
export interface UserLimit {
  /** The maximum number of sessions. */
  readonly sessions: number;
  /** `"evict"` ends the user's oldest sign-in, `"refuse"` fails the new one with `ERR_SESSION_LIMIT`. */
  readonly whenFull: "evict" | "refuse";
}

/** One of a user's sessions, as it was read. */
interface LiveSession {
  readonly id: string;
  readonly loaded: LoadedRecord;
}

/** Lists a user's sessions, the latest sign-in first. */
async function list(context: Context, userId: string): Promise<SessionInfo[]> {
  return (await liveSessionsOf(context, userId)).map(({ id, loaded }) => describeSession(context, id, loaded));
}

/**
 * Reads a user's live sessions past any near cache, the latest sign-in first. `deadline` limits the whole. Without it,
 * each call of the store has a `storeTimeout` of its own, because a user may have many sessions.
 */
async function liveSessionsOf(context: Context, userId: string, deadline?: Deadline): Promise<LiveSession[]> {
  const idsOfUser = requireCapability(context.store, "idsOfUser", "listing a user's sessions");
  const run: Deadline["run"] = (what, question) => (deadline ?? new Deadline(context.storeTimeout)).run(what, question);
  const found: LiveSession[] = [];
  await forEach(await run("list", () => idsOfUser(userId)), async (id) => {
    const stored = await run("read", () => readLatest(context.store, id));
    const loaded = stored && decodeIfReadable(context, id, stored);
    // The index may list a session that has just ended, or that belongs to another user by now.
    if (loaded && !loaded.record.ended && loaded.record.userId === userId) found.push({ id, loaded });
  });
  return found.toSorted((a, b) => signedInAt(b) - signedInAt(a) || (a.id < b.id ? -1 : 1));
}

const signedInAt = ({ loaded }: LiveSession): number => loaded.record.signedInAt!;

/** Decodes a record. One that can't be decrypted must neither hide the others nor prevent its user from signing in. */
function decodeIfReadable(context: Context, id: string, stored: StoredSession): LoadedRecord | undefined {
  try {
    return decryptSession(context, id, stored);
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
function revoke(context: Context, id: string, userId: string | undefined): Promise<boolean> {
  return end(context, id, { isMeant: (its) => userId === undefined || its === userId, claimedBy: userId });
}

interface EndOptions {
  /** Decides by the session's user. */
  isMeant(userId: string | undefined): boolean;
  /** The user to whom the id is said to belong. Nothing is deleted before a record has shown it. */
  readonly claimedBy?: string | undefined;
  readonly deadline?: Deadline;
  /** Ids of sessions that stay. */
  readonly spared?: readonly (string | undefined)[];
}

/**
 * Ends the session under an id if it is meant. If its user has signed in again meanwhile, it ends the session under the new
 * id. If that sign-in has failed, it ends the one that was put back.
 */
async function end(
  context: Context,
  id: string,
  { isMeant, claimedBy, deadline = new Deadline(context.storeTimeout), spared = [] }: EndOptions,
): Promise<boolean> {
  const passed = new Set(spared);
  for (;;) {
    const stored = await deadline.run("read", () => readLatest(context.store, id));
    if (!stored) return confirmGone(context, id, claimedBy, deadline);
    const loaded = decodeIfReadable(context, id, stored);
    const { userId, ended } = loaded?.record ?? { userId: stored.userId };
    if (ended) {
      if (!isMeant(ended.userId)) return false;
      claimedBy = undefined;
      if (ended.movedTo === undefined) {
        // A sign-out that fails later must not restore a session that is being revoked.
        if (!(await preventPutBack(context, id, loaded!, deadline))) continue;
        await remove(context, id, deadline);
        return false;
      }
      // Nor may a sign-in that fails later. The record stays, so that other revocations find the new session as well.
      if (!(await preventPutBack(context, id, loaded!, deadline))) continue;
      // A sign-in to a visitor's session goes on.
      if (ended.userId === undefined) return false;
      // A sign-in that is failing leaves two records that name each other.
      passed.add(id);
      if (passed.has(ended.movedTo)) return false;
      id = ended.movedTo;
      // Another user's sign-in has ended the session that is meant.
      isMeant = (its) => its === ended.userId;
    } else {
      if (!isMeant(userId)) return false;
      claimedBy = undefined;
      const announce = () => context.emitter.emit("revoked", { id, userId });
      if (!loaded) {
        const isEnded = (await remove(context, id, deadline)) !== false;
        if (isEnded) announce();
        return isEnded;
      }
      if ((await endIfUnchanged(context, id, loaded, deadline, announce)) !== "changed") return true;
    }
  }
}

/**
 * There is no session under the id. An earlier call may have ended it, and failed: a store that waits for replicas waits for
 * that end now. `true` if a session that was stored meanwhile has ended.
 */
async function confirmGone(
  context: Context,
  id: string,
  claimedBy: string | undefined,
  deadline: Deadline,
): Promise<boolean> {
  const { store } = context;
  if (claimedBy !== undefined) {
    // Another user's session may be stored under the id in this moment. The listing waits for replicas, too.
    if (store.idsOfUser) await deadline.run("list", () => store.idsOfUser!(claimedBy));
    return false;
  }
  const isEnded = (await remove(context, id, deadline)) === true;
  if (isEnded) context.emitter.emit("revoked", { id, userId: undefined });
  return isEnded;
}

/**
 * Ends all sessions of a user except `except`, and returns their number. Every session that existed when it began has
 * ended when it returns: the index lists a session from before it is visible until after it has ended.
 *
 * @throws SessionError with the ids of the sessions that may live on.
 */
async function revokeAll(context: Context, userId: string, except?: string): Promise<number> {
  const idsOfUser = requireCapability(context.store, "idsOfUser", "revoking a user's sessions");
  // First: a session that is adopted in this moment is either listed, or finds this.
  await refuseFormer(context, userId);
  const ids = await new Deadline(context.storeTimeout).run("list", () => idsOfUser(userId));
  const spared = [except, storedIdOf(context, except)];
  const left = new Set(ids.filter((id) => !spared.includes(id)));
  try {
    return await revokeEach([...left], async (id) => {
      // Somebody who can write to the store may have put another user's session under this user: that one stays.
      const isEnded = await end(context, id, { isMeant: (its) => its === userId, spared });
      left.delete(id);
      return isEnded;
    });
  } catch (cause) {
    throw new SessionError("ERR_SESSION_STORE", `${left.size} of the user's sessions could not be ended; call again`, {
      cause,
      notEnded: [...left],
    });
  }
}

/** The id under which a session is still stored, while the request that signs it in has its new id already. */
export function storedIdOf(context: Context, id: string | undefined): string | undefined {
  return id === undefined ? undefined : (context.moves.get(id) ?? id);
}

/** Ends as many sessions as possible, and throws the first error at the end. */
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

/** Ends every session in the store, and returns their number. */
async function revokeEverything(context: Context): Promise<number> {
  const all = requireCapability(context.store, "all", "revoking everything");
  await refuseFormer(context);
  let ended = 0;
  // A walk may miss a session that is updated meanwhile, so it is repeated until it finds nothing.
  for (let before = -1; before < ended;) {
    before = ended;
    ended += await revokeEach(all(), (id) => revoke(context, id, undefined));
  }
  return ended;
}

/** The steps of a sign-in. */
interface SigningIn {
  /** Stores the new session. @param after - its `signedInAt` must be later than this. */
  store(after: number): Answer<void>;
  /** Marks the new session as counted. `false` if somebody has ended it. */
  admit(): Promise<boolean>;
  /** Ends the former session, if there was one. `false` if that continues. */
  finish(): Answer<boolean>;
}

/**
 * Signs in within the user's limit. In one process, sign-ins of one user run one after the other. Several processes may
 * store sign-ins before any of them is counted. Then each process ranks all of them in the same order, so that exactly
 * as many stay as the limit allows. After an error, the caller removes the session that was stored.
 *
 * @param former - the id of the session that this sign-in replaces. It does not count.
 * @throws SessionError `ERR_SESSION_LIMIT` if the limit refuses the sign-in.
 */
export async function withinLimit(
  context: Context,
  limit: UserLimit,
  { userId, id, former }: { userId: string; id: string; former: string | undefined },
  deadline: Deadline,
  signingIn: SigningIn,
): Promise<void> {
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
    // The former session continues with a token that another request got, so it counts.
    const all = await liveSessionsOf(context, userId, deadline);
    if (limit.whenFull === "evict") await evict(context, userId, limit, all, deadline);
    else if (all.length > limit.sessions) throw createLimitError(limit);
  });
}

/** Ends the oldest sign-ins beyond the limit. */
async function evict(
  context: Context,
  userId: string,
  limit: UserLimit,
  latestFirst: readonly LiveSession[],
  deadline: Deadline,
): Promise<void> {
  for (const { id } of latestFirst.slice(limit.sessions))
    await end(context, id, { isMeant: (its) => its === userId, deadline });
}

/**
 * Whether a stored sign-in is within the limit. Sessions that were counted before stay. Of the others, the earliest
 * stay, and end the later ones, which may not have ranked themselves yet.
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
    if ((await endIfUnchanged(context, beyond.id, beyond.loaded, deadline, () => {})) !== "changed") continue;
    // It was counted or removed in between.
    if (await deadline.run("read", () => readLatest(context.store, beyond.id))) return false;
  }
  return true;
}

function createLimitError(limit: UserLimit): SessionError {
  return new SessionError("ERR_SESSION_LIMIT", `This user has ${limit.sessions} sessions already; one must end first`);
}

/** The operations on sessions beside requests. */
export interface UserOperations {
  list(context: Context, userId: string): Promise<SessionInfo[]>;
  revoke(context: Context, id: string, userId: string | undefined): Promise<boolean>;
  /** Gives the number of sessions that it has ended. `undefined` where nobody knows it. */
  revokeAll(context: Context, userId: string, except?: string): Promise<number | undefined>;
  revokeEverything(context: Context): Promise<number>;
}

/** Those of sessions in a store. */
export const storedUsers: UserOperations = { list, revoke, revokeAll, revokeEverything };
