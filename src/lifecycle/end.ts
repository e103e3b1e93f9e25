import {
  createEndedRecord,
  decryptSession,
  encryptSession,
  type LoadedRecord,
  type SessionRecord,
} from "../record/record.ts";
import type { Context } from "../context.ts";
import { readLatest } from "../capabilities.ts";
import { Deadline } from "../deadline.ts";

/**
 * Ends a session if it is unchanged. `false` where it has changed or is gone. Compare-and-set comes first: otherwise a
 * sign-in that moves the session in this moment would live on under its new id. The deletion that follows notifies others.
 */
export async function endIfUnchanged(
  context: Context,
  id: string,
  base: LoadedRecord,
  deadline: Deadline,
): Promise<boolean> {
  const { store } = context;
  const ended = encryptSession(context, id, {
    ...base,
    version: base.version + 1,
    record: createEndedRecord(base.record),
  });
  // If it is put back, what others have extended meanwhile has to count.
  const mark = () => deadline.run("update", () => store.update(id, { ...ended, extendOnly: true }, base.version));
  const remove = (within: Deadline) => within.run("delete", () => store.delete(id));
  try {
    if (!(await mark())) return false;
  } catch {
    const found = await deadline.run("read", () => readLatest(store, id));
    const isMarked = found !== undefined && isLeft(decryptSession(context, id, found).record);
    // Another request may have moved the session meanwhile. A deletion would hide where to.
    if (!found || (found.version !== base.version && !isMarked)) return false;
    try {
      if (!isMarked && !(await mark())) return false;
    } catch {
      // A full disk may have no room for an update, and still allow a deletion.
      return remove(deadline);
    }
  }
  try {
    await remove(deadline);
  } catch (error) {
    // The client is told of the failure and stays signed in, unless another request has ended the rest.
    const within = new Deadline(Math.min(context.storeTimeout, PUT_BACK_MS));
    if ((await putBack(context, id, base, isLeft, within)) !== "restored") void retryInBackground(context, id, remove);
    throw error;
  }
  return true;
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
  await deadline.run("delete", () => store.delete(id));
  return true;
}

/** Whether a record was ended and is still to be deleted. */
function isLeft({ ended }: SessionRecord): boolean {
  return ended !== undefined && ended.movedTo === undefined;
}

/** Maximum time that a failing request waits for its session to be put back. */
const PUT_BACK_MS = 1000;

/** Deletes a session whose token nobody has: now, or as soon as the store can. */
export async function discard(context: Context, id: string, deadline: Deadline): Promise<void> {
  const remove = (within: Deadline) => within.run("delete", () => context.store.delete(id));
  try {
    await remove(deadline);
  } catch {
    void retryInBackground(context, id, remove);
  }
}

/** Pauses before the retries in the background. Together they span a short outage. */
const PAUSES_MS = [500, 2000, 6000, 20_000];

async function retryInBackground(
  context: Context,
  id: string,
  act: (within: Deadline) => Promise<unknown>,
): Promise<void> {
  let failure: unknown;
  for (const pause of PAUSES_MS) {
    await new Promise<void>((resolve) => void setTimeout(resolve, pause).unref());
    try {
      await act(new Deadline(context.storeTimeout));
      return;
    } catch (error) {
      failure = error;
    }
  }
  context.emitter.emit("error", { id, error: failure });
}

/**
 * Puts a record back that was replaced although the store reported a failure. Otherwise a client that is told of the
 * failure would be signed out by it. Only the record that this request wrote is replaced.
 *
 * @returns `"uncertain"` where the store reports another failure, and may still restore it later.
 */
export async function putBack(
  context: Context,
  id: string,
  former: LoadedRecord,
  isOurs: (record: SessionRecord) => boolean,
  deadline: Deadline,
): Promise<"restored" | "not restored" | "uncertain"> {
  const { store } = context;
  const replaced = former.version + 1;
  try {
    const found = await deadline.run("read", () => readLatest(store, id));
    if (found?.version !== replaced || !isOurs(decryptSession(context, id, found).record)) return "not restored";
  } catch {
    return "not restored";
  }
  const stored = { ...encryptSession(context, id, { ...former, version: replaced + 1 }), extendOnly: true };
  return deadline
    .run("update", () => store.update(id, stored, replaced))
    .then(
      (isBack) => (isBack ? "restored" : "not restored"),
      () => "uncertain",
    );
}
