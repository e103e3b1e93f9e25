import { Buffer } from "node:buffer";
import type { SessionFile } from "./session-file.ts";
import type { Pointer } from "./names.ts";
import type { ContentFile } from "./spares.ts";

interface Hint {
  pointer: Pointer | undefined;
  content: SessionFile | undefined;
  /** The file to which this process has written last. */
  file: ContentFile | undefined;
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
    const hint: Hint = { pointer: undefined, content: undefined, file: undefined };
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

    file: (key: string): ContentFile | undefined => hints.get(key)?.file,

    setFile(file: ContentFile): void {
      getOrCreate(file.key).file = file;
    },

    delete: (key: string): void => void hints.delete(key),

    clear: (): void => hints.clear(),
  };
}
