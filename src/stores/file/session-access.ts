import type { StoredSession } from "../../store.ts";
import type { Files } from "./files.ts";
import { fileHints } from "./hints.ts";
import { contentName, createNonceSource, fileIdOf, hashId, type Pointer } from "./names.ts";
import { quarantine } from "./quarantine.ts";
import type { Quarantined } from "./store.ts";
import { decodeSessionFile, encodeSessionFile, type SessionFile } from "./session-file.ts";
import { canOverwriteInPlace, createSpares, type ContentFile } from "./spares.ts";
import { fileUserIndex, type IndexEntry } from "./user-index.ts";
import { quietly } from "../shared/quietly.ts";

interface SessionAccessOptions {
  readonly clock: () => number;
  readonly onQuarantine: (quarantined: Quarantined) => void;
}

/** A content that has no pointer yet. */
export interface WrittenContent {
  readonly nonce: string;
  readonly file: ContentFile;
}

/**
 * Returns functions that find, read and write the files of one session: its pointer, its content and its entry in the user
 * index.
 */
export function createSessionAccess(files: Files, { clock, onQuarantine }: SessionAccessOptions) {
  const userIndex = fileUserIndex(files);
  // A hint is used only after the file system has confirmed it: a rename succeeds, or the pointer exists. The result that
  // there is no session always comes from a listing.
  const hints = fileHints();
  const spares = createSpares();
  const createNonce = createNonceSource();

  const isLive = (pointer: Pointer): boolean => pointer.expiresAt > clock();

  function findPointer(key: string): Pointer | undefined {
    const found = files.find(key);
    if (found === undefined) hints.clearPointer(key);
    else hints.setPointer(found);
    return found;
  }

  /** The pointer of a live session. The pointer may be out of date, but `undefined` is always correct. */
  function findLive(key: string): Pointer | undefined {
    const hint = hints.pointer(key);
    if (hint !== undefined && isLive(hint)) return hint;
    const found = findPointer(key);
    return found !== undefined && isLive(found) ? found : undefined;
  }

  function removeContent(key: string, nonce: string): void {
    quietly(() => files.remove("contents", contentName(key, nonce)));
  }

  function removeSpare(spare: ContentFile | undefined): void {
    if (spare !== undefined) removeContent(spare.key, spare.fileId);
  }

  /** Keeps a content file that has no pointer, so that it can be written again. */
  function keepForReuse(file: ContentFile): void {
    removeSpare(spares.keep(file));
  }

  /** Removes the files that belonged to a removed pointer. Does not throw, because the session has ended already. */
  function removeFilesOf(pointer: Pointer): void {
    removeContent(pointer.key, pointer.nonce);
    hints.delete(pointer.key);
    removeSpare(spares.forget(pointer.key));
    quietly(() => userIndex.remove(pointer));
  }

  const restoreUserEntries = (pointers: readonly Pointer[]): void => quietly(() => userIndex.restore(pointers));

  function cleanUpAfter(pointer: Pointer): void {
    removeFilesOf(pointer);
    restoreUserEntries([pointer]);
  }

  function readSession(key: string, id?: string): { pointer: Pointer; content: SessionFile } | undefined {
    for (let pointer = findLive(key); pointer !== undefined; pointer = findLive(key)) {
      // Reads the content first, and then checks that the pointer still exists. If so, it existed during the whole read,
      // and this is the session's current state: a content is written before its pointer is made, and is not overwritten
      // before its pointer is gone.
      const kept = hints.content(pointer);
      const bytes = kept === undefined ? files.read("contents", contentName(key, pointer.nonce)) : undefined;
      if (files.exists("pointers", pointer.name)) {
        const content =
          kept ?? (bytes === undefined ? "its content is missing" : decodeSessionFile(bytes, pointer.nonce));
        if (typeof content !== "string" && (content.id === id || hashId(content.id) === key)) {
          if (kept === undefined) hints.setContent(key, content);
          return { pointer, content };
        }
        const reason = typeof content === "string" ? content : "it holds another session";
        quarantine(files, pointer, { id, reason, cleanUpAfter, onQuarantine });
      }
      hints.clearPointer(key);
    }
    return undefined;
  }

  return {
    hints,
    userIndex,
    isLive,
    findPointer,
    findLive,
    readSession,
    removeFilesOf,
    restoreUserEntries,
    cleanUpAfter,

    /** Writes a session's content into a spare file, or into a new one. */
    writeContent(key: string, id: string, { userId, payload }: StoredSession): WrittenContent {
      const spare = spares.take(key);
      const isInPlace = spare !== undefined && canOverwriteInPlace(spare, key);
      const nonce = createNonce(isInPlace ? spare.fileId : undefined);
      const bytes = encodeSessionFile({ id, nonce, userId, payload });
      const old = spare && { name: contentName(spare.key, spare.fileId), size: spare.written?.size };
      files.write("contents", contentName(key, nonce), bytes, old);
      return { nonce, file: { key, fileId: fileIdOf(nonce), written: { size: bytes.byteLength, at: Date.now() } } };
    },

    keepForReuse,

    /** Keeps the file of a pointer that this process has replaced. */
    keepReplaced({ key, nonce }: Pointer): void {
      const fileId = fileIdOf(nonce);
      const file = hints.file(key);
      keepForReuse(file?.fileId === fileId ? file : { key, fileId });
    },

    /** Remembers the state that this process has just written. */
    remember(pointer: Pointer, file: ContentFile, id: string, { userId, payload }: StoredSession): void {
      hints.setPointer(pointer);
      hints.setFile(file);
      hints.setContent(pointer.key, { id, nonce: pointer.nonce, userId, payload });
    },

    /** Adds the session to its user's index. Does not throw: the next write adds the entry again. */
    addUserEntry({ userHash, key }: IndexEntry): void {
      quietly(() => userIndex.add(userHash, key));
    },

    removeUserEntry(entry: IndexEntry): void {
      quietly(() => userIndex.remove(entry));
      quietly(() => userIndex.restore([entry]));
    },
  };
}
