import assert from "node:assert/strict";
import * as fc from "fast-check";
import { createKeyring } from "../../../src/record/keyring.ts";
import { hashSecret, nextEpoch, signToken, TOKEN_LENGTH, verifyToken, type Token } from "../../../src/record/token.ts";
import { growth } from "../growth.ts";
import { mutated } from "../mutations.ts";
import { target } from "../target.ts";

const KEYS = [
  "kX2v9QmT7rLp4WcZ8nJd5HsB1yFgA6eU",
  "Jq7RzN3wVt8KbM5xGc2PdY9hLs4TfE6a",
  "w5Zp8DkQ2mVn7XrT4cJb9LgH3sFyA6Ue",
] as const;
/** Two keys, the second of which only verifies. */
export const KEYRING = createKeyring([KEYS[0], KEYS[1]], "session");
export const BEFORE = createKeyring(KEYS[1], "session");
/** A key that KEYRING has not, and its own key for another cookie. */
export const STRANGERS = [createKeyring(KEYS[2], "session"), createKeyring(KEYS[0], "other")] as const;

const part = (byte: number): string => Buffer.alloc(16, byte).toString("base64url");
const TOKENS: readonly Token[] = [
  { id: part(0x00), secret: part(0xff), epoch: 0 },
  { id: part(0x11), secret: part(0x22), epoch: 1 },
  { id: part(0x11), secret: part(0x33), epoch: 2 ** 24 - 1 },
];

/** Every token that the keyring has signed, by its spelling. */
export const AUTHENTIC: ReadonlyMap<string, Token> = new Map(
  [KEYRING, BEFORE].flatMap((keyring) => TOKENS.map((token) => [signToken(keyring, token), token] as const)),
);
export const FOREIGN: readonly string[] = STRANGERS.flatMap((keyring) =>
  TOKENS.map((token) => signToken(keyring, token)),
);

const spelling = fc.constantFrom(...AUTHENTIC.keys(), ...AUTHENTIC.keys(), ...FOREIGN);
const ids = fc.uint8Array({ minLength: 16, maxLength: 16 }).map((bytes) => Buffer.from(bytes).toString("base64url"));

export const tokenTargets = [
  target({
    name: "token: hostile text",
    runs: 1500,
    inputs: mutated(spelling, ["=", "+", "/", "-", "_", "A", "%2D", "\u0130", "1"]),
    check(value) {
      const found = verifyToken(KEYRING, value);
      assert.deepEqual(found?.token, AUTHENTIC.get(value), "a token that nobody signed is believed, or one is not");
    },
  }),
  target({
    name: "token: pieces of two",
    runs: 1500,
    // The borders of format, id, secret, epoch and signature.
    inputs: fc.tuple(spelling, spelling, fc.constantFrom(0, 1, 23, 45, 49, TOKEN_LENGTH), fc.boolean()),
    check([one, other, border, isTwice]) {
      const mixed = one.slice(0, border) + other.slice(border);
      const value = isTwice ? mixed.slice(0, 45) + one.slice(45) : mixed;
      assert.deepEqual(verifyToken(KEYRING, value)?.token, AUTHENTIC.get(value));
    },
  }),
  target({
    name: "token: signed and verified",
    inputs: fc.record(
      { id: ids, secret: ids, epoch: fc.oneof(fc.nat(2 ** 24 - 1), fc.constantFrom(0, 255, 256, 65_535)) },
      { noNullPrototype: true },
    ),
    check(token) {
      const value = signToken(KEYRING, token);
      assert.equal(value.length, TOKEN_LENGTH);
      assert.match(value, /^[\w-]+$/);
      const secretHash = new Uint8Array(hashSecret(token.secret));
      assert.deepEqual(verifyToken(KEYRING, value), { token, tokenByPreviousKey: false, secretHash });
      assert.deepEqual(verifyToken(KEYRING, signToken(BEFORE, token)), { token, tokenByPreviousKey: true, secretHash });
      for (const stranger of STRANGERS) assert.equal(verifyToken(stranger, value), undefined);
      assert.ok(nextEpoch(token.epoch) < 2 ** 24);
    },
  }),
  growth("token", ["1", "a", "=", ...AUTHENTIC.keys()], (text) => verifyToken(KEYRING, text)),
];
