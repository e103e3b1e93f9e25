import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { describe, expect, it } from "vitest";
import { KEYS } from "../../test/support/stores.ts";
import { seededRandom } from "../../test/support/random.ts";
import { createKeyring } from "./keyring.ts";
import { createRandomPart } from "../random.ts";
import { createToken, hashSecret, signToken, TOKEN_LENGTH, verifyToken } from "./token.ts";

setFlagsFromString("--expose-gc");
const gc = runInNewContext("gc") as () => void;

const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const keyring = createKeyring(KEYS[0], "session");
const make = (epoch = 1) => ({ id: createRandomPart(), secret: createRandomPart(), epoch });
const isRefused = (text: string) => verifyToken(keyring, text) === undefined;

describe("createToken", () => {
  it("gives an id and a secret of 128 random bits each, 10,000 times different", () => {
    const parts = Array.from({ length: 10_000 }, createToken).flatMap(({ id, secret }) => [id, secret]);
    expect(new Set(parts).size).toBe(20_000);
    // 21 characters of 6 bits, and one of the 2 that are left.
    expect(parts.every((part) => /^[\w-]{21}[AQgw]$/.test(part))).toBe(true);
    for (let place = 0; place < 21; place++)
      expect(new Set(parts.map((part) => part[place])).size, `place ${place}`).toBe(64);
  });

  it("gives what a token carries", () => {
    const token = createToken();
    expect(verifyToken(keyring, signToken(keyring, token))?.token).toEqual(token);
  });
});

describe("hashSecret", () => {
  it("is 128 bits, the same for the same secret and no other", () => {
    const secret = createRandomPart();
    expect(hashSecret(secret)).toHaveLength(16);
    expect(hashSecret(secret)).toEqual(hashSecret(secret));
    expect(hashSecret(secret)).not.toEqual(hashSecret(createRandomPart()));
    expect(Buffer.from(hashSecret(secret)).toString("latin1")).not.toContain(secret.slice(0, 8));
  });
});

describe("verifyToken", () => {
  const token = make();
  const text = signToken(keyring, token);

  it("returns the token that was given to signToken", () => {
    expect(text).toHaveLength(TOKEN_LENGTH);
    expect(text).toMatch(/^[\w-]+$/);
    expect(verifyToken(keyring, text)).toEqual({
      token,
      tokenByPreviousKey: false,
      secretHash: new Uint8Array(hashSecret(token.secret)),
    });
  });

  it("returns every epoch that a token may have", () => {
    for (const epoch of [0, 63, 64, 4095, 1_234_567, 2 ** 24 - 1]) {
      const one = make(epoch);
      expect(verifyToken(keyring, signToken(keyring, one))?.token).toEqual(one);
    }
  });

  it("refuses every token with one other character", () => {
    for (let at = 0; at < text.length; at++) {
      const taken = Array.from(ALPHABET).filter(
        (character) => !isRefused(text.slice(0, at) + character + text.slice(at + 1)),
      );
      expect(taken, `at ${at}`).toEqual([text[at]]);
    }
  });

  it("refuses other bytes, quotes, blanks and control characters in any place", () => {
    const strange = Array.from({ length: 256 }, (_, code) => String.fromCharCode(code)).filter(
      (character) => !ALPHABET.includes(character),
    );
    for (let at = 0; at < text.length; at++) {
      const taken = strange.filter(
        (character) =>
          !isRefused(text.slice(0, at) + character + text.slice(at + 1)) ||
          !isRefused(text.slice(0, at) + character + text.slice(at)),
      );
      expect(taken, `at ${at}`).toEqual([]);
    }
  });

  it("refuses characters whose low byte is the right one", () => {
    for (let at = 0; at < text.length; at++) {
      for (const high of [0x100, 0x200, 0x2100, 0xff00, 0xd800]) {
        const alike = String.fromCharCode(high | text.charCodeAt(at));
        expect(isRefused(text.slice(0, at) + alike + text.slice(at + 1)), `${alike} at ${at}`).toBe(true);
      }
    }
    expect(isRefused(Array.from(text, (c) => String.fromCharCode(0x100 | c.charCodeAt(0))).join(""))).toBe(true);
    expect(isRefused(Array.from(text, (c) => String.fromCharCode(0xfee0 + c.charCodeAt(0))).join(""))).toBe(true);
  });

  it("refuses every shortened and every extended token", () => {
    for (let length = 0; length < text.length; length++) {
      expect(isRefused(text.slice(0, length))).toBe(true);
      expect(isRefused(text.slice(text.length - length))).toBe(true);
    }
    for (const more of ["A", "=", "==", " ", "\t", "\0", "\n", ".", "%00", ";", text, "A".repeat(8192)]) {
      expect(isRefused(text + more)).toBe(true);
      expect(isRefused(more + text)).toBe(true);
    }
  });

  it("refuses other cases, other spellings of base64, and percent-encoding", () => {
    // Several tokens are used, so that "-" and "_" occur.
    for (const one of Array.from({ length: 50 }, () => signToken(keyring, make()))) {
      const spellings = [
        one.toLowerCase(),
        one.toUpperCase(),
        one.replaceAll("-", "+").replaceAll("_", "/"),
        one.replace("-", "+"),
        one.replace("_", "/"),
        encodeURIComponent(one).replaceAll("-", "%2D"),
        one.replace(/^1/, "%31"),
        `"${one}"`,
        `'${one}'`,
        Buffer.from(one).toString("base64"),
      ];
      for (const spelling of spellings)
        if (spelling !== one) expect(isRefused(spelling), `with ${spelling}`).toBe(true);
      expect(isRefused(one)).toBe(false);
    }
  });

  it("refuses the spare bits of each part's last character", () => {
    // "A" and "B" in the 22nd place decode to the same byte, but the tokens differ.
    for (const end of [22, 44]) {
      const alias = ALPHABET[(ALPHABET.indexOf(text[end]!) & 48) + ((ALPHABET.indexOf(text[end]!) + 1) & 15)]!;
      expect(Buffer.from(text.slice(end - 21, end) + alias, "base64url")).toEqual(
        Buffer.from(text.slice(end - 21, end + 1), "base64url"),
      );
      expect(isRefused(text.slice(0, end) + alias + text.slice(end + 1))).toBe(true);
    }
  });

  it("refuses the parts of two good tokens put together", () => {
    const other = signToken(keyring, make());
    for (const cut of [1, 23, 45]) {
      expect(isRefused(text.slice(0, cut) + other.slice(cut))).toBe(cut !== 1);
      expect(isRefused(text.slice(0, 23) + other.slice(23, 45) + text.slice(45))).toBe(true);
      expect(isRefused(`1${other.slice(1, 23)}${text.slice(23)}`)).toBe(true);
    }
    expect(
      isRefused(signToken(keyring, { ...token, id: token.secret, secret: token.id }).slice(0, 49) + text.slice(49)),
    ).toBe(true);
  });

  it("refuses another format, even signed", () => {
    const unsigned = `2${token.id}${token.secret}`;
    expect(isRefused(unsigned + keyring.sign(unsigned))).toBe(true);
  });

  it("refuses 20,000 random texts of the right length", () => {
    const random = seededRandom(11);
    const taken = Array.from({ length: 20_000 }, () =>
      Array.from({ length: TOKEN_LENGTH }, (_, at) => (at === 0 ? "1" : ALPHABET[Math.floor(random() * 64)])).join(""),
    ).filter((junk) => !isRefused(junk));
    expect(taken).toEqual([]);
  });

  it("says which tokens a previous key signed, and refuses those of a removed one", () => {
    const old = signToken(createKeyring(KEYS[1], "session"), token);
    expect(verifyToken(createKeyring([KEYS[0], KEYS[1]], "session"), old)).toMatchObject({
      token,
      tokenByPreviousKey: true,
    });
    expect(verifyToken(createKeyring([KEYS[1], KEYS[0]], "session"), old)).toEqual({
      token,
      tokenByPreviousKey: false,
      secretHash: new Uint8Array(hashSecret(token.secret)),
    });
    expect(verifyToken(createKeyring([KEYS[0], KEYS[2]], "session"), old)).toBeUndefined();
  });

  it("refuses the token of another cookie's name under the same key", () => {
    expect(verifyToken(createKeyring(KEYS[0], "other"), text)).toBeUndefined();
  });

  it("gives an id that keeps nothing of the header that the token came in", () => {
    const heap = () => {
      gc();
      return process.memoryUsage().heapUsed;
    };
    const idIn = (header: string) => verifyToken(keyring, header.slice(-TOKEN_LENGTH))!.token.id;
    const headers = Array.from({ length: 200 }, () => signToken(keyring, make()));
    const before = heap();
    const ids = headers.map((signed) => idIn(`other=${"x".repeat(100_000)}; session=${signed}`));
    expect(heap() - before).toBeLessThan(5_000_000);
    expect(ids).toHaveLength(200);
  });
});
