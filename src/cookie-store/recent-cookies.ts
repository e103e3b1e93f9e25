import { hash } from "node:crypto";
import type { Opened } from "./entry.ts";
import type { Decrypted } from "./pieces.ts";

interface RecentCookie {
  readonly decrypted: Decrypted;
  /** The session is decoded when a request brings the cookie. Many cookies that are made never come back. */
  opened: Opened | undefined;
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
    const found = newer ?? this.#older.get(key) ?? recentOf(decrypt());
    if (!found) return undefined;
    if (!newer) this.#keep(key, found);
    return (found.opened ??= open(found.decrypted));
  }

  /** @param joined - the pieces that were made of this session. */
  remember(joined: string, decrypted: Decrypted): void {
    this.#keep(keyOf(joined), recentOf(decrypted)!);
  }

  #keep(key: string, recent: RecentCookie): void {
    const bytes = recent.decrypted.plain.length + ENTRY_BYTES;
    this.#bytes += bytes;
    if (this.#bytes > GENERATION_BYTES) {
      this.#older = this.#newer;
      this.#newer = new Map();
      this.#bytes = bytes;
    }
    this.#newer.set(key, recent);
  }
}

function recentOf(decrypted: Decrypted | undefined): RecentCookie | undefined {
  return decrypted && { decrypted, opened: undefined };
}

function keyOf(joined: string): string {
  return hash("sha256", joined, "binary");
}
