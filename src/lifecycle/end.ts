import { endedRecord, storedSession, type LoadedRecord } from "../record/record.ts";
import type { Host } from "../request/request-session.ts";
import { Patience } from "../waiting.ts";

/**
 * Ends a session as it was read: `false` where it has changed or is gone. Compare-and-set comes first, or a sign-in that
 * moves the session in this very moment would live on under its new id. Then the store is told to delete it, which is what
 * notifies others.
 */
export async function endIfUnchanged(host: Host, id: string, base: LoadedRecord, patience: Patience): Promise<boolean> {
  const { store } = host;
  const ended = storedSession(host, id, { ...base, version: base.version + 1, record: endedRecord(base.record) });
  let isEnded: boolean;
  try {
    isEnded = await patience.ask("update", () => store.update(id, ended, base.version));
  } catch {
    // A full disk may have no room for an update, but for a deletion.
    return patience.ask("delete", () => store.delete(id));
  }
  if (!isEnded) return false;
  try {
    await patience.ask("delete", () => store.delete(id));
  } catch (error) {
    await takeBack(host, id, patience, (within) => putBack(host, id, base, within));
    throw error;
  }
  return true;
}

/** How long to wait before each further try to take back what a failing store may have done. */
const PAUSES_MS = [500, 2000, 6000, 20_000];

/**
 * Takes back what may have happened although the store has failed: whoever is told of the failure would otherwise be
 * signed out by it. Returns after the first try; further ones follow in the background, for as long as a short outage takes.
 */
export async function takeBack(
  host: Host,
  id: string,
  patience: Patience,
  undo: (within: Patience) => Promise<unknown>,
): Promise<void> {
  try {
    await undo(patience);
  } catch {
    void tryAgain(host, id, undo);
  }
}

async function tryAgain(host: Host, id: string, undo: (within: Patience) => Promise<unknown>): Promise<void> {
  let failure: unknown;
  for (const pause of PAUSES_MS) {
    await new Promise<void>((resolve) => void setTimeout(resolve, pause).unref());
    try {
      await undo(new Patience(host.storeTimeout));
      return;
    } catch (error) {
      failure = error;
    }
  }
  host.emitter.emit("fault", { id, error: failure });
}

/** Puts a record back, if the one that was to replace it is there. */
export function putBack(host: Host, id: string, former: LoadedRecord, patience: Patience): Promise<boolean> {
  const version = former.version + 2;
  const stored = { ...storedSession(host, id, { ...former, version }), extendOnly: true };
  return patience.ask("update", () => host.store.update(id, stored, former.version + 1));
}
