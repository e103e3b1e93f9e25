import {
  createCipheriv,
  createDecipheriv,
  createHmac,
  createSecretKey,
  hkdfSync,
  timingSafeEqual,
  type KeyObject,
} from "node:crypto";
import { createDecodeError } from "../errors.ts";
import { createNonce } from "../random.ts";
import { RecentRecords } from "./recent-records.ts";
import { VerifiedTokens } from "./verified-tokens.ts";

/**
 * One secret key, or a list of the current key and the previous keys that are still accepted. Each has at least 32 bytes; a
 * string counts in UTF-8.
 */
export type SecretKey = string | Uint8Array | readonly (string | Uint8Array)[];

/**
 * Signs and encrypts with keys that are derived from the current secret key, and accepts those of the previous keys.
 */
export interface Keyring {
  /** Signs `text` with the current key: 32 characters, 192 bits. */
  sign(text: string): string;
  /** Returns the index of the key that made `signature`: 0 for the current key, -1 for none. */
  verify(text: string, signature: string): number;
  /**
   * Derives the secrets that may follow `secret` in this session: with the current key first, then with the previous
   * ones.
   */
  successors(id: string, secret: string): string[];
  /** Derives ids and secrets for the adoption of former sessions: with the current key first, then with the previous ones. */
  adoption(...parts: readonly string[]): string[];
  /** Encrypts and authenticates a record. It can be decrypted under the same id only. */
  encrypt(id: string, plain: Uint8Array): Uint8Array;
  /** Decrypts a record, and tells whether a previous key encrypted it. */
  decrypt(id: string, encrypted: Uint8Array): { plain: Uint8Array; byPreviousKey: boolean };
  /** What the current key has encrypted or decrypted lately. */
  readonly recent: RecentRecords;
  /** The tokens whose signature was verified lately. */
  readonly verified: VerifiedTokens;
}

const SIGNATURE_LENGTH = 32;
/** Every request with a cookie compares two signatures. Nothing runs in between, so these bytes can be shared. */
const PRESENTED = Buffer.alloc(SIGNATURE_LENGTH);
const COMPUTED = Buffer.alloc(SIGNATURE_LENGTH);
/** Records of a group of ids have one key. */
const GROUP_FORMAT = 2;
/** Earlier versions wrote it, with a key for each record. It is still decrypted. */
const SINGLE_FORMAT = 1;
const KEY_ID_BYTES = 4;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const PREFIX_BYTES = 1 + KEY_ID_BYTES + NONCE_BYTES;
const KEYGEN = "make one with: npx sojourn keygen";

/** Words of placeholders. They are so long that a random key does not contain one by chance. */
const PLACEHOLDERS =
  /change[-_ ]?(me|this|it)|your[-_ ]?(secret|key)|secret[-_ ]?key|(my|super|top)[-_ ]?secret|password|placeholder|keyboard[-_ ]?cat|insecure|replace[-_ ]?(me|this)|temporary[-_ ]?key|example[-_ ]?key|default[-_ ]?key|qwertyuiop|averylogphrase|string[-_ ]secret|a secret with|c292a0a3aa32397cdb050e233733900f/i;

/**
 * Returns the bytes of a key.
 *
 * @throws TypeError for a key that can be guessed, with the reason and the command that makes a good one.
 */
function checkKey(key: unknown, option: string): Buffer {
  if (key === undefined || key === null || key === "") {
    throw new TypeError(`${option} is missing; ${KEYGEN}, and keep it in the environment as SECRET_KEY`);
  }
  if (typeof key !== "string" && !(key instanceof Uint8Array)) {
    throw new TypeError(`${option} must be a string or bytes; ${KEYGEN}`);
  }
  const bytes = Buffer.from(key as string);
  if (typeof key === "string") checkForm(key, option);
  if (bytes.length < 32) throw new TypeError(`${option} is too short (${bytes.length} bytes, at least 32); ${KEYGEN}`);
  if (PLACEHOLDERS.test(bytes.toString("latin1"))) throw new TypeError(`${option} is a placeholder; ${KEYGEN}`);
  if (isGuessable(bytes)) throw new TypeError(`${option} is too easy to guess; ${KEYGEN}`);
  return bytes;
}

/**
 * Refuses a key that was not read as it was meant: with it, everybody would be signed out without a word.
 */
function checkForm(key: string, option: string): void {
  if (key !== key.trim()) {
    throw new TypeError(
      `${option} begins or ends with white space or a line break, which would count as a part of it: use .trim(), and in a list .split(",").map((key) => key.trim())`,
    );
  }
  if (/^(["']).*\1$/s.test(key)) {
    throw new TypeError(`${option} is in quotes, which would count as a part of it: remove them where it is set`);
  }
  const parts = key.split(/[\s,]+/).filter((part) => part !== "");
  if (parts.length > 1 && parts.every((part) => Buffer.byteLength(part) >= 32)) {
    throw new TypeError(
      `${option} has several keys in one string: give a list of them, such as .split(",").map((key) => key.trim())`,
    );
  }
}

/**
 * Whether a key has few different bytes, a repeated part, or a run such as "abcdef" or "a1b2c3", in hexadecimal too.
 */
function isGuessable(bytes: Buffer): boolean {
  const counts = new Map<number, number>();
  for (const byte of bytes) counts.set(byte, (counts.get(byte) ?? 0) + 1);
  let bits = 0;
  for (const count of counts.values()) bits += count * Math.log2(bytes.length / count);
  if (bits < 80 || isRegular(bytes)) return true;
  const text = bytes.toString("latin1");
  return /^(?:[0-9a-f]{2})+$/i.test(text) && isRegular(Buffer.from(text, "hex"));
}

function isRegular(bytes: Buffer): boolean {
  for (let period = 1; period <= bytes.length / 2; period++) {
    if (bytes.subarray(period).equals(bytes.subarray(0, bytes.length - period))) return true;
  }
  return [1, 2].some((stride) => {
    let steady = 0;
    for (let i = 2 * stride; i < bytes.length; i++) {
      const step = bytes[i]! - bytes[i - stride]!;
      const before = bytes[i - stride]! - bytes[i - 2 * stride]!;
      if (step === before) steady++;
    }
    return steady > bytes.length / 2;
  });
}

interface DerivedKey {
  /** Names the key in the records that it encrypted. */
  readonly id: number;
  readonly signing: KeyObject;
  readonly rotating: KeyObject;
  readonly adopting: KeyObject;
  /** Of its HMACs the keys of the groups are made. */
  readonly groups: KeyObject;
  /** The keys of the groups that were used so far. */
  readonly groupKeys: KeyObject[];
  /** Of its HMACs the keys of single records are made. */
  readonly singles: KeyObject;
}

/**
 * Derives the keys for signing and for encryption from every secret key by HKDF-SHA256 (RFC 5869). The derivation
 * includes the cookie's name, so that another application or cookie with the same secret key accepts neither tokens nor
 * records.
 *
 * @throws TypeError if a secret key is missing, short, guessable or a placeholder.
 */
export function createKeyring(secretKey: SecretKey | undefined, cookieName: string): Keyring {
  const many = Array.isArray(secretKey);
  const secrets: unknown[] = many ? secretKey : [secretKey];
  if (secrets.length === 0) throw new TypeError(`secretKey is an empty list; ${KEYGEN}`);
  const keys = secrets.map((secret, i) =>
    deriveKey(checkKey(secret, many ? `secretKey[${i}]` : "secretKey"), cookieName),
  );
  if (new Set(keys.map((key) => key.id)).size < keys.length) {
    throw new TypeError("secretKey lists the same key twice; leave the current one out of the previous ones");
  }
  const current = keys[0]!;

  return {
    recent: new RecentRecords(),
    verified: new VerifiedTokens(),

    sign: (text) => computeSignature(current, text),

    verify(text, presented) {
      // A character of several bytes makes the bytes differ from every signature's.
      if (presented.length !== SIGNATURE_LENGTH || PRESENTED.write(presented) !== SIGNATURE_LENGTH) return -1;
      return keys.findIndex((key) => {
        COMPUTED.write(computeSignature(key, text));
        return timingSafeEqual(COMPUTED, PRESENTED);
      });
    },

    successors: (id, secret) => keys.map((key) => computeSuccessor(key, id, secret)),

    // As JSON, no two lists of parts have the same text.
    adoption: (...parts) => keys.map((key) => computePart(key.adopting, JSON.stringify(parts))),

    encrypt(id, plain) {
      const associated = associatedData(GROUP_FORMAT, id);
      // The nonce depends on the id and the record too: two records under one key and one nonce could be decrypted, and
      // others forged, without the key.
      const nonce = createNonce(NONCE_BYTES, associated, plain);
      const cipher = createCipheriv("aes-256-gcm", groupKey(current, id), nonce, { authTagLength: TAG_BYTES });
      cipher.setAAD(associated);
      const encrypted = Buffer.allocUnsafe(PREFIX_BYTES + plain.length + TAG_BYTES);
      encrypted[0] = GROUP_FORMAT;
      encrypted.writeUInt32BE(current.id, 1);
      encrypted.set(nonce, 1 + KEY_ID_BYTES);
      encrypted.set(cipher.update(plain), PREFIX_BYTES);
      cipher.final();
      encrypted.set(cipher.getAuthTag(), PREFIX_BYTES + plain.length);
      return encrypted;
    },

    decrypt(id, encrypted) {
      const bytes = Buffer.from(encrypted.buffer, encrypted.byteOffset, encrypted.byteLength);
      const format = bytes[0];
      const isKnown = format === GROUP_FORMAT || format === SINGLE_FORMAT;
      if (!isKnown || bytes.length < PREFIX_BYTES + TAG_BYTES) {
        throw createDecodeError("it is not an encrypted record of a format that this version knows");
      }
      const keyId = bytes.readUInt32BE(1);
      const key = keys.find((candidate) => candidate.id === keyId);
      if (!key)
        throw createDecodeError(
          "it was encrypted with a key that secretKey does not list; add that key as a previous one",
        );
      const secret = format === GROUP_FORMAT ? groupKey(key, id) : singleKey(key, id);
      const nonce = bytes.subarray(1 + KEY_ID_BYTES, PREFIX_BYTES);
      const decipher = createDecipheriv("aes-256-gcm", secret, nonce, { authTagLength: TAG_BYTES });
      decipher.setAAD(associatedData(format, id));
      decipher.setAuthTag(bytes.subarray(bytes.length - TAG_BYTES));
      const plain = decipher.update(bytes.subarray(PREFIX_BYTES, bytes.length - TAG_BYTES));
      try {
        decipher.final();
      } catch (cause) {
        throw createDecodeError("it was changed, or belongs to another session", cause);
      }
      return { plain, byPreviousKey: key !== current };
    },
  };
}

function deriveKey(secret: Buffer, cookieName: string): DerivedKey {
  const key = (purpose: string, length: number) =>
    Buffer.from(hkdfSync("sha256", secret, "sojourn/1", `${purpose}\0${cookieName}`, length));
  return {
    id: key("key id", KEY_ID_BYTES).readUInt32BE(),
    signing: createSecretKey(key("token signature", 32)),
    rotating: createSecretKey(key("secret rotation", 32)),
    adopting: createSecretKey(key("adoption", 32)),
    groups: createSecretKey(key("record groups", 32)),
    groupKeys: [],
    singles: createSecretKey(key("record seal", 32)),
  };
}

function computeSignature(key: DerivedKey, text: string): string {
  return createHmac("sha256", key.signing).update(text).digest("base64url").slice(0, SIGNATURE_LENGTH);
}

function computeSuccessor(key: DerivedKey, id: string, secret: string): string {
  return computePart(key.rotating, id + secret);
}

/** 128 bits, in the characters of an id or a secret. */
function computePart(key: KeyObject, text: string): string {
  return createHmac("sha256", key).update(text).digest().toString("base64url", 0, 16);
}

/**
 * The key of the records of a group of ids, by the low bits of an id's first two characters. Random ids make 4096 groups,
 * and no id makes more than 16 384: so the keys can be kept. NIST SP 800-38D allows 2^32 random nonces under one key.
 * The records of two sessions of a group can't be swapped, because the associated data names the id.
 */
function groupKey(key: DerivedKey, id: string): KeyObject {
  const group = ((id.charCodeAt(0) & 0x7f) << 7) | (id.charCodeAt(1) & 0x7f);
  return (key.groupKeys[group] ??= hmacKey(key.groups, `group ${group}`));
}

function singleKey(key: DerivedKey, id: string): KeyObject {
  return hmacKey(key.singles, id);
}

function hmacKey(key: KeyObject, text: string): KeyObject {
  return createSecretKey(createHmac("sha256", key).update(text).digest());
}

function associatedData(format: number, id: string): Buffer {
  return Buffer.from(`sojourn record ${format}\0${id}`);
}
