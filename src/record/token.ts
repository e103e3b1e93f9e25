import { hash } from "node:crypto";
import type { Keyring } from "./keyring.ts";

/**
 * What the client's cookie carries: `1<id><secret><epoch><signature>`, 81 characters.
 *
 * Id and secret are 128 random bits each, in base64url (22 characters); the epoch, 24 bits, counts the tokens that
 * signing in has killed; the signature is 192 bits of HMAC-SHA256 over all that stands before it. The parts are compared
 * as the characters they came in, so that no other spelling of a token is that token.
 */
export interface Token {
  readonly id: string;
  readonly secret: string;
  readonly epoch: number;
}

const FORMAT = "1";
const PART_LENGTH = 22;
const EPOCH_LENGTH = 4;
const SECRET_END = FORMAT.length + 2 * PART_LENGTH;
const SIGNED_LENGTH = SECRET_END + EPOCH_LENGTH;

/** The length of every token, in characters. */
export const TOKEN_LENGTH = SIGNED_LENGTH + 32;

/** Epochs are counted round this. */
const EPOCH_LIMIT = 2 ** 24;

export function nextEpoch(epoch: number): number {
  return (epoch + 1) % EPOCH_LIMIT;
}

export function signToken(keyring: Keyring, { id, secret, epoch }: Token): string {
  const text = FORMAT + id + secret + Buffer.of(epoch >> 16, epoch >> 8, epoch).toString("base64url");
  return text + keyring.sign(text);
}

/** The token, and whether a previous key signed it; `undefined` for anything that no key of the keyring signed. */
export function verifyToken(keyring: Keyring, value: string): { token: Token; byPreviousKey: boolean } | undefined {
  if (value.length !== TOKEN_LENGTH || value[0] !== FORMAT) return undefined;
  const key = keyring.verify(value.slice(0, SIGNED_LENGTH), value.slice(SIGNED_LENGTH));
  if (key < 0) return undefined;
  const id = value.slice(1, 1 + PART_LENGTH);
  const secret = value.slice(1 + PART_LENGTH, SECRET_END);
  const epoch = Buffer.from(value.slice(SECRET_END, SIGNED_LENGTH), "base64url").readUIntBE(0, 3);
  return { token: { id, secret, epoch }, byPreviousKey: key > 0 };
}

/** What a record keeps of a secret: half of its SHA-256. The secret is random, so that no salt is needed. */
export function hashSecret(secret: string): Buffer {
  return Buffer.from(hash("sha256", secret, "binary").slice(0, 16), "latin1");
}

/** What a record keeps of its current token. */
export function tokenFields({ secret, epoch }: Token): { readonly secretHash: Buffer; readonly epoch: number } {
  return { secretHash: hashSecret(secret), epoch };
}
