import { Buffer } from "node:buffer";
import { hash } from "node:crypto";
import type { Opened } from "./entry.ts";
import type { Decrypted } from "./pieces.ts";

/**
 * A session that was encrypted. It is decoded when a request brings the cookie: many cookies that are made never come back. It
 * is text until then. A small buffer keeps a whole pool in memory, and one with memory of its own costs the garbage collector
 * more than all the rest of a session here.
 */
interface Made {
  readonly id: string;
  readonly text: string;
  readonly byPreviousKey: boolean;
}

interface RecentCookie {
  made: Made | undefined;
  opened: Opened | undefined;
  /** Of the session. */
  readonly bytes: number;
}

/** Bytes of the sessions that a generation keeps. */
const GENERATION_BYTES = 2 ** 22;
/** About the memory of a session without its bytes. */
const ENTRY_BYTES = 1536;

/**
 * The sessions that one application has lately decrypted from cookies or encrypted into them, in a few megabytes. A client
 * sends the same cookies until its session changes, and decryption is the largest part of a request that reads.
 *
 * Only the SHA-256 of cookies is kept: memory that leaks gives no cookie away, and the time of a lookup tells nothing about one.
 * Nobody fills it without authentic cookies. There are two generations: a session that is found in the older one moves to
 * the newer, and when that is full, the older one is forgotten.
 */
export class RecentCookies {
  #newer = new Map<string, RecentCookie>();
  #older = new Map<string, RecentCookie>();
  #bytes = 0;

  /**
   * Returns the session of these cookies. Requests share it.
   *
   * @param joined - the pieces of the session, joined.
   * @param decrypt - decrypts them where they are not known.
   */
  find(
    joined: string,
    decrypt: () => Decrypted | undefined,
    open: (decrypted: Decrypted) => Opened | undefined,
  ): Opened | undefined {
    const key = keyOf(joined);
    const newer = this.#newer.get(key);
    const recent = newer ?? this.#older.get(key) ?? recentOf(decrypt(), open);
    if (!recent) return undefined;
    if (!newer) this.#keep(key, recent);
    if (recent.made) {
      recent.opened = open(decryptedOf(recent.made));
      recent.made = undefined;
    }
    return recent.opened;
  }

  /** @param joined - the pieces that were made of this session. */
  remember(joined: string, { id, plain, byPreviousKey }: Decrypted): void {
    const made = { id, text: plain.toString("latin1"), byPreviousKey };
    this.#keep(keyOf(joined), { made, opened: undefined, bytes: plain.length });
  }

  #keep(key: string, recent: RecentCookie): void {
    const bytes = recent.bytes + ENTRY_BYTES;
    this.#bytes += bytes;
    if (this.#bytes > GENERATION_BYTES) {
      this.#older = this.#newer;
      this.#newer = new Map();
      this.#bytes = bytes;
    }
    this.#newer.set(key, recent);
  }
}

function recentOf(
  decrypted: Decrypted | undefined,
  open: (decrypted: Decrypted) => Opened | undefined,
): RecentCookie | undefined {
  return decrypted && { made: undefined, opened: open(decrypted), bytes: decrypted.plain.length };
}

function decryptedOf({ id, text, byPreviousKey }: Made): Decrypted {
  const plain = Buffer.allocUnsafeSlow(text.length);
  plain.write(text, "latin1");
  return { id, plain, byPreviousKey };
}

function keyOf(joined: string): string {
  return hash("sha256", joined, "binary");
}
