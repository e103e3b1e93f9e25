import { Buffer } from "node:buffer";

interface RecentRecord {
  readonly encrypted: string;
  readonly plain: string;
}

/** Characters of the records that a generation keeps, each of one byte. */
const GENERATION_CHARACTERS = 2 ** 21;
/** A larger record is not kept: copying it costs about as much as decrypting it. */
const MAX_CHARACTERS = 2 ** 13;
/** About the memory of an entry without its texts. */
const ENTRY_CHARACTERS = 2 ** 8;

/**
 * The records that this process has lately encrypted or decrypted, in a few megabytes. Most records are read again
 * unchanged. One that has the same id and the same bytes, each of them, has the same content: it need not be decrypted again.
 *
 * There are two generations. A record that is found in the older one moves to the newer. When that is full, the older one is
 * forgotten. The texts are strings because a small buffer keeps a whole pool in memory.
 */
export class RecentRecords {
  #newer = new Map<string, RecentRecord>();
  #older = new Map<string, RecentRecord>();
  #characters = 0;

  /** Returns a copy of the record that was encrypted as exactly these bytes for this id. */
  find(id: string, encrypted: Uint8Array): Uint8Array | undefined {
    const newer = this.#newer.get(id);
    const found = newer ?? this.#older.get(id);
    if (found?.encrypted.length !== encrypted.length || found.encrypted !== textOf(encrypted)) return undefined;
    if (!newer) this.#keep(id, found);
    return Buffer.from(found.plain, "latin1");
  }

  /** @param encrypted - bytes that are known to be authentic for this id. */
  remember(id: string, encrypted: Uint8Array, plain: Uint8Array): void {
    if (encrypted.length + plain.length <= MAX_CHARACTERS)
      this.#keep(id, { encrypted: textOf(encrypted), plain: textOf(plain) });
  }

  #keep(id: string, record: RecentRecord): void {
    const replaced = this.#newer.get(id);
    this.#characters += charactersOf(record) - (replaced ? charactersOf(replaced) : 0);
    if (this.#characters > GENERATION_CHARACTERS) {
      this.#older = this.#newer;
      this.#newer = new Map();
      this.#characters = charactersOf(record);
    }
    this.#newer.set(id, record);
  }
}

function charactersOf({ encrypted, plain }: RecentRecord): number {
  return encrypted.length + plain.length + ENTRY_CHARACTERS;
}

function textOf(bytes: Uint8Array): string {
  const buffer = Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return buffer.toString("latin1");
}
