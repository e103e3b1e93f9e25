import { Buffer } from "node:buffer";
import type { Content } from "./content.ts";
import type { Pointer } from "./names.ts";

interface Hint {
  pointer: Pointer | undefined;
  content: Content | undefined;
  spare: string | undefined;
}

// What saves listing a shard and reading a file: up to about 15 MB with records of a few hundred bytes.
const MOST_HINTS = 16_384;
const LARGEST_CONTENT = 2048;

/**
 * What a process remembers of the sessions it has met lately. Other processes change them without a word, so nothing
 * here is true until the file system has confirmed that the pointer still stands. As long as it does, so does its
 * content: that is written once.
 */
export function fileHints() {
  const hints = new Map<string, Hint>();

  function at(key: string): Hint {
    const known = hints.get(key);
    if (known !== undefined) return known;
    if (hints.size >= MOST_HINTS) for (const oldest of hints.keys()) if (hints.delete(oldest)) break;
    const hint: Hint = { pointer: undefined, content: undefined, spare: undefined };
    hints.set(key, hint);
    return hint;
  }

  return {
    pointer: (key: string): Pointer | undefined => hints.get(key)?.pointer,

    saw(pointer: Pointer): void {
      at(pointer.key).pointer = pointer;
    },

    /** Its pointer is no longer to be believed. */
    doubt(key: string): void {
      const hint = hints.get(key);
      if (hint !== undefined) hint.pointer = undefined;
    },

    content({ key, nonce }: Pointer): Content | undefined {
      const content = hints.get(key)?.content;
      return content?.nonce === nonce ? content : undefined;
    },

    /** Keeps a copy of a content, if it is small; says nothing about a pointer. */
    keep(key: string, { nonce, id, userId, payload }: Content): void {
      const small = payload.byteLength <= LARGEST_CONTENT;
      at(key).content = small ? { nonce, id, userId, payload: Buffer.from(payload) } : undefined;
    },

    /** The nonce of a content file that is out of use, for one taker. */
    takeSpare(key: string): string | undefined {
      const hint = hints.get(key);
      const spare = hint?.spare;
      if (hint !== undefined) hint.spare = undefined;
      return spare;
    },

    /** `false` where there is a spare already, or nobody who would come for it. */
    giveSpare(key: string, nonce: string): boolean {
      const hint = hints.get(key);
      if (hint === undefined || hint.spare !== undefined) return false;
      hint.spare = nonce;
      return true;
    },

    /** Forgets all, once the session has ended, and gives back its spare. */
    drop(key: string): string | undefined {
      const spare = hints.get(key)?.spare;
      hints.delete(key);
      return spare;
    },

    clear: (): void => hints.clear(),
  };
}
