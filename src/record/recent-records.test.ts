import { describe, expect, it, vi } from "vitest";
import { KEYS, START } from "../../test/support/stores.ts";
import { createKeyring } from "./keyring.ts";
import { decryptSession, encryptSession, type LoadedRecord } from "./record.ts";
import { RecentRecords } from "./recent-records.ts";
import { memoryStore } from "../stores/memory.ts";
import { hashSecret } from "./token.ts";

const store = { ...memoryStore(), inProcess: false };
const contextWith = (...keys: string[]) => ({ store, keyring: createKeyring(keys, "session") });
const loaded: LoadedRecord = {
  record: {
    secretHash: hashSecret("secret"),
    epoch: 1,
    createdAt: START,
    signedInAt: undefined,
    userId: undefined,
    flashes: [],
    data: '{"name":"Zoë 😀"}',
  },
  version: 1,
  expiresAt: START + 100,
  byPreviousKey: false,
};
const decodeError = expect.objectContaining({ code: "ERR_SESSION_DECODE" });

describe("a record that was encrypted or decrypted lately", () => {
  it("is not decrypted again", () => {
    const writer = contextWith(KEYS[0]);
    const reader = contextWith(KEYS[0]);
    const stored = encryptSession(writer, "id", loaded);
    const decryptions = [writer, reader].map(({ keyring }) => vi.spyOn(keyring, "decrypt"));
    for (const context of [writer, writer, reader, reader])
      expect(decryptSession(context, "id", stored).record.data).toBe(loaded.record.data);
    expect(decryptions.map(({ mock }) => mock.calls.length)).toEqual([0, 1]);
  });

  it("is refused where a byte differs, however often it was read before", () => {
    const context = contextWith(KEYS[0]);
    const stored = encryptSession(context, "id", loaded);
    for (let at = 0; at < stored.payload.length; at += 1) {
      const payload = Uint8Array.from(stored.payload);
      payload[at]! ^= 1;
      expect(() => decryptSession(context, "id", { ...stored, payload })).toThrow(decodeError);
    }
    const { payload } = stored;
    for (const cut of [payload.subarray(1), payload.subarray(0, -1), payload.subarray(0, 0)])
      expect(() => decryptSession(context, "id", { ...stored, payload: cut })).toThrow(decodeError);
    expect(decryptSession(context, "id", stored).record.data).toBe(loaded.record.data);
  });

  it("is refused under another id and under another user", () => {
    const context = contextWith(KEYS[0]);
    const stored = encryptSession(context, "id", loaded);
    expect(() => decryptSession(context, "another", stored)).toThrow(decodeError);
    expect(() => decryptSession(context, "id", { ...stored, userId: "ada" })).toThrow(decodeError);
  });

  it("is still known as one of a previous key", () => {
    const stored = encryptSession(contextWith(KEYS[1]), "id", loaded);
    const context = contextWith(KEYS[0], KEYS[1]);
    for (let count = 0; count < 3; count += 1) expect(decryptSession(context, "id", stored).byPreviousKey).toBe(true);
  });

  it("does not change with the bytes that a caller was given, or reuses", () => {
    const recent = new RecentRecords();
    const encrypted = Uint8Array.of(1, 2, 255);
    const plain = Uint8Array.of(7, 8, 128);
    recent.remember("id", encrypted, plain);
    plain.fill(0);
    recent.find("id", encrypted)!.fill(0);
    expect(recent.find("id", encrypted)).toEqual(Buffer.of(7, 8, 128));
    encrypted.fill(0);
    expect(recent.find("id", Uint8Array.of(1, 2, 255))).toEqual(Buffer.of(7, 8, 128));
    expect(recent.find("id", encrypted)).toBeUndefined();
  });
});

describe("the records that are remembered", () => {
  const bytes = new Uint8Array(300);
  const isThere = (recent: RecentRecords, id: string) => recent.find(id, bytes) !== undefined;

  it("take a few megabytes, and the latest ones stay", () => {
    const recent = new RecentRecords();
    for (let n = 0; n < 100_000; n += 1) recent.remember(`${n}`, bytes, bytes);
    // The latest ones first: one that is found counts as a late one.
    const kept = Array.from({ length: 100_000 }, (_, n) => 99_999 - n).filter((n) => isThere(recent, `${n}`));
    expect(kept.length).toBeLessThan(6000);
    expect(kept.slice(0, 2000)).toEqual(Array.from({ length: 2000 }, (_, n) => 99_999 - n));
  });

  it("include one that is found again and again, however many come meanwhile", () => {
    const recent = new RecentRecords();
    recent.remember("often", bytes, bytes);
    const times: boolean[] = [];
    for (let n = 0; n < 20_000; n += 1) {
      recent.remember(`${n}`, bytes, bytes);
      if (n % 100 === 0) times.push(isThere(recent, "often"));
    }
    expect(times).not.toContain(false);
  });

  it("are not forgotten while one session is written again and again", () => {
    const recent = new RecentRecords();
    recent.remember("quiet", bytes, bytes);
    for (let n = 0; n < 20_000; n += 1) recent.remember("busy", bytes, bytes);
    expect(isThere(recent, "quiet")).toBe(true);
  });

  it("include none that is large", () => {
    const recent = new RecentRecords();
    const large = new Uint8Array(10_000);
    recent.remember("id", large, large);
    expect(recent.find("id", large)).toBeUndefined();
  });
});
