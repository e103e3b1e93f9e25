import { endedRecord, loadedRecord, storedSession, type LoadedRecord, type SessionRecord } from "../record/record.ts";
import type { Context } from "../request/request-session.ts";
import { readLatest } from "../capabilities.ts";
import { Deadline } from "../deadline.ts";

/**
 * Ends a session as it was read: `false` where it has changed or is gone. Compare-and-set comes first, or a sign-in that
 * moves the session in this very moment would live on under its new id. Then the store is told to delete it, which is what
 * notifies others.
 */
export async function endIfUnchanged(
  context: Context,
  id: string,
  base: LoadedRecord,
  deadline: Deadline,
): Promise<boolean> {
  const { store } = context;
  const ended = storedSession(context, id, { ...base, version: base.version + 1, record: endedRecord(base.record) });
  let isEnded: boolean;
  try {
    isEnded = await deadline.run("update", () => store.update(id, ended, base.version));
  } catch {
    // A full disk may have no room for an update, but for a deletion.
    return deadline.run("delete", () => store.delete(id));
  }
  if (!isEnded) return false;
  const remove = (within: Deadline) => within.run("delete", () => store.delete(id));
  try {
    await remove(deadline);
  } catch (error) {
    // Whoever is told of the failure goes on being signed in, unless somebody else has ended what was left.
    const isLeft = ({ ended: left }: SessionRecord) => left !== undefined && left.movedTo === undefined;
    const isBack = await putBack(context, id, base, isLeft, new Deadline(Math.min(context.storeTimeout, PUT_BACK_MS)));
    if (!isBack) void tryAgain(context, id, remove);
    throw error;
  }
  return true;
}

/** The longest that a failing request is kept waiting for its session to be put back. */
const PUT_BACK_MS = 1000;

/** Deletes a session that nobody has a token of: now, or as soon as the store can. */
export async function discard(context: Context, id: string, deadline: Deadline): Promise<void> {
  const remove = (within: Deadline) => within.run("delete", () => context.store.delete(id));
  try {
    await remove(deadline);
  } catch {
    void tryAgain(context, id, remove);
  }
}

/** How long to wait before each further try, in the background: as long as a short outage takes. */
const PAUSES_MS = [500, 2000, 6000, 20_000];

async function tryAgain(context: Context, id: string, act: (within: Deadline) => Promise<unknown>): Promise<void> {
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
 * Puts a record back that was replaced although the store has failed: whoever is told of the failure would otherwise be
 * signed out by it. Only the very record that was to replace it gives way.
 *
 * @returns whether it is back; `false` too where the store can't tell.
 */
export async function putBack(
  context: Context,
  id: string,
  former: LoadedRecord,
  isOurs: (record: SessionRecord) => boolean,
  deadline: Deadline,
): Promise<boolean> {
  const { store } = context;
  const replaced = former.version + 1;
  try {
    const found = await deadline.run("read", () => readLatest(store, id));
    if (found?.version !== replaced || !isOurs(loadedRecord(context, id, found).record)) return false;
    const stored = { ...storedSession(context, id, { ...former, version: replaced + 1 }), extendOnly: true };
    return await deadline.run("update", () => store.update(id, stored, replaced));
  } catch {
    return false;
  }
}
