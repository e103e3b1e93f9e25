import { Buffer } from "node:buffer";
import type { SessionFile } from "./session-file.ts";
import { fileIdOf, type Pointer } from "./names.ts";

/** A content file that this process has made. No other process ever writes it. */
export interface OwnFile {
  readonly id: string;
  readonly size: number;
  /** By the system's clock, as file times are. */
  readonly writtenAt: number;
}

interface Hint {
  pointer: Pointer | undefined;
  content: SessionFile | undefined;
  /** At most two: the pointer names one of them, or a file of another process. */
  ownFiles: readonly OwnFile[];
}

// With records of a few hundred bytes, this many hints take about 15 MB.
const MAX_HINTS = 16_384;
const MAX_CONTENT_SIZE = 2048;

/**
 * A process's memory of the sessions it used last, which saves listing a shard and reading a file. Other processes change
 * sessions without notice. So a hint is valid only after the file system has confirmed that the pointer still exists. If
 * the pointer exists, its content is valid too, because a content is never written again.
 */
export function fileHints() {
  const hints = new Map<string, Hint>();

  function getOrCreate(key: string): Hint {
    const existing = hints.get(key);
    if (existing !== undefined) return existing;
    if (hints.size >= MAX_HINTS) for (const oldest of hints.keys()) if (hints.delete(oldest)) break;
    const hint: Hint = { pointer: undefined, content: undefined, ownFiles: [] };
    hints.set(key, hint);
    return hint;
  }

  return {
    pointer: (key: string): Pointer | undefined => hints.get(key)?.pointer,

    setPointer(pointer: Pointer): void {
      getOrCreate(pointer.key).pointer = pointer;
    },

    /** Forgets the pointer, because it may be out of date. */
    clearPointer(key: string): void {
      const hint = hints.get(key);
      if (hint !== undefined) hint.pointer = undefined;
    },

    content({ key, nonce }: Pointer): SessionFile | undefined {
      const content = hints.get(key)?.content;
      return content?.nonce === nonce ? content : undefined;
    },

    /** Keeps a copy of a content if it is small. Does not change the pointer. */
    setContent(key: string, { nonce, id, userId, payload }: SessionFile): void {
      const small = payload.byteLength <= MAX_CONTENT_SIZE;
      getOrCreate(key).content = small ? { nonce, id, userId, payload: Buffer.from(payload) } : undefined;
    },

    /** Returns an own file that does not have the content with this nonce, and forgets it. */
    takeOwnFile(key: string, nonce: string): OwnFile | undefined {
      const hint = hints.get(key);
      const used = fileIdOf(nonce);
      const unused = hint?.ownFiles.find(({ id }) => id !== used);
      if (hint !== undefined) hint.ownFiles = hint.ownFiles.filter((file) => file !== unused);
      return unused;
    },

    /** Returns `false` if the session is unknown. */
    addOwnFile(key: string, file: OwnFile): boolean {
      const hint = hints.get(key);
      if (hint === undefined) return false;
      hint.ownFiles = [...hint.ownFiles, file];
      return true;
    },

    /** Forgets a session that has ended. Returns its own files. */
    delete(key: string): readonly OwnFile[] {
      const ownFiles = hints.get(key)?.ownFiles ?? [];
      hints.delete(key);
      return ownFiles;
    },

    clear: (): void => hints.clear(),
  };
}
