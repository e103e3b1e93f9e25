import assert from "node:assert/strict";
import { sessionFor, sameSession, uniqueId } from "./contract-helpers.ts";
import type { Rule } from "./store-contract.ts";

/** The rules of creating, replacing and ending, one call after another. */
export const lifecycleCases: readonly Rule[] = [
  [
    "gives back what was created",
    async (bench) => {
      const id = uniqueId();
      const stored = sessionFor(bench, { text: "hello", userId: "ada" });
      assert.equal(await bench.store.create(id, stored), true, "create of a new id must say true");
      sameSession(await bench.store.read(id), stored, "read must give back what was created");
    },
  ],
  [
    "reads undefined where there is no session",
    async ({ store }) => {
      assert.equal(await store.read(uniqueId()), undefined, "a missing session is undefined, not an error or null");
    },
  ],
  [
    "refuses to create a session that exists, and leaves it alone",
    async (bench) => {
      const id = uniqueId();
      const first = sessionFor(bench, { text: "first" });
      await bench.store.create(id, first);
      const second = sessionFor(bench, { text: "second", expiresIn: 5, version: 7, userId: "eve" });
      assert.equal(await bench.store.create(id, second), false, "create over a live session must say false");
      sameSession(await bench.store.read(id), first, "a refused create must change nothing");
    },
  ],
  [
    "creates again after a delete",
    async (bench) => {
      const id = uniqueId();
      await bench.store.create(id, sessionFor(bench, { text: "first" }));
      await bench.store.delete(id);
      const second = sessionFor(bench, { text: "second" });
      assert.equal(await bench.store.create(id, second), true, "create after delete must say true");
      sameSession(await bench.store.read(id), second, "the new session must be the one created last");
    },
  ],
  [
    "replaces payload, version, expiry and user at an update",
    async (bench) => {
      const id = uniqueId();
      await bench.store.create(id, sessionFor(bench, { text: "before", userId: "ada" }));
      const next = sessionFor(bench, { text: "after", version: 2, userId: "grace", expiresIn: 120_000 });
      assert.equal(await bench.store.update(id, next, 1), true, "update with the right version must say true");
      sameSession(await bench.store.read(id), next, "update must replace everything");
    },
  ],
  [
    "may shorten a session at an update",
    async (bench) => {
      const id = uniqueId();
      await bench.store.create(id, sessionFor(bench, { expiresIn: 3_600_000 }));
      const next = sessionFor(bench, { version: 2, expiresIn: 60_000 });
      await bench.store.update(id, next, 1);
      sameSession(await bench.store.read(id), next, "update sets the expiry it is given, earlier or later");
    },
  ],
  [
    "takes a user away at an update without one",
    async (bench) => {
      const id = uniqueId();
      await bench.store.create(id, sessionFor(bench, { userId: "ada" }));
      await bench.store.update(id, sessionFor(bench, { version: 2 }), 1);
      assert.equal((await bench.store.read(id))?.userId, undefined, "the user must be gone");
    },
  ],
  [
    "refuses an update that expects another version, and changes nothing",
    async (bench) => {
      const id = uniqueId();
      await bench.store.create(id, sessionFor(bench));
      const second = sessionFor(bench, { text: "second", version: 2 });
      await bench.store.update(id, second, 1);
      for (const expected of [1, 3]) {
        const wrong = sessionFor(bench, { text: "wrong", version: expected + 1, userId: "eve" });
        const outcome = await bench.store.update(id, wrong, expected);
        assert.equal(outcome, false, `update must say false where version 2 is kept and ${expected} is expected`);
      }
      sameSession(await bench.store.read(id), second, "a refused update must change nothing");
    },
  ],
  [
    "never creates by an update",
    async (bench) => {
      const id = uniqueId();
      const outcome = await bench.store.update(id, sessionFor(bench, { version: 2 }), 1);
      assert.equal(outcome, false, "update of a missing session must say false");
      assert.equal(await bench.store.read(id), undefined, "update of a missing session must not create it");
    },
  ],
  [
    "never resurrects by an update after a delete",
    async (bench) => {
      const id = uniqueId();
      await bench.store.create(id, sessionFor(bench));
      await bench.store.delete(id);
      const outcome = await bench.store.update(id, sessionFor(bench, { version: 2 }), 1);
      assert.equal(outcome, false, "update of a deleted session must say false");
      assert.equal(await bench.store.read(id), undefined, "update must not bring a deleted session back");
    },
  ],
  [
    "deletes once: true, then false",
    async (bench) => {
      const id = uniqueId();
      await bench.store.create(id, sessionFor(bench));
      assert.equal(await bench.store.delete(id), true, "the delete that ended a live session must say true");
      assert.equal(await bench.store.delete(id), false, "a second delete must say false, and not fail");
      assert.equal(await bench.store.delete(uniqueId()), false, "delete of a missing session must say false");
      assert.equal(await bench.store.read(id), undefined, "a deleted session must be unreadable");
    },
  ],
  [
    "extends a session at a touch, and leaves all else alone",
    async (bench) => {
      const id = uniqueId();
      const stored = sessionFor(bench, { text: "kept", userId: "ada", expiresIn: 60_000 });
      await bench.store.create(id, stored);
      const expiresAt = stored.expiresAt + 60_000;
      assert.equal(await bench.store.touch(id, expiresAt), true, "touch of a live session must say true");
      sameSession(await bench.store.read(id), { ...stored, expiresAt }, "touch must change the expiry and no more");
    },
  ],
  [
    "accepts an update of the old version after a touch",
    async (bench) => {
      const id = uniqueId();
      const stored = sessionFor(bench);
      await bench.store.create(id, stored);
      await bench.store.touch(id, stored.expiresAt + 60_000);
      const next = sessionFor(bench, { version: 2, text: "after" });
      assert.equal(await bench.store.update(id, next, 1), true, "a touch must not count as a version");
      sameSession(await bench.store.read(id), next, "update must replace everything, the touched expiry too");
    },
  ],
  [
    "keeps the later expiry at an update that may only extend",
    async (bench) => {
      for (const indexed of [{}, { userId: "ada" }]) {
        const id = uniqueId();
        const first = sessionFor(bench, { ...indexed, expiresIn: 60_000 });
        await bench.store.create(id, first);
        const touched = bench.now() + 3_600_000;
        await bench.store.touch(id, touched);
        const second = sessionFor(bench, { ...indexed, version: 2, expiresIn: 60_000 });
        assert.equal(await bench.store.update(id, { ...second, extendOnly: true }, 1), true, "update must say true");
        const kept = { ...second, expiresAt: touched };
        sameSession(await bench.store.read(id), kept, "an update that may only extend must keep a later expiry");
        const third = sessionFor(bench, { ...indexed, version: 3, expiresIn: 7_200_000 });
        await bench.store.update(id, { ...third, extendOnly: true }, 2);
        sameSession(await bench.store.read(id), third, "an update that may only extend must extend");
        const fourth = sessionFor(bench, { userId: "grace", version: 4, expiresIn: 60_000 });
        await bench.store.update(id, { ...fourth, extendOnly: true }, 3);
        const owned = { ...fourth, expiresAt: third.expiresAt };
        sameSession(await bench.store.read(id), owned, "an update that may only extend must replace all else");
      }
    },
  ],
  [
    "never shortens at a touch, and still says true",
    async (bench) => {
      const id = uniqueId();
      const stored = sessionFor(bench, { expiresIn: 60_000 });
      await bench.store.create(id, stored);
      for (const earlier of [0, 1, 30_000]) {
        const outcome = await bench.store.touch(id, stored.expiresAt - earlier);
        assert.equal(outcome, true, "touch of a session that lives on must say true, whatever the expiry asked for");
        sameSession(await bench.store.read(id), stored, "touch must never shorten");
      }
    },
  ],
  [
    "never resurrects by a touch",
    async (bench) => {
      const id = uniqueId();
      assert.equal(
        await bench.store.touch(id, bench.now() + 60_000),
        false,
        "touch of a missing session must say false",
      );
      await bench.store.create(id, sessionFor(bench));
      await bench.store.delete(id);
      assert.equal(await bench.store.touch(id, bench.now() + 60_000), false, "touch after a delete must say false");
      assert.equal(await bench.store.read(id), undefined, "touch must not bring a session into being");
    },
  ],
];
