import { Buffer } from "node:buffer";
import { describe, expect, it } from "vitest";
import { decodeIndexedUser, decodeStored, encodeStored, encodeVersion, MAX_INSTANT } from "./value.ts";

const payload = Uint8Array.from({ length: 300 }, (_, index) => index);

describe("encodeStored", () => {
  it.each([1, 255, 256, 65_536, 2 ** 40, Number.MAX_SAFE_INTEGER])("keeps version %d", (version) => {
    for (const userId of [undefined, "", "ada", "\u{1F981}", "\ud83e", "x".repeat(1000)]) {
      const value = encodeStored({ payload, version, expiresAt: MAX_INSTANT, userId }, 123_456_789);
      const decoded = decodeStored(value);
      expect(decoded).toEqual({ payload: Buffer.from(payload), version, expiresAt: MAX_INSTANT, userId });
      expect(decodeIndexedUser(value)).toEqual(
        userId === undefined ? undefined : { userId, indexedUntil: 123_456_789 },
      );
    }
  });

  it("spends 9 bytes on a session without a user", () => {
    expect(encodeStored({ payload, version: 255, expiresAt: 0 }, 0)).toHaveLength(309);
  });

  it("encodes the same session twice as two different values", () => {
    const stored = { payload, version: 1, expiresAt: 5 };
    expect(encodeStored(stored, 0).equals(encodeStored(stored, 0))).toBe(false);
  });
});

describe("decodeStored", () => {
  it("refuses a value that is no session", () => {
    for (const text of ["", "short", "some text that is no session"]) {
      expect(() => decodeStored(Buffer.from(text))).toThrow(/no session/);
    }
  });
});

describe("encodeVersion", () => {
  it("gives no bytes for an impossible version", () => {
    for (const version of [0, -1, 1.5, Number.NaN, 2 ** 60]) expect(encodeVersion(version)).toHaveLength(0);
  });
});
