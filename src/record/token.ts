import { hash } from "node:crypto";
import { createRandomParts } from "../random.ts";
import type { Keyring } from "./keyring.ts";
import type { Verified } from "./verified-tokens.ts";

/**
 * The content of the client's cookie, or of its header, where another character stands for the 1: `1<id><secret><epoch><signature>`, 81 characters.
 *
 * The id and the secret are 128 random bits each, in base64url (22 characters). The epoch has 24 bits, and counts the
 * tokens that signing in has invalidated. The signature is 192 bits of HMAC-SHA256 over everything before it. The parts
 * are compared as characters, so that another spelling of the same bits is not accepted.
 */
export interface Token {
  readonly id: string;
  readonly secret: string;
  readonly epoch: number;
}

/** A token with a valid signature. */
export interface VerifiedToken extends Omit<Verified, "id"> {
  readonly token: Token;
}

const FORMAT = "1";
const PART_LENGTH = 22;
const EPOCH_LENGTH = 4;
/** Of RFC 4648, section 5. */
const BASE64URL = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const SECRET_END = FORMAT.length + 2 * PART_LENGTH;
const SIGNED_LENGTH = SECRET_END + EPOCH_LENGTH;

/** The length of every token in characters. */
export const TOKEN_LENGTH = SIGNED_LENGTH + 32;

/** After this number, epochs begin at 0 again. */
const EPOCH_LIMIT = 2 ** 24;

export function nextEpoch(epoch: number): number {
  return (epoch + 1) % EPOCH_LIMIT;
}

/** Whether a text has the form of a session's id. */
export function isSessionId(text: string): boolean {
  return /^[\w-]{22}$/.test(text);
}

/** The token of a new session. */
export function createToken(): Token {
  const [id, secret] = createRandomParts();
  return { id, secret, epoch: 1 };
}

/** @param format - the first character. Tokens of one format are not accepted in place of another. */
export function signToken(keyring: Keyring, { id, secret, epoch }: Token, format = FORMAT): string {
  let text = format + id + secret;
  for (let bits = 18; bits >= 0; bits -= 6) text += BASE64URL[(epoch >> bits) & 63];
  return text + keyring.sign(text);
}

/**
 * Parses a token. Returns `undefined` if no key of the keyring signed it. Otherwise it tells whether a previous key did, and
 * gives the hash of the secret.
 */
export function verifyToken(keyring: Keyring, value: string, format = FORMAT): VerifiedToken | undefined {
  if (value.length !== TOKEN_LENGTH || value[0] !== format) return undefined;
  const verified = keyring.verified.find(value, () => check(keyring, value));
  if (!verified) return undefined;
  const { id, tokenByPreviousKey, secretHash } = verified;
  let epoch = 0;
  for (let at = SECRET_END; at < SIGNED_LENGTH; at++) epoch = epoch * 64 + BASE64URL.indexOf(value[at]!);
  const token = { id, secret: secretIn(value), epoch };
  return { token, tokenByPreviousKey, secretHash };
}

function check(keyring: Keyring, value: string): Verified | undefined {
  const key = keyring.verify(value.slice(0, SIGNED_LENGTH), value.slice(SIGNED_LENGTH));
  if (key < 0) return undefined;
  // Copies: a part of a string would keep the whole in memory, and a slice of a pool the pool.
  const id = Buffer.from(value.slice(1, 1 + PART_LENGTH), "latin1").toString("latin1");
  return { id, tokenByPreviousKey: key > 0, secretHash: new Uint8Array(hashSecret(secretIn(value))) };
}

function secretIn(value: string): string {
  return value.slice(1 + PART_LENGTH, SECRET_END);
}

/** Hashes a secret for its record: half of its SHA-256. The secret is random, so no salt is needed. */
export function hashSecret(secret: string): Uint8Array {
  return Buffer.from(hash("sha256", secret, "binary").slice(0, 16), "latin1");
}

/** The fields of a record that identify its current token. */
export function tokenFields({ secret, epoch }: Token): { readonly secretHash: Uint8Array; readonly epoch: number } {
  return { secretHash: hashSecret(secret), epoch };
}
