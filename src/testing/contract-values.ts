import assert from "node:assert/strict";
import { bytes, sameSession, sessionFor, payloadText, uniqueId } from "./contract-helpers.ts";
import type { StoredSession } from "../store.ts";
import type { Rule } from "./store-contract.ts";

/** The rules of values: they are returned unchanged, and never shared by reference. */
export const valueCases: readonly Rule[] = [
  roundTrip(
    "keeps every value of a byte",
    Uint8Array.from({ length: 512 }, (_, index) => index),
  ),
  roundTrip("keeps an empty payload", new Uint8Array(0)),
  roundTrip(
    "keeps a payload of 1 MiB",
    Uint8Array.from({ length: 1 << 20 }, (_, index) => (index * 31) >> 3),
  ),
  roundTrip("keeps a payload that is a window on a larger buffer", new Uint8Array(bytes("..inside..").buffer, 2, 6)),
  [
    "keeps versions of any size that the contract allows",
    async (bench) => {
      const { store } = bench;
      const id = uniqueId();
      let last = 1;
      await store.create(id, sessionFor(bench));
      for (const version of [2, 128, 256, 65_536, 2 ** 31, 2 ** 32, 2 ** 41 + 1, 2 ** 46]) {
        const next = sessionFor(bench, { version, text: `version ${version}` });
        for (const wrong of [
          version,
          last - 1,
          last + 1,
          last + 2 ** 31,
          last + 2 ** 32,
          last % 2 ** 31,
          last % 2 ** 32,
        ]) {
          if (wrong === last) continue;
          assert.equal(await store.update(id, next, wrong), false, `${last} must not pass for ${wrong}`);
        }
        assert.equal(await store.update(id, next, last), true, `update must find version ${last}`);
        sameSession(await store.read(id), next, `a session of version ${version} must come back`);
        last = version;
      }
    },
  ],
  [
    "copies what it is given",
    async (bench) => {
      const id = uniqueId();
      const payload = bytes("created");
      await bench.store.create(id, sessionFor(bench, { payload }));
      payload.fill(0x58);
      assert.equal(
        payloadText(await bench.store.read(id)),
        "created",
        "changing the input after create changed the store",
      );
      const next = bytes("updated");
      await bench.store.update(id, sessionFor(bench, { payload: next, version: 2 }), 1);
      next.fill(0x58);
      assert.equal(
        payloadText(await bench.store.read(id)),
        "updated",
        "changing the input after update changed the store",
      );
    },
  ],
  [
    "copies what it is given as it is called, whatever the caller does with it until it is done",
    async (bench) => {
      const { store } = bench;
      for (const userId of [undefined, uniqueId()]) {
        const id = uniqueId();
        const first = sessionFor(bench, { text: "created", ...(userId !== undefined && { userId }) });
        const creating = { ...first, payload: new Uint8Array(first.payload) };
        const created = store.create(id, creating);
        reuse(creating);
        assert.equal(await created, true, "create of a new id must say true");
        sameSession(await store.read(id), first, "create must keep what it was given when it was called");
        const second = sessionFor(bench, { text: "updated", version: 2, userId: uniqueId() });
        const updating = { ...second, payload: new Uint8Array(second.payload) };
        const updated = store.update(id, updating, 1);
        reuse(updating);
        assert.equal(await updated, true, "update with the right version must say true");
        sameSession(await store.read(id), second, "update must keep what it was given when it was called");
      }
    },
  ],
  [
    "leaves what it has given out alone when the session is updated or ends",
    async (bench) => {
      const { store } = bench;
      const id = uniqueId();
      const first = sessionFor(bench, { text: "first" });
      await store.create(id, first);
      const found = await store.read(id);
      await store.update(id, sessionFor(bench, { text: "other", version: 2 }), 1);
      await store.touch(id, first.expiresAt + 60_000);
      sameSession(found, first, "what was read must not change with the session");
      await store.delete(id);
      sameSession(found, first, "what was read must not change with the session");
    },
  ],
  [
    "gives out copies",
    async (bench) => {
      const id = uniqueId();
      await bench.store.create(id, sessionFor(bench, { text: "kept" }));
      const first = await bench.store.read(id);
      first?.payload.fill(0x58);
      if (first !== undefined) Object.assign(first, { version: 9, expiresAt: 0, userId: "eve" });
      const second = await bench.store.read(id);
      assert.equal(payloadText(second), "kept", "changing what was read changed the store");
      assert.deepEqual([second?.version, second?.userId], [1, undefined], "changing what was read changed the store");
    },
  ],
  [
    "keeps hostile ids apart, and in their place",
    async (bench) => {
      const own = uniqueId();
      const ids = HOSTILE.map((id) => id.replaceAll("OWN", own));
      for (const id of ids) {
        const shown = JSON.stringify(id.slice(0, 40));
        // An aborted run may have left this session in the engine. If two ids collide, this ends the other session.
        await bench.store.delete(id);
        assert.equal(await bench.store.read(id), undefined, `${shown} must be missing before it is created`);
        const stored = sessionFor(bench, { text: id.slice(0, 100) });
        assert.equal(await bench.store.create(id, stored), true, `${shown} must not be another's session`);
      }
      for (const id of ids) {
        const shown = JSON.stringify(id.slice(0, 40));
        const wanted = sessionFor(bench, { text: id.slice(0, 100) }).payload;
        assert.deepEqual(
          [...((await bench.store.read(id))?.payload ?? [])],
          [...wanted],
          `${shown} holds another's data`,
        );
      }
      for (const id of ids) {
        assert.equal(await bench.store.delete(id), true, `${JSON.stringify(id.slice(0, 40))} must be there to delete`);
      }
    },
  ],
  [
    "keeps a user of any characters",
    async (bench) => {
      for (const userId of [
        "",
        "ada@example.org",
        "../../etc/passwd",
        "__proto__",
        "Ada Löwe 🦁",
        "a:b*c?d[e]",
        "'; --",
      ]) {
        const id = uniqueId();
        const stored = sessionFor(bench, { userId });
        await bench.store.create(id, stored);
        sameSession(await bench.store.read(id), stored, `the user ${JSON.stringify(userId)} must come back`);
      }
    },
  ],
];

// Ids that a shared engine may contain already are made unique by the case's own id.
const HOSTILE = [
  "../../etc/passwd",
  "..",
  ".",
  "/",
  "",
  "__proto__",
  "constructor",
  "toString",
  "OWN",
  "OWN ",
  " OWN",
  "OWN\n",
  "OWN\0",
  "OWN\0x",
  "OWN/x",
  "OWN\\x",
  "OWN:x",
  "OWN*",
  "OWN%00",
  "OWN'; drop table sessions; --",
  "OWNé",
  "OWNe\u0301",
  "OWN🦁",
  "OWN\ud83e",
  "OWN\ufffd",
  "OWNk",
  "OWNK",
  `OWN${"x".repeat(5000)}`,
  `OWN${"x".repeat(5000)}y`,
];

/** Changes the session as a caller does that reuses one buffer. */
function reuse(stored: StoredSession): void {
  stored.payload.fill(0x58);
  Object.assign(stored, { version: 9, expiresAt: stored.expiresAt + 60_000, userId: "eve" });
}

function roundTrip(name: string, payload: Uint8Array): Rule {
  return [
    name,
    async (bench) => {
      const id = uniqueId();
      const created = sessionFor(bench, { payload });
      await bench.store.create(id, created);
      sameSession(await bench.store.read(id), created, `${name}, at create`);
      const updated = sessionFor(bench, { payload: payload.toReversed(), version: 2 });
      await bench.store.update(id, updated, 1);
      sameSession(await bench.store.read(id), updated, `${name}, at update`);
    },
  ];
}
