import type { Keyring } from "./keyring.ts";
import { decryptSession, type LoadedRecord } from "./record.ts";
import type { SessionStore } from "../store.ts";
import { readLatest } from "../capabilities.ts";
import type { Deadline } from "../deadline.ts";
import { andThen, type Answer } from "../coroutine.ts";

interface RecordSource {
  readonly store: SessionStore;
  readonly keyring: Keyring;
}

/**
 * Reads the session `id` from the store, which may have a near cache. Gives `undefined` if there is none.
 *
 * @throws SessionError `ERR_SESSION_STORE`, or `ERR_SESSION_DECODE` if the record can't be decrypted.
 */
export function load(context: RecordSource, id: string, deadline: Deadline): Answer<LoadedRecord | undefined> {
  return andThen(
    deadline.ask(context.store, "read", id),
    (stored) => stored && ignoreEnded(decryptSession(context, id, stored)),
  );
}

/** Reads a session as {@link load} does, but past any near cache. */
export async function loadLatest(
  context: RecordSource,
  id: string,
  deadline: Deadline,
): Promise<LoadedRecord | undefined> {
  const stored = await deadline.run("read", () => readLatest(context.store, id));
  return stored && ignoreEnded(decryptSession(context, id, stored));
}

/** Ignores a session that was ended and will be deleted in a moment. */
function ignoreEnded(loaded: LoadedRecord): LoadedRecord | undefined {
  const { ended } = loaded.record;
  return ended && ended.movedTo === undefined ? undefined : loaded;
}
