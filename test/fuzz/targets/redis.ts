import assert from "node:assert/strict";
import * as fc from "fast-check";
import { redisKeys } from "../../../src/stores/redis/keys.ts";
import * as value from "../../../src/stores/redis/value.ts";
import { encodeStored } from "../../support/redis-value.ts";
import { growth } from "../growth.ts";
import { anyBytes, anyText, bytesOf, INHERITED, mutated, textOf } from "../mutations.ts";
import { target, thrownBy } from "../target.ts";

const WRITE = 6;
const version = fc.oneof(
  fc.constantFrom(1, 255, 256, 2 ** 16, 2 ** 32, 2 ** 48, Number.MAX_SAFE_INTEGER),
  fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }),
);
const instant = fc.oneof(fc.constantFrom(0, 1, value.MAX_INSTANT), fc.integer({ min: 0, max: value.MAX_INSTANT }));
const userId = fc.option(fc.oneof(fc.constantFrom("", "ada", "ad", "\ud83e", "\ufffd", ...INHERITED), anyText(20)), {
  nil: undefined,
});
const stored = fc.record({ version, expiresAt: instant, indexedUntil: instant, userId, payload: anyBytes(40) });

const SAMPLES = [undefined, "", "ada", "\u{1F981}", "\ud83e", "x".repeat(300)].flatMap((user) =>
  [1, 256, 2 ** 40].map((number) =>
    textOf(encodeStored({ payload: Buffer.from("payload"), version: number, expiresAt: 5, userId: user }, 1_234_567)),
  ),
);
const keys = redisKeys("app*[x]");

export const redisTargets = [
  target({
    name: "redis value: written and read",
    inputs: fc.tuple(stored, userId),
    check([{ payload, indexedUntil, ...rest }, other]) {
      const session = { ...rest, payload: bytesOf(payload) };
      const bytes = encodeStored(session, indexedUntil);
      assert.deepEqual(value.decodeStored(bytes), session);
      assert.deepEqual(
        value.decodeIndexedUser(bytes),
        rest.userId === undefined ? undefined : { userId: rest.userId, indexedUntil },
      );
      for (const user of [rest.userId, other]) {
        if (user === undefined) continue;
        const wanted = value.encodeUser(user);
        const head = bytes.subarray(0, value.headLengthFor(user));
        assert.equal(value.hasUser(head, wanted), user === rest.userId);
      }
      const revision = value.encodeRevision(
        rest.version,
        rest.userId === undefined ? undefined : value.encodeUser(rest.userId),
      );
      assert.deepEqual(revision, bytes.subarray(7, 7 + revision.length));
    },
  }),
  target({
    name: "redis value: hostile bytes",
    runs: 1500,
    inputs: mutated(fc.constantFrom(...SAMPLES), ["\u0020", "\u0028", "\u0030", "\u0038", "\u003f"], anyBytes()),
    check(text) {
      const bytes = bytesOf(text);
      let found: ReturnType<typeof value.decodeStored> | undefined;
      const error = thrownBy(() => {
        found = value.decodeStored(bytes);
      });
      if (found === undefined) {
        assert.match(String(error), /this key holds no session that this version of Sojourn has written/);
        return;
      }
      // Whatever is believed is what this version would have written.
      const again = encodeStored(found, value.decodeIndexedUser(bytes)?.indexedUntil ?? 0);
      again[WRITE] = bytes[WRITE]!;
      assert.deepEqual(textOf(again), text);
    },
  }),
  target({
    name: "redis keys: ids and names",
    inputs: fc.oneof(anyText(30), fc.constantFrom("~", "@", "@@changes", "a:b", "{x}", "*", ...INHERITED)),
    check(id) {
      const key = keys.sessionKey(id);
      assert.equal(keys.idOfKey(key), id);
      assert.equal(keys.decodeId(keys.encodeId(id)), id);
      assert.match(key, /^app\*\[x\]:~?[\w-]*$/);
      assert.notEqual(keys.indexKey(id), key);
    },
  }),
  growth("redis value", ["a", "\u0000", "\u00ff", "\u0028"], (text) => {
    const bytes = bytesOf(text);
    thrownBy(() => value.decodeStored(bytes));
    return encodeStored({ payload: bytes, version: 1, expiresAt: 0, userId: text }, 0);
  }),
];
