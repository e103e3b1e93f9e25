import { Buffer } from "node:buffer";
import { describe, expect, it } from "vitest";
import { decodeRecord, encodeRecord, LATEST, indexedUserOf, versionBytes } from "./value.ts";

const payload = Uint8Array.from({ length: 300 }, (_, index) => index);

describe("encodeRecord", () => {
  it.each([1, 255, 256, 65_536, 2 ** 40, Number.MAX_SAFE_INTEGER])("keeps version %d", (version) => {
    for (const userId of [undefined, "", "ada", "\u{1F981}", "\ud83e", "x".repeat(1000)]) {
      const record = encodeRecord({ payload, version, expiresAt: LATEST, userId }, 123_456_789);
      const found = decodeRecord(record);
      expect(found).toEqual({ payload: Buffer.from(payload), version, expiresAt: LATEST, userId });
      expect(indexedUserOf(record)).toEqual(userId === undefined ? undefined : { userId, indexedUntil: 123_456_789 });
    }
  });

  it("spends 9 bytes on a session without a user", () => {
    expect(encodeRecord({ payload, version: 255, expiresAt: 0 }, 0)).toHaveLength(309);
  });

  it("makes of the same session twice two different records", () => {
    const stored = { payload, version: 1, expiresAt: 5 };
    expect(encodeRecord(stored, 0).equals(encodeRecord(stored, 0))).toBe(false);
  });
});

describe("decodeRecord", () => {
  it("refuses what is no record", () => {
    for (const text of ["", "short", "some text that is no session"]) {
      expect(() => decodeRecord(Buffer.from(text))).toThrow(/no session/);
    }
  });
});

describe("versionBytes", () => {
  it("has none for what is no version", () => {
    for (const version of [0, -1, 1.5, Number.NaN, 2 ** 60]) expect(versionBytes(version)).toHaveLength(0);
  });
});
