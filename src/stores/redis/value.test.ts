import { Buffer } from "node:buffer";
import { describe, expect, it } from "vitest";
import { encodeStored } from "../../../test/support/redis-value.ts";
import {
  decodeIndexedUser,
  decodeStored,
  encodeRevision,
  encodeSession,
  encodeUser,
  MAX_INSTANT,
  REVISION_OFFSET,
} from "./value.ts";

const payload = Uint8Array.from({ length: 300 }, (_, index) => index);

describe("encodeSession", () => {
  it.each([1, 255, 256, 65_536, 2 ** 40, Number.MAX_SAFE_INTEGER])("keeps version %d", (version) => {
    for (const userId of [undefined, "", "ada", "\u{1F981}", "\ud83e", "\ufffd", '"\\\n', "x".repeat(1000)]) {
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

  it("takes a copy of the payload", () => {
    for (const user of [undefined, encodeUser("ada")]) {
      const given = Uint8Array.from(payload);
      const encoded = encodeSession({ payload: given, version: 1, expiresAt: 1 }, user);
      given.fill(0);
      expect((encoded.payload ?? encoded.head.subarray(9)).equals(payload)).toBe(true);
    }
  });
});

describe("decodeStored", () => {
  it("refuses a value that is no session", () => {
    for (const text of ["", "short", "some text that is no session"]) {
      expect(() => decodeStored(Buffer.from(text))).toThrow(/no session/);
    }
  });

  it("refuses a user id that is not written as encodeUser writes it", () => {
    const value = encodeStored({ payload, version: 1, expiresAt: 5, userId: "u000" }, 0);
    const at = value.indexOf("u000");
    for (const other of ['u"00', "\\u00", "\\/00", Buffer.from([0x75, 0xff, 0x30, 0x30])]) {
      Buffer.from(other).copy(value, at);
      expect(() => decodeStored(value)).toThrow(/no session/);
    }
  });
});

describe("encodeRevision", () => {
  it("gives the bytes that a session of this version and this user has in its value, and no other has", () => {
    const revisions = new Set<string>();
    for (const version of [1, 2, 256, 65_536, Number.MAX_SAFE_INTEGER]) {
      for (const userId of [undefined, "", "ada", "ad", "\ud83e"]) {
        const user = userId === undefined ? undefined : encodeUser(userId);
        const revision = encodeRevision(version, user);
        const { head } = encodeSession({ payload, version, expiresAt: 1 }, user);
        expect(head.subarray(REVISION_OFFSET, REVISION_OFFSET + revision.length)).toEqual(revision);
        revisions.add(revision.toString("latin1"));
      }
    }
    expect(revisions.size).toBe(25);
  });
});
