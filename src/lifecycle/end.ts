import { timingSafeEqual } from "node:crypto";
import {
  createEndedRecord,
  decryptSession,
  encryptSession,
  type LoadedRecord,
  type SessionRecord,
} from "../record/record.ts";
import type { Context } from "../context.ts";
import { SessionError } from "../errors.ts";
import type { FormerSessions } from "../former.ts";
import { readLatest } from "../capabilities.ts";
import { Deadline } from "../deadline.ts";

/** The result of an attempt to end a session. `"gone"`: it has ended, by this call or another, and the store confirms it. */
export type EndOutcome = "ended" | "gone" | "changed";

/**
 * Ends a session if it is unchanged. `"changed"` also where it is gone before this call does anything. Compare-and-set comes
 * first: otherwise a sign-in that moves the session in this moment would live on under its new id. The deletion that follows
 * notifies others.
 *
 * @param announce - is called once the session has ended. That may come after a rejection: what can't be put back ends.
 * @throws SessionError ERR_SESSION_STORE. The session is as it was, if the store could put it back.
 */
export async function endIfUnchanged(
  context: Context,
  id: string,
  base: LoadedRecord,
  deadline: Deadline,
  announce: () => void,
): Promise<EndOutcome> {
  await endFormer(context, base.record, deadline);
  const record = createEndedRecord(base.record);
  // Another request may be ending it at the same moment: only the own mark is taken back.
  const isOurs = ({ secretHash }: SessionRecord) => timingSafeEqual(secretHash, record.secretHash);
  const putItBack = () => putBack(context, id, base, isOurs, deadline.forUndo);
  const next = { ...base, version: base.version + 1, record };
  const marked = await markEnded(context, id, next, isOurs, deadline).catch(async (error: unknown) => {
    await putItBack();
    throw error;
  });
  if (marked === "unchanged") return "changed";
  let isEnded: boolean | undefined;
  try {
    isEnded = await remove(context, id, deadline);
  } catch (error) {
    if (!(await takeBackOrFinish(context, id, putItBack, deadline.forUndo, announce))) throw error;
  }
  // Without the mark, another request may have ended it.
  if (marked === "no room" && isEnded === false) return "changed";
  announce();
  return isEnded ? "ended" : "gone";
}

/**
 * Ends the former session whose place a session has taken. It comes before the end of that session, so that nobody is told of a
 * sign-out while the former cookie still opens something.
 *
 * @throws SessionError ERR_SESSION_STORE
 */
export async function endFormer(context: Context, { formerly }: SessionRecord, deadline: Deadline): Promise<void> {
  const source = formerly && context.former?.find(({ name }) => name === formerly.source);
  if (!source?.end) return;
  const { key } = formerly!;
  await deadline.run("end", () => fromFormer(source, "end", async () => source.end!(key)));
}

/** Asks a source, and names it where it fails. */
export async function fromFormer<T>({ name }: FormerSessions, what: string, ask: () => Promise<T>): Promise<T> {
  try {
    return await ask();
  } catch (cause) {
    const reason = cause instanceof Error && cause.message ? `: ${cause.message}` : "";
    throw new SessionError("ERR_SESSION_STORE", `adopt: ${name} failed to ${what} a former session${reason}`, {
      cause,
    });
  }
}

/** Marks a record as ended. `"no room"`: the store refuses updates. A full disk may still allow a deletion. */
async function markEnded(
  context: Context,
  id: string,
  next: LoadedRecord,
  isOurs: (record: SessionRecord) => boolean,
  deadline: Deadline,
): Promise<"marked" | "unchanged" | "no room"> {
  const { store } = context;
  const before = next.version - 1;
  const ended = encryptSession(context, id, next);
  // If it is put back, what others have extended meanwhile has to count.
  const mark = () => deadline.run("update", () => store.update(id, { ...ended, extendOnly: true }, before));
  try {
    return (await mark()) ? "marked" : "unchanged";
  } catch {
    const found = await deadline.run("read", () => readLatest(store, id));
    if (found?.version === next.version && isOurs(decryptSession(context, id, found).record)) return "marked";
    // Another request may have ended or moved the session meanwhile. A deletion would hide where to.
    if (found?.version !== before) return "unchanged";
    return mark().then(
      (isMarked) => (isMarked ? "marked" : "unchanged"),
      () => "no room",
    );
  }
}

/**
 * After a deletion that has failed: the client is told of it and stays signed in, unless another request has ended the
 * rest. `true` if the session is gone after all, and the store confirms it.
 */
async function takeBackOrFinish(
  context: Context,
  id: string,
  putItBack: () => ReturnType<typeof putBack>,
  deadline: Deadline,
  announce: () => void,
): Promise<boolean> {
  const outcome = await putItBack();
  if (outcome === "restored") return false;
  if (outcome === "gone") {
    const isConfirmed = await remove(context, id, deadline).then(
      () => true,
      () => false,
    );
    if (isConfirmed) return true;
    announce();
  }
  void retryInBackground(context, id, (later) => remove(context, id, later)).then((isDone) => {
    if (isDone && outcome !== "gone") announce();
  });
  return false;
}

/**
 * Deletes a session. If the store reports a failure, the call is repeated once: it may have had its effect, and a store that
 * waits for replicas waits for that effect then.
 *
 * @returns whether this call has ended a live session. `undefined`: the first call may have done so.
 */
export async function remove(context: Context, id: string, deadline: Deadline): Promise<boolean | undefined> {
  const attempt = () => deadline.run("delete", () => context.store.delete(id));
  try {
    return await attempt();
  } catch {
    return (await attempt()) || undefined;
  }
}

/**
 * Gives a record another version. A request that fails puts back only what it replaced in its own version, so it can't undo
 * what others have done since. `false` if the record has changed.
 */
export function preventPutBack(
  context: Context,
  id: string,
  loaded: LoadedRecord,
  deadline: Deadline,
): Promise<boolean> {
  const stored = encryptSession(context, id, { ...loaded, version: loaded.version + 1 });
  const { store } = context;
  return deadline.run("update", () => store.update(id, { ...stored, extendOnly: true }, loaded.version));
}

/**
 * Ends for good a session that another request is ending, or that has expired. `false` if that request has failed and has
 * put it back. Compare-and-set comes first: a session that is put back may be moved by a sign-in, and a deletion would hide
 * where to.
 */
export async function finishEnd(context: Context, id: string, deadline: Deadline): Promise<boolean> {
  const { store } = context;
  const stored = await deadline.run("read", () => readLatest(store, id));
  if (stored) {
    const loaded = decryptSession(context, id, stored);
    if (isLeft(loaded.record)) {
      if (!(await preventPutBack(context, id, loaded, deadline))) return false;
    } else if (loaded.expiresAt > context.now()) return false;
  }
  await remove(context, id, deadline);
  return true;
}

/** Whether a record was ended and is still to be deleted. */
function isLeft({ ended }: SessionRecord): boolean {
  return ended !== undefined && ended.movedTo === undefined;
}

/** Deletes a session whose token nobody has: now, or as soon as the store can. */
export async function discard(context: Context, id: string, deadline: Deadline): Promise<void> {
  try {
    await remove(context, id, deadline);
  } catch {
    void retryInBackground(context, id, (later) => remove(context, id, later));
  }
}

/** Pauses before the retries in the background. Together they span a short outage. */
const PAUSES_MS = [500, 2000, 6000, 20_000];

/** @returns whether it was done in the end. It never rejects. */
export async function retryInBackground(
  context: Context,
  id: string,
  act: (within: Deadline) => Promise<unknown>,
): Promise<boolean> {
  let failure: unknown;
  for (const pause of PAUSES_MS) {
    await new Promise<void>((resolve) => void setTimeout(resolve, pause).unref());
    try {
      await act(new Deadline(context.storeTimeout));
      return true;
    } catch (error) {
      failure = error;
    }
  }
  context.emitter.emit("error", { id, error: failure });
  return false;
}

/**
 * Puts a record back that was replaced although the store reported a failure. Otherwise a client that is told of the
 * failure would be signed out by it. Only the record that this request wrote is replaced.
 *
 * @returns `"changed"` where others have replaced it since, `"gone"` where there is no record, `"uncertain"` where the store
 * reports another failure, and may still restore it later.
 */
export async function putBack(
  context: Context,
  id: string,
  former: LoadedRecord,
  isOurs: (record: SessionRecord) => boolean,
  deadline: Deadline,
): Promise<"restored" | "changed" | "gone" | "uncertain"> {
  const { store } = context;
  const replaced = former.version + 1;
  try {
    const found = await deadline.run("read", () => readLatest(store, id));
    if (!found) return "gone";
    if (found.version !== replaced || !isOurs(decryptSession(context, id, found).record)) return "changed";
    const stored = { ...encryptSession(context, id, { ...former, version: replaced + 1 }), extendOnly: true };
    return (await deadline.run("update", () => store.update(id, stored, replaced))) ? "restored" : "changed";
  } catch {
    return "uncertain";
  }
}
