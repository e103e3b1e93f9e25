import { hash } from "node:crypto";

/** The result of a check that is remembered. */
export interface Verified {
  /** The public id. Whoever keeps it keeps nothing else of the request's Cookie header, in which the token came. */
  readonly id: string;
  readonly tokenByPreviousKey: boolean;
  /** Of the token's secret, as its record has it. */
  readonly secretHash: Uint8Array;
}

/** Number of tokens in a generation: about 1 MB. */
const GENERATION = 4096;

/**
 * The tokens whose signature this process has lately verified. A client sends the same token with each request, and the check of
 * a signature is the largest part of a request that reads.
 *
 * Only hashes of tokens, and public ids, are kept: memory that leaks gives no token away, and the time of a lookup tells nothing about a
 * token. Nobody fills it without valid tokens. There are two generations: a token that is found in the older one moves to
 * the newer, and when that is full, the older one is forgotten.
 */
export class VerifiedTokens {
  #newer = new Map<string, Verified>();
  #older = new Map<string, Verified>();

  /** Returns what `check` returns for this token, now or lately. `undefined` is not remembered. */
  find(token: string, check: () => Verified | undefined): Verified | undefined {
    const key = hash("sha256", token, "binary");
    const known = this.#newer.get(key);
    if (known) return known;
    const found = this.#older.get(key) ?? check();
    if (!found) return undefined;
    if (this.#newer.size >= GENERATION) {
      this.#older = this.#newer;
      this.#newer = new Map();
    }
    this.#newer.set(key, found);
    return found;
  }
}
