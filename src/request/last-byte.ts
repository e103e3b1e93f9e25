/**
 * Holds back the last byte of a body whose length was declared. That byte completes the response for the client, whatever
 * follows; without a length, only the end does. The byte is a copy, because the program may use its buffer again.
 */
export class LastByte {
  #left: number;
  #held: Uint8Array | undefined;

  /** @param length - of the whole body. */
  constructor(length: number) {
    this.#left = length;
  }

  /** The number of bytes that are still to come. */
  get left(): number {
    return this.#left;
  }

  /** The byte that was held back. */
  get held(): Uint8Array | undefined {
    return this.#held;
  }

  /** Whether a chunk of this size may leave as it is. It is counted then. */
  passes(size: number): boolean {
    if (size >= this.#left) return false;
    this.#left -= size;
    return true;
  }

  /**
   * The part of a chunk that may leave now, where {@link passes} has said no: all before the last byte. Bytes beyond the
   * declared length belong to no response (RFC 9110, section 8.6), and are left out.
   */
  hold(chunk: Uint8Array): Uint8Array {
    if (this.#left === 0) return EMPTY;
    const last = this.#left - 1;
    this.#held = Uint8Array.of(chunk[last]!);
    this.#left = 0;
    return chunk.subarray(0, last);
  }
}

const EMPTY = new Uint8Array();

/** Reads a Content-Length. `undefined` where nothing is to be held back: there is none, or no body. */
export function lastByteOf(contentLength: unknown): LastByte | undefined {
  const length = Number(contentLength ?? 0);
  return Number.isSafeInteger(length) && length > 0 ? new LastByte(length) : undefined;
}
