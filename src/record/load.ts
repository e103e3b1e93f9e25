import type { Keyring } from "./keyring.ts";
import { loadedRecord, type LoadedRecord } from "./record.ts";
import type { SessionStore } from "../store.ts";
import { readLatest } from "../capabilities.ts";
import type { Deadline } from "../deadline.ts";

interface RecordSource {
  readonly store: SessionStore;
  readonly keyring: Keyring;
}

/**
 * The session `id` as the store answers, which may be from a near cache; `undefined` where there is none.
 *
 * @throws SessionError ERR_SESSION_STORE, or ERR_SESSION_DECODE where the record can't be opened.
 */
export async function load(context: RecordSource, id: string, deadline: Deadline): Promise<LoadedRecord | undefined> {
  const stored = await deadline.run("read", () => context.store.read(id));
  return stored && ignoreEnded(loadedRecord(context, id, stored));
}

/** As {@link load}, past any near cache. */
export async function loadLatest(
  context: RecordSource,
  id: string,
  deadline: Deadline,
): Promise<LoadedRecord | undefined> {
  const stored = await deadline.run("read", () => readLatest(context.store, id));
  return stored && ignoreEnded(loadedRecord(context, id, stored));
}

/** A session that was ended is deleted in the next moment: until then it counts as gone already. */
function ignoreEnded(loaded: LoadedRecord): LoadedRecord | undefined {
  const { ended } = loaded.record;
  return ended && ended.movedTo === undefined ? undefined : loaded;
}
