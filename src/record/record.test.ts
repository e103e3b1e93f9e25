import { describe, expect, it } from "vitest";
import { failureOf } from "../../test/support/failures.ts";
import { KEYS, START } from "../../test/support/stores.ts";
import { seededRandom } from "../../test/support/random.ts";
import { createKeyring } from "./keyring.ts";
import { decryptSession, encryptSession, type LoadedRecord, type SessionRecord } from "./record.ts";
import type { StoredSession } from "../store.ts";
import { memoryStore } from "../stores/memory.ts";
import { hashSecret } from "./token.ts";

const keyring = createKeyring(KEYS[0], "session");
const inProcess = { store: memoryStore(), keyring };
const outside = { store: { ...memoryStore(), inProcess: false }, keyring };

const record: SessionRecord = {
  secretHash: hashSecret("secret"),
  epoch: 3,
  createdAt: START,
  signedInAt: START + 5,
  userId: "user-7",
  flashes: [{ category: "info", message: { at: new Date(0) }, key: "k" }],
  data: '{"name":"Zoë 😀"}',
};
const loaded = (given: Partial<SessionRecord> = {}): LoadedRecord => ({
  record: { ...record, ...given },
  version: 4,
  expiresAt: START + 100,
  byPreviousKey: false,
});
const decodeError = expect.objectContaining({ code: "ERR_SESSION_DECODE" });

describe.each([
  ["encrypted", outside],
  ["in process", inProcess],
])("storedSession and loadedRecord, %s", (_, context) => {
  it.each<[string, Partial<SessionRecord>]>([
    ["all of it", {}],
    ["a visitor's", { userId: undefined, signedInAt: undefined, flashes: [], data: "{}" }],
    ["the longest user", { userId: "ü".repeat(256) }],
    ["a large one", { data: JSON.stringify({ a: "x".repeat(300_000) }) }],
    [
      "many flashes",
      { flashes: Array.from({ length: 100 }, (_none, i) => ({ category: "c", message: i, key: `${i}` })) },
    ],
    ["the largest numbers", { epoch: 2 ** 32 - 1, createdAt: 2 ** 48 - 1, signedInAt: 2 ** 48 - 1 }],
    ["the beginning of time", { createdAt: 0 }],
  ])("give back %s", (_name, given) => {
    const stored = encryptSession(context, "id", loaded(given));
    expect(stored).toMatchObject({ version: 4, expiresAt: START + 100 });
    const back = decryptSession(context, "id", stored);
    expect({ ...back, record: { ...back.record, secretHash: Buffer.from(back.record.secretHash) } }).toEqual(
      loaded(given),
    );
  });

  it("show the store only the user, the version and the expiry unencrypted", () => {
    const stored = encryptSession(context, "id", loaded());
    expect(Object.keys(stored).toSorted()).toEqual(["expiresAt", "payload", "userId", "version"]);
    expect(stored.userId).toBe("user-7");
    const text = Buffer.from(stored.payload).toString("latin1");
    expect(text.includes("user-7")).toBe(context === inProcess);
    expect(text.includes('"name"')).toBe(context === inProcess);
    expect(text).not.toContain("secret");
  });

  it("give back a sign-in at the epoch's first millisecond, as an injected clock may have it", () => {
    const back = decryptSession(context, "id", encryptSession(context, "id", loaded({ signedInAt: 0 })));
    expect(back.record.signedInAt).toBe(0);
  });
});

describe("storedSession", () => {
  it("returns other bytes each time, and never the hash of the secret, if it is encrypted", () => {
    const payloads = Array.from({ length: 50 }, () => Buffer.from(encryptSession(outside, "id", loaded()).payload));
    expect(new Set(payloads.map((payload) => payload.toString("hex"))).size).toBe(50);
    for (const payload of payloads) expect(payload.includes(Buffer.from(record.secretHash))).toBe(false);
  });
});

describe("loadedRecord", () => {
  const load = (context: typeof outside, payload: Uint8Array, id = "id") =>
    decryptSession(context, id, {
      payload,
      version: 1,
      expiresAt: START + 100,
      userId: record.userId,
    } satisfies StoredSession);

  it("refuses another session's encrypted record", () => {
    const { payload } = encryptSession(outside, "id", loaded());
    expect(failureOf(() => load(outside, payload, "other"))).toEqual(decodeError);
  });

  it("refuses an encrypted record that was put under another user, or under none", () => {
    const stored = encryptSession(outside, "id", loaded());
    for (const userId of ["somebody else", undefined]) {
      expect(failureOf(() => decryptSession(outside, "id", { ...stored, userId }))).toEqual(decodeError);
    }
    const nobodys = encryptSession(outside, "id", loaded({ userId: undefined }));
    expect(failureOf(() => decryptSession(outside, "id", { ...nobodys, userId: "somebody" }))).toEqual(decodeError);
  });

  it("refuses a record of a store in this process that was cut off, and one of another format", () => {
    const context = { ...inProcess, store: { ...inProcess.store, inProcess: true } };
    const { payload } = encryptSession(inProcess, "id", loaded({ data: "" }));
    for (let length = 0; length < payload.length; length++) {
      expect(
        failureOf(() => load(context, payload.subarray(0, length))),
        `${length} bytes`,
      ).toEqual(decodeError);
    }
    const other = Buffer.from(payload);
    other[0] = 2;
    expect(failureOf(() => load(context, other))).toEqual(decodeError);
  });

  it("decodes each of 20,000 damaged records or throws ERR_SESSION_DECODE, and throws nothing else", () => {
    const random = seededRandom(31);
    const context = { ...inProcess, store: { ...inProcess.store, inProcess: true } };
    const { payload } = encryptSession(inProcess, "id", loaded());
    const others: unknown[] = [];
    for (let i = 0; i < 20_000; i++) {
      const damaged = Buffer.from(payload).subarray(0, 1 + Math.floor(random() * payload.length));
      for (let n = Math.floor(random() * 4); n > 0; n--)
        damaged[Math.floor(random() * damaged.length)] = Math.floor(random() * 256);
      const failure = failureOf(() => load(context, damaged));
      if (failure !== "nothing was thrown" && (failure as { code?: unknown }).code !== "ERR_SESSION_DECODE")
        others.push(failure);
    }
    expect(others).toEqual([]);
  });

  it("reports that a previous key encrypted a record", () => {
    const { payload } = encryptSession(outside, "id", loaded());
    const rotated = { ...outside, keyring: createKeyring([KEYS[1], KEYS[0]], "session") };
    expect(load(rotated, payload).byPreviousKey).toBe(true);
    expect(load(rotated, encryptSession(rotated, "id", loaded()).payload).byPreviousKey).toBe(false);
  });
});
