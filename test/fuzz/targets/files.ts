import assert from "node:assert/strict";
import { crc32 } from "node:zlib";
import * as fc from "fast-check";
import { decodeSessionFile, encodeSessionFile, type SessionFile } from "../../../src/stores/file/session-file.ts";
import * as names from "../../../src/stores/file/names.ts";
import { growth } from "../growth.ts";
import { anyBytes, anyText, bytesOf, INHERITED, mutated, textOf } from "../mutations.ts";
import { target } from "../target.ts";

const makeNonce = names.createNonceSource();
const KEYS = ["alice", "bob"].map(names.hashId);
const USER_HASHES = [names.hashUserId(undefined), names.hashUserId("ada"), names.hashUserId("bob")];
const version = fc.oneof(fc.constantFrom(1, 9, 10, Number.MAX_SAFE_INTEGER), fc.integer({ min: 1, max: 2 ** 53 - 1 }));
const instant = fc.oneof(fc.constantFrom(0, 1, 8.64e15), fc.integer({ min: 0, max: 8.64e15 }));
const anyNonce = fc.constantFrom("k2x9-1", "k2x9-1-5");
const createPointer = fc
  .record({
    nonce: anyNonce,
    key: fc.constantFrom(...KEYS),
    version,
    expiresAt: instant,
    userHash: fc.constantFrom(...USER_HASHES),
  })
  .map((state) => names.createPointer(state.key, state.version, state.nonce, state.expiresAt, state.userHash));
const text = fc.oneof(anyText(20), fc.constantFrom("..", "/", "\0", ...INHERITED));
const NAMED = ["pointers", "contents"].flatMap(() => KEYS);

const CONTENTS: readonly SessionFile[] = [
  { nonce: "k2x9-1", id: "alice", userId: undefined, payload: Buffer.from("payload of alice") },
  { nonce: "k2x9-2", id: "bob", userId: "bob@example.com", payload: Buffer.alloc(0) },
  { nonce: "k2x9-3", id: "\ud800", userId: "", payload: Buffer.from([0, 255, 1]) },
];
const FILES = new Map(CONTENTS.map((content) => [textOf(encodeSessionFile(content)), content]));

export const fileTargets = [
  target({
    name: "file names: hostile names",
    runs: 1500,
    inputs: mutated(
      fc.oneof(
        createPointer.map(({ name }) => name),
        fc.constantFrom(...NAMED).map((key) => names.contentName(key, "k2x9-1")),
        fc.constantFrom(...NAMED).map((key) => names.reservationName(key)),
        fc.constantFrom(...NAMED).map((key) => names.userEntryName(USER_HASHES[1]!, key)),
      ),
      ["..", "/", "\\", ".tmp", "0", "-", "\n", ".new", "9".repeat(15)],
    ),
    check(name) {
      const state = names.parsePointerName(name);
      if (state) {
        const { key, version: number, nonce, expiresAt, userHash } = state;
        // One spelling for one state: or two files could be one session's.
        assert.deepEqual(names.createPointer(key, number, nonce, expiresAt, userHash), state);
      }
      const content = names.parseContentName(name);
      if (content) assert.equal(names.contentName(content.key, content.fileId), name);
      if (state || content) assert.match(name, /^[0-9a-z.-]+$/);
    },
  }),
  target({
    name: "file names: made and read",
    inputs: fc.tuple(createPointer, text, text),
    check([state, one, other]) {
      assert.deepEqual(names.parsePointerName(state.name), state);
      assert.match(names.hashId(one), /^[0-9a-f]{32}$/);
      assert.match(names.hashUserId(one), /^[0-9a-f]{24}$/);
      assert.equal(names.hashId(one) === names.hashId(other), one === other);
      assert.equal(names.hashUserId(one) === names.hashUserId(other), one === other);
      const nonce = makeNonce();
      assert.deepEqual(names.parseContentName(names.contentName(state.key, nonce)), { key: state.key, fileId: nonce });
      assert.equal(names.parsePointerName(names.contentName(state.key, nonce)), undefined);
    },
  }),
  target({
    name: "file content: written and read",
    inputs: fc.record({ id: text, userId: fc.option(text, { nil: undefined }), payload: anyBytes(40) }),
    check({ id, userId, payload }) {
      const content = { nonce: "k2x9-1", id, userId, payload: bytesOf(payload) };
      assert.deepEqual(decodeSessionFile(encodeSessionFile(content), "k2x9-1"), content);
      assert.equal(typeof decodeSessionFile(encodeSessionFile(content), "k2x9-2"), "string");
    },
  }),
  target({
    name: "file content: torn files",
    runs: 1500,
    inputs: fc.tuple(mutated(fc.constantFrom(...FILES.keys()), [], anyBytes()), fc.constantFrom(...CONTENTS)),
    check([file, { nonce }]) {
      const found = decodeSessionFile(bytesOf(file), nonce);
      const written = FILES.get(file);
      if (written?.nonce === nonce) assert.deepEqual(found, written);
      else assert.equal(typeof found, "string", "a file that was not written so is believed");
    },
  }),
  target({
    name: "file content: hostile heads",
    runs: 1500,
    inputs: fc.tuple(mutated(fc.constant('["k2x9-1","alice","ada"]'), ["[", "]", "null", "{}", ",", '"']), fc.nat(40)),
    check([head, payloadLength]) {
      // Somebody who can write to the directory, and can compute a checksum.
      const written = Buffer.from(head);
      const file = Buffer.concat([Buffer.from("SJN1"), Buffer.alloc(12), written, Buffer.alloc(payloadLength, 1)]);
      file.writeUInt32BE(written.length, 8);
      file.writeUInt32BE(payloadLength, 12);
      file.writeUInt32BE(crc32(file.subarray(8)), 4);
      const found = decodeSessionFile(file, "k2x9-1");
      if (typeof found === "string") return;
      assert.equal(found.nonce, "k2x9-1");
      assert.equal(typeof found.id, "string");
      assert.ok(found.userId === undefined || typeof found.userId === "string");
      assert.equal(found.payload.length, payloadLength);
      assert.deepEqual(decodeSessionFile(encodeSessionFile(found), found.nonce), found);
    },
  }),
  growth("file names", ["0", "a", ".", "-", KEYS[0]!, "1.", "\n"], (name) => [
    names.parsePointerName(name),
    names.parseContentName(name),
  ]),
  growth("file content", ["[", '"', "a", "\\", ",", "\u0000"], (head) => {
    const content = encodeSessionFile({ nonce: head, id: head, userId: head, payload: bytesOf(head) });
    return decodeSessionFile(content, head);
  }),
];
