import { randomBytes } from "node:crypto";
import { describe, expect, it } from "vitest";
import { failureOf } from "../../test/support/failures.ts";
import { KEYS } from "../../test/support/stores.ts";
import { seededRandom } from "../../test/support/random.ts";
import { createKeyring, type SecretKey } from "./keyring.ts";

const [A, B, C] = KEYS;
const plain = Buffer.from("what the store must not know");
const refusal = (secretKey: unknown) => () => createKeyring(secretKey as SecretKey, "session");
const decodeError = expect.objectContaining({ name: "SessionError", code: "ERR_SESSION_DECODE", status: 500 });

describe("createKeyring", () => {
  describe("refuses a secret key that somebody could guess, with the command that makes a good one", () => {
    it.each<[string, unknown]>([
      ["missing", undefined],
      ["null", null],
      ["empty", ""],
      ["no bytes", new Uint8Array()],
      ["an empty list", []],
      ["a list with a hole", [A, undefined]],
      ["an empty one among good ones", [A, ""]],
      ["a number", 2 ** 256],
      ["an object", { key: A }],
      ["31 characters", A.slice(0, 31)],
      ["31 bytes", randomBytes(31)],
      ["one character", "x".repeat(64)],
      ["zeros", new Uint8Array(64)],
      ["two characters", "ab".repeat(32)],
      ["few different characters", "aaaaaaaabbbbbbbbccccccccddddddddee"],
      ["two characters in no order", "aabbabaabbbababbaabababbabaababbab"],
      ["a repeated piece", "correct-horse-9!".repeat(3)],
      ["the alphabet", "abcdefghijklmnopqrstuvwxyz012345"],
      ["digits", "01234567890123456789012345678901234567890"],
      ["hexadecimal digits in order", "0123456789abcdef0123456789abcdef"],
      ["bytes in order", Uint8Array.from({ length: 32 }, (_, i) => i)],
      ["bytes in backward order", Uint8Array.from({ length: 32 }, (_, i) => 255 - i)],
      ["Superset's of CVE-2023-27524", "CHANGE_ME_TO_A_COMPLEX_RANDOM_SECRET"],
      ["Superset's first", "\u0002\u0001thisismyscretkey\u0001\u0002\\e\\y\\y\\h"],
      ["Superset's template", "YOUR_OWN_RANDOM_GENERATED_SECRET_KEY"],
      ["Airflow's of CVE-2020-17526", "temporary_key"],
      ["Airflow's, as long as it must be", "temporary_key_temporary_key_0123"],
      ["Django's", "django-insecure-k1x@7v!2m9#q4w8e6r5t3y0u^i&o*p(a)s"],
      ["express-session's", "keyboard cat"],
      ["express-session's, as long as it must be", "keyboard cat keyboard cat 123456"],
      ["Symfony's", "ThisTokenIsNotSoSecretChangeIt!!"],
      ["iron-session's", "complex_password_at_least_32_characters_long"],
      ["a placeholder in capitals", "PLEASE-CHANGE-THIS-TO-SOMETHING!"],
      ["your secret", "your-secret-goes-here-1234567890"],
      ["my secret", "my-secret-is-safe-with-me-0987"],
      ["super secret", "SuperSecretThatNobodyKnowsAbout1"],
      ["placeholder bytes", Buffer.from("replace-me-with-32-random-bytes!!")],
    ])("%s", (_, key) => {
      expect(refusal(key)).toThrow(TypeError);
      expect(refusal(key)).toThrow(/secretKey.*npx sojourn keygen/);
    });
  });

  describe("refuses a published or patterned key too", () => {
    it.each([
      ["Redash's of CVE-2021-41192", "c292a0a3aa32397cdb050e233733900f"],
      ["jwt.io's", "a-string-secret-at-least-256-bits-long"],
      ["@fastify/session's", "a secret with minimum length of 32 characters"],
      ["@fastify/secure-session's", "averylogphrasebiggerthanthirtytwochars"],
      ["the hexadecimal digits twice", "00112233445566778899aabbccddeeff"],
      ["the bytes in order, as hexadecimal", "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"],
      ["a piece repeated and cut off", "abcXYZ12abcXYZ12abcXYZ12abcXYZ12abc"],
      ["letters and digits in step", "a1b2c3d4e5f6g7h8i9j0k1l2m3n4o5p6"],
      ["the rows of the keyboard", "qwertyuiopasdfghjklzxcvbnm1234567890"],
    ])("%s", (_, key) => {
      expect(refusal(key)).toThrow(/npx sojourn keygen/);
    });
  });

  describe("refuses a key that was not read as it was meant, with the remedy", () => {
    const list = `${A},${B}`;
    it.each<[string, unknown, RegExp]>([
      ["in double quotes", `"${A}"`, /^secretKey is in quotes.*remove them/],
      ["in single quotes", `'${A}'`, /^secretKey is in quotes/],
      ["a list in quotes", `"${list}"`, /^secretKey is in quotes/],
      ["with a line break at its end", `${A}\n`, /^secretKey begins or ends with white space.*\.trim\(\)/],
      ["with a space at its beginning", ` ${A}`, /^secretKey begins or ends with white space/],
      ["with a byte order mark", `\uFEFF${A}`, /^secretKey begins or ends with white space/],
      [
        "with a space within a list",
        `${A}, ${B}`.split(","),
        /^secretKey\[1\] begins or ends.*\.map\(\(key\) => key\.trim/,
      ],
      ["two keys that were not split", list, /^secretKey has several keys.*\.split\(","\)/],
      ["two keys with a space between", `${A} ${B}`, /^secretKey has several keys/],
      ["two keys on two lines", [C, `${A}\r\n${B}`], /^secretKey\[1\] has several keys/],
      ["two keys with a comma after them", `${list},`, /^secretKey has several keys/],
    ])("%s", (_, key, message) => {
      expect(refusal(key)).toThrow(TypeError);
      expect(refusal(key)).toThrow(message);
    });
  });

  it.each([
    ["words with spaces and commas", "Twelve grey owls, one lamp and the ferry of 06:40 to Brest"],
    ["a long part beside a short one", `${A},9`],
    ["one quote", `"${A}`],
    ["bytes with white space and quotes", Buffer.from(`" ${A}\n"`)],
  ])("accepts a key that may be meant as it is: %s", (_, key) => {
    expect(failureOf(refusal(key))).toBe("nothing was thrown");
  });

  it("never repeats the key in the refusal", () => {
    for (const key of [`"${A}"`, `${A}\n`, `${A},${B}`]) {
      expect(String((failureOf(refusal(key)) as Error).stack)).not.toContain(A);
    }
    for (const key of ["password-1234567890-abcdefgh-XYZ", "tiny-key-77", "ab".repeat(32)]) {
      expect(String((failureOf(refusal(key)) as Error).stack)).not.toContain(key);
    }
  });

  it("names the place of a bad key in a list", () => {
    expect(refusal([A, "short"])).toThrow(/^secretKey\[1\] is too short \(5 bytes, at least 32\)/);
    expect(refusal("short")).toThrow(/^secretKey is too short/);
  });

  it("refuses a key that is listed twice, as text or as bytes", () => {
    expect(refusal([A, A])).toThrow(/twice/);
    expect(refusal([A, B, Buffer.from(A)])).toThrow(/twice/);
  });

  /** Creates bytes from a seed, so that all runs refuse the same keys. */
  const seededBytes = (seed: number) => {
    const random = seededRandom(seed);
    return (size: number) => Buffer.from(Array.from({ length: size }, () => Math.floor(random() * 256)));
  };

  it("accepts 20,000 random keys of every usual form", () => {
    const bytes = seededBytes(1);
    const refused: unknown[] = [];
    for (let i = 0; i < 4000; i++) {
      const keys = [
        bytes(20).toString("hex"),
        bytes(32).toString("hex"),
        bytes(32).toString("base64url"),
        bytes(24).toString("base64"),
        new Uint8Array(bytes(32)),
      ];
      refused.push(...keys.filter((key) => failureOf(refusal(key)) !== "nothing was thrown"));
    }
    expect(refused).toEqual([]);
  });

  it("accepts every random key of 128 bits in hexadecimal", () => {
    const bytes = seededBytes(2);
    const keys = Array.from({ length: 3000 }, () => bytes(16).toString("hex"));
    expect(keys.filter((key) => failureOf(refusal(key)) !== "nothing was thrown")).toEqual([]);
  });

  it("does not follow the caller's bytes when they change", () => {
    const bytes = new Uint8Array(randomBytes(32));
    const keyring = createKeyring(bytes, "session");
    const before = keyring.sign("text");
    bytes.fill(0);
    expect(keyring.sign("text")).toBe(before);
  });

  it("treats a text and its bytes as the same key", () => {
    expect(createKeyring(Buffer.from(A), "session").sign("text")).toBe(createKeyring(A, "session").sign("text"));
  });
});

describe("Keyring.sign", () => {
  it("signs with the first key, whichever keys follow", () => {
    const byA = createKeyring(A, "session").sign("text");
    expect(createKeyring([A], "session").sign("text")).toBe(byA);
    expect(createKeyring([A, B, C], "session").sign("text")).toBe(byA);
    expect(createKeyring([B, A], "session").sign("text")).not.toBe(byA);
    expect(createKeyring([B, A], "session").sign("text")).toBe(createKeyring(B, "session").sign("text"));
  });

  it("gives another signature to another text, key and cookie name", () => {
    const signatures = [A, B, C].flatMap((key) =>
      ["session", "Session", "session2"].flatMap((name) =>
        ["text", "texu", ""].map((text) => createKeyring(key, name).sign(text)),
      ),
    );
    expect(new Set(signatures).size).toBe(27);
    expect(signatures.every((one) => /^[\w-]{32}$/.test(one))).toBe(true);
  });
});

describe("Keyring.verify", () => {
  it("gives the place of the key that signed, and -1 for a key that was removed", () => {
    const signature = createKeyring(B, "session").sign("text");
    expect(createKeyring([A, B, C], "session").verify("text", signature)).toBe(1);
    expect(createKeyring([B, A], "session").verify("text", signature)).toBe(0);
    expect(createKeyring([A, C], "session").verify("text", signature)).toBe(-1);
  });

  it("refuses a signature of any other length, and of characters that take more bytes", () => {
    const keyring = createKeyring(A, "session");
    const signature = keyring.sign("text");
    for (const wrong of ["", signature.slice(1), `${signature}A`, `ł${signature.slice(1)}`, `ł${signature.slice(2)}`]) {
      expect(keyring.verify("text", wrong)).toBe(-1);
    }
    expect(keyring.verify("Text", signature)).toBe(-1);
  });

  it("does not take a signature made by the same key under another cookie's name", () => {
    expect(createKeyring(A, "session").verify("text", createKeyring(A, "admin").sign("text"))).toBe(-1);
  });
});

describe("Keyring.encrypt and Keyring.decrypt", () => {
  const keyring = createKeyring(A, "session");

  it("decrypt an encrypted text of any length", () => {
    for (const length of [0, 1, 15, 16, 17, 4096, 300_000]) {
      const bytes = randomBytes(length);
      const decrypted = keyring.decrypt("id", keyring.encrypt("id", bytes));
      expect(bytes.equals(decrypted.plain)).toBe(true);
      expect(decrypted.byPreviousKey).toBe(false);
    }
  });

  it("decrypt bytes that are part of a larger buffer", () => {
    const encrypted = keyring.encrypt("id", plain);
    const larger = new Uint8Array(encrypted.length + 20);
    larger.set(encrypted, 7);
    expect(plain.equals(keyring.decrypt("id", larger.subarray(7, 7 + encrypted.length)).plain)).toBe(true);
  });

  it("hide the text, and encrypt the same text differently each time", () => {
    const ciphertexts = Array.from({ length: 1000 }, () =>
      Buffer.from(keyring.encrypt("id", plain)).toString("latin1"),
    );
    expect(new Set(ciphertexts).size).toBe(1000);
    for (const encrypted of ciphertexts.slice(0, 20)) expect(encrypted).not.toContain("store");
  });

  it("refuse another id, of the same group of keys or of another: a row can't be swapped", () => {
    const encrypted = keyring.encrypt("id-1", plain);
    for (const other of ["id-2", "", "i", "id", "id-1 ", "ID-1", "id-1\0", "ie-1", "éd-1", "\u0169d-1"]) {
      expect(failureOf(() => keyring.decrypt(other, encrypted))).toEqual(decodeError);
    }
  });

  it("decrypt under ids of any characters and lengths", () => {
    for (const id of ["", "A", "AA", "--", "__", "Az09", "ł€", "\u{1f36a}"]) {
      expect(plain.equals(keyring.decrypt(id, keyring.encrypt(id, plain)).plain)).toBe(true);
    }
  });

  it("decrypt a record of the first format, with current and previous keys, under its id only", () => {
    const first = Buffer.from("AUGMUgzSr0XPLfj24hST-oQ9EgaUUTd2GRm0nv_t4CRpzIdqIZkFb0Miw0Q-YwEFLjk", "base64url");
    const known = Buffer.from("kept by the store");
    expect(keyring.decrypt("id", first)).toEqual({ plain: known, byPreviousKey: false });
    expect(createKeyring([B, A], "session").decrypt("id", first)).toEqual({ plain: known, byPreviousKey: true });
    expect(failureOf(() => keyring.decrypt("ie", first))).toEqual(decodeError);
  });

  it("refuse a record whose format was exchanged for another", () => {
    const encrypted = Buffer.from(keyring.encrypt("id", plain));
    for (let format = 0; format < 256; format++) {
      if (format === encrypted[0]) continue;
      const changed = Buffer.from(encrypted);
      changed[0] = format;
      expect(failureOf(() => keyring.decrypt("id", changed))).toEqual(decodeError);
    }
  });

  it("refuse every flipped bit", () => {
    const encrypted = keyring.encrypt("id", plain);
    for (let at = 0; at < encrypted.length; at++) {
      for (let bit = 0; bit < 8; bit++) {
        const changed = Buffer.from(encrypted);
        changed[at]! ^= 1 << bit;
        expect(
          failureOf(() => keyring.decrypt("id", changed)),
          `bit ${bit} of byte ${at}`,
        ).toEqual(decodeError);
      }
    }
  });

  it("refuse every shortened and every extended text, at either end", () => {
    const encrypted = keyring.encrypt("id", plain);
    for (let length = 0; length < encrypted.length; length++) {
      expect(failureOf(() => keyring.decrypt("id", encrypted.subarray(0, length)))).toEqual(decodeError);
      expect(failureOf(() => keyring.decrypt("id", encrypted.subarray(encrypted.length - length)))).toEqual(
        decodeError,
      );
    }
    expect(failureOf(() => keyring.decrypt("id", Buffer.concat([encrypted, Buffer.of(0)])))).toEqual(decodeError);
    expect(failureOf(() => keyring.decrypt("id", Buffer.concat([Buffer.of(0), encrypted])))).toEqual(decodeError);
  });

  it("refuse random bytes", () => {
    for (let length = 0; length < 300; length++) {
      const junk = randomBytes(length);
      for (const format of [1, 2]) {
        if (length > 0) junk[0] = format;
        expect(failureOf(() => keyring.decrypt("id", junk))).toEqual(decodeError);
      }
    }
  });

  it("encrypt with the current key, decrypt with previous keys, and report that", () => {
    const rotated = createKeyring([B, A], "session");
    const old = keyring.encrypt("id", plain);
    expect(rotated.decrypt("id", old)).toEqual({ plain, byPreviousKey: true });
    const renewed = rotated.encrypt("id", plain);
    expect(createKeyring(B, "session").decrypt("id", renewed)).toEqual({ plain, byPreviousKey: false });
    expect(failureOf(() => keyring.decrypt("id", renewed))).toEqual(decodeError);
  });

  it("refuse a text that a removed key encrypted, and name the remedy", () => {
    const old = keyring.encrypt("id", plain);
    const error = failureOf(() => createKeyring([B, C], "session").decrypt("id", old)) as Error;
    expect(error).toEqual(decodeError);
    expect(error.message).toContain("previous one");
  });

  it("refuse a text that was encrypted for another cookie's name", () => {
    expect(failureOf(() => createKeyring(A, "admin").decrypt("id", keyring.encrypt("id", plain)))).toEqual(decodeError);
  });

  it("use different keys for encryption and for signing", () => {
    // The signature of an id and its record's key are both HMACs of the id, and must differ.
    const signature = Buffer.from(keyring.sign("id"), "base64url");
    const encrypted = Buffer.from(keyring.encrypt("id", plain));
    expect(encrypted.includes(signature.subarray(0, 8))).toBe(false);
    expect(encrypted.subarray(1, 5).equals(createKeyring(A, "session").encrypt("x", plain).subarray(1, 5))).toBe(true);
    expect(A.includes(encrypted.subarray(1, 5).toString("hex"))).toBe(false);
  });
});
