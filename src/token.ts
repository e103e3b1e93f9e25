import { hash } from "node:crypto";
import { randomBytesPooled, type Keyring } from "./keyring.ts";

/**
 * What the client's cookie carries: `1<id><secret><signature>`, 77 characters.
 *
 * Id and secret are 128 random bits each, in base64url (22 characters); the signature is 192 bits of HMAC-SHA256 over
 * all that stands before it. The parts are compared as the characters they came in, never decoded, so that no other
 * spelling of a token is that token.
 */
export interface Token {
  readonly id: string;
  readonly secret: string;
}

const FORMAT = "1";
const PART = 22;
const SIGNED = FORMAT.length + 2 * PART;

/** The length of every token, in characters. */
export const TOKEN_LENGTH = SIGNED + 32;

/** 128 random bits as 22 characters. */
export function randomPart(): string {
  return randomBytesPooled(16).toString("base64url");
}

export function signToken(keyring: Keyring, token: Token): string {
  const text = FORMAT + token.id + token.secret;
  return text + keyring.sign(text);
}

/** The token, and whether a previous key signed it; `undefined` for anything that no key of the keyring signed. */
export function verifyToken(keyring: Keyring, value: string): { token: Token; byPreviousKey: boolean } | undefined {
  if (value.length !== TOKEN_LENGTH || value[0] !== FORMAT) return undefined;
  const key = keyring.verify(value.slice(0, SIGNED), value.slice(SIGNED));
  if (key < 0) return undefined;
  const id = value.slice(1, 1 + PART);
  return { token: { id, secret: value.slice(1 + PART, SIGNED) }, byPreviousKey: key > 0 };
}

/** What a record keeps of a secret: half of its SHA-256. The secret is random, so that no salt is needed. */
export function hashSecret(secret: string): Buffer {
  return hash("sha256", secret, "buffer").subarray(0, 16);
}
