import assert from "node:assert/strict";
import { isDeepStrictEqual } from "node:util";
import * as fc from "fast-check";
import { SessionError } from "../../../src/errors.ts";
import { hashSecret } from "../../../src/record/token.ts";
import { decryptSession, encryptSession, type SessionRecord } from "../../../src/record/record.ts";
import type { SessionStore, StoredSession } from "../../../src/store.ts";
import { anyBytes, anyText, bytesOf, INHERITED, mutated, textOf, wellFormed } from "../mutations.ts";
import { target, thrownBy } from "../target.ts";
import { growth } from "../growth.ts";
import { BEFORE, KEYRING, STRANGERS } from "./tokens.ts";

const inStore = { store: {} as SessionStore, keyring: KEYRING };
const inProcess = { store: { inProcess: true } as SessionStore, keyring: KEYRING };

const SECRET_HASH = hashSecret("a secret");
const PLAIN: SessionRecord = {
  secretHash: SECRET_HASH,
  epoch: 0,
  createdAt: 1_700_000_000_000,
  signedInAt: undefined,
  userId: undefined,
  flashes: [],
  data: '{"cart":{"items":["tea"]},"seen":{"$date":0}}',
};
const FULL: SessionRecord = {
  ...PLAIN,
  epoch: 2 ** 24 - 1,
  signedInAt: 1_700_000_000_001,
  userId: "ada@example.com",
  flashes: [{ key: "f1", category: "info", message: { text: "Saved." } }],
  idle: 60_000,
  absolute: 3_600_000,
  client: { userAgent: "Browser/1", address: "127.0.0.1" },
  note: "on my telephone",
  rotation: { since: 1_700_000_000_002, previous: new Uint8Array(16).fill(1), next: new Uint8Array(16).fill(2) },
};
const ENDED: SessionRecord = { ...PLAIN, data: "{}", ended: { movedTo: "another id", userId: "ada" } };
const RECORDS = [PLAIN, FULL, ENDED];
const IDS = ["AAAAAAAAAAAAAAAAAAAAAA", "AAAAAAAAAAAAAAAAAAAAAQ"];
const USERS = [undefined, "ada@example.com", "ada", "bob"];

interface Sealed {
  readonly id: string;
  readonly stored: StoredSession;
  readonly record: SessionRecord;
}
/** By their bytes. */
const SEALED = new Map<string, Sealed>();
for (const keyring of [KEYRING, BEFORE]) {
  for (const id of IDS) {
    for (const record of RECORDS) {
      const stored = encryptSession({ ...inStore, keyring }, id, { record, version: 1, expiresAt: 1 });
      SEALED.set(textOf(stored.payload), { id, stored, record });
    }
  }
}
const FOREIGN = STRANGERS.map((keyring) =>
  textOf(encryptSession({ ...inStore, keyring }, IDS[0]!, { record: PLAIN, version: 1, expiresAt: 1 }).payload),
);
const UNSEALED = RECORDS.map((record) =>
  textOf(encryptSession(inProcess, IDS[0]!, { record, version: 1, expiresAt: 1 }).payload),
);

const instant = fc.oneof(fc.integer({ min: 0, max: 2 ** 45 }), fc.constantFrom(0, 1, 2 ** 48 - 1));
const userText = (maxLength: number) => anyText(maxLength).map(wellFormed);
const written: fc.Arbitrary<SessionRecord> = fc
  .record({
    epoch: fc.nat(2 ** 24 - 1),
    createdAt: instant,
    signedInAt: fc.option(instant, { nil: undefined }),
    userId: fc.option(
      userText(40).filter((user) => user !== ""),
      { nil: undefined },
    ),
    flashes: fc.array(
      fc.record({
        key: anyText(),
        category: fc.constantFrom(...INHERITED),
        message: fc.jsonValue(),
      }),
      { maxLength: 2 },
    ),
    data: fc.jsonValue().map((value) => JSON.stringify({ value })),
    idle: fc.option(instant, { nil: undefined }),
    note: fc.option(anyText(10), { nil: undefined }),
    client: fc.option(fc.record({ userAgent: anyText(10) }), { nil: undefined }),
    rotation: fc.option(fc.record({ since: instant }), { nil: undefined }),
  })
  .map((fields) => ({ ...fields, secretHash: SECRET_HASH }));

const bare = (full: object): unknown =>
  Object.fromEntries(Object.entries(full).filter(([, value]) => value !== undefined));

export const recordTargets = [
  target({
    name: "record: written and read",
    inputs: written,
    check(record) {
      for (const context of [inStore, inProcess]) {
        const stored = encryptSession(context, IDS[0]!, { record, version: 7, expiresAt: 9 });
        const loaded = decryptSession(context, IDS[0]!, stored);
        const { secretHash, ...others } = loaded.record;
        assert.ok(Buffer.from(SECRET_HASH).equals(secretHash));
        // Of plain objects: the generator makes some that have no prototype.
        const { secretHash: _, ...expected } = structuredClone(record);
        assert.deepEqual(bare(others), bare(expected));
        assert.deepEqual([loaded.version, loaded.expiresAt, loaded.byPreviousKey], [7, 9, false]);
      }
    },
  }),
  target({
    name: "record: hostile ciphertext",
    runs: 1500,
    inputs: fc.record({
      payload: mutated(fc.constantFrom(...SEALED.keys(), ...FOREIGN, ...UNSEALED), [], anyBytes()),
      id: fc.constantFrom(...IDS),
      userId: fc.constantFrom(...USERS),
    }),
    check({ payload, id, userId }) {
      const sealed = SEALED.get(payload);
      let loaded: SessionRecord | undefined;
      const error = thrownBy(() => {
        const stored = { payload: new Uint8Array(bytesOf(payload)), version: 1, expiresAt: 1, userId };
        loaded = decryptSession(inStore, id, stored).record;
      });
      if (sealed && sealed.id === id && sealed.record.userId === userId) {
        assert.deepEqual(bare(loaded!), bare(sealed.record));
      } else isUndecodable(error);
    },
  }),
  target({
    // Only who has the key can write such a record; a later version of the library is one who has.
    name: "record: hostile plain text",
    runs: 1500,
    inputs: mutated(
      fc.constantFrom(...UNSEALED),
      ["{", "}", '"$map"', '{"$set":[]}', "null", ...INHERITED],
      anyBytes(),
    ),
    check(payload) {
      let loaded: SessionRecord | undefined;
      const error = thrownBy(() => {
        loaded = decryptSession(inProcess, IDS[0]!, { payload: bytesOf(payload), version: 1, expiresAt: 1 }).record;
      });
      if (loaded === undefined) {
        isUndecodable(error);
        return;
      }
      isRecord(loaded);
      const again = encryptSession(inProcess, IDS[0]!, { record: loaded, version: 1, expiresAt: 1 });
      assert.ok(isDeepStrictEqual(bare(decryptSession(inProcess, IDS[0]!, again).record), bare(loaded)));
    },
  }),
  growth(
    "record",
    ['{"a":1},', "{", "\u0000", "\u00ff", '"', "$map"],
    (text) => decryptSession(inProcess, IDS[0]!, { payload: Buffer.from(text, "latin1"), version: 1, expiresAt: 1 }),
    (text) => UNSEALED[0]! + text,
  ),
];

function isUndecodable(error: unknown): void {
  assert.ok(error instanceof SessionError, `not a SessionError: ${String(error)}`);
  assert.equal(error.code, "ERR_SESSION_DECODE");
}

/** What the library relies on without looking. */
function isRecord(record: SessionRecord): void {
  const known = [...Object.keys(FULL), "ended"];
  for (const name of Object.keys(record)) assert.ok(known.includes(name), `a record has no ${name}`);
  const { epoch, createdAt, signedInAt, userId, flashes, data, idle, absolute, note, rotation, ended, client } = record;
  assert.equal(record.secretHash.length, 16);
  for (const number of [epoch, createdAt]) assert.ok(Number.isSafeInteger(number));
  for (const number of [signedInAt, idle, absolute]) assert.ok(number === undefined || typeof number === "number");
  for (const text of [userId, note]) assert.ok(text === undefined || typeof text === "string");
  assert.equal(typeof data, "string");
  assert.ok(Array.isArray(flashes));
  for (const flash of flashes) assert.ok(typeof flash.key === "string" && typeof flash.category === "string");
  for (const part of [rotation, ended, client])
    assert.ok(part === undefined || (typeof part === "object" && part !== null));
  if (rotation) {
    assert.equal(typeof rotation.since, "number");
    for (const hash of [rotation.previous, rotation.next]) assert.ok(hash === undefined || hash.length === 16);
  }
  for (const text of [ended?.movedTo, ended?.userId, client?.userAgent, client?.address])
    assert.ok(text === undefined || typeof text === "string");
}
