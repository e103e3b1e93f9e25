import assert from "node:assert/strict";
import type { SessionStore, StoredSession } from "../store.ts";
import { idsOf, latest, sameSession, sessionFor, uniqueId } from "./contract-helpers.ts";
import { type Meeting, staggered } from "./stagger.ts";
import type { Bench, Rule } from "./store-contract.ts";

/** The rules of two concurrent calls, at every distance between their beginnings. */
export const meetingCases: readonly Rule[] = [
  [
    "never lets an update outlast a delete that meets it",
    (bench) =>
      endsBeside(bench, (store, id, user) => store.update(id, sessionFor(bench, { version: 2, userId: user }), 1)),
  ],
  [
    "never lets an update that may only extend outlast a delete that meets it",
    (bench) =>
      endsBeside(bench, (store, id) => store.update(id, { ...sessionFor(bench, { version: 2 }), extendOnly: true }, 1)),
  ],
  [
    "never lets a touch outlast a delete that meets it",
    (bench) => endsBeside(bench, (store, id) => store.touch(id, bench.now() + 7_200_000)),
  ],
  [
    "never undoes an update by a touch that meets it",
    (bench) =>
      meets(bench, async (one, other, id) => {
        const next = sessionFor(bench, { text: "after", version: 2, userId: "ada" });
        const touched = next.expiresAt + 60_000;
        return {
          one: () => one.update(id, next, 1),
          other: () => other.touch(id, touched),
          async check(updated, extended) {
            assert.deepEqual([updated, extended], [true, true], "an update and a touch must both give true");
            const found = await latest(one, id);
            // In either order: the update sets the expiry, or the touch extends it.
            const expiresAt = found?.expiresAt === touched ? touched : next.expiresAt;
            sameSession(found, { ...next, expiresAt }, "an update must survive a touch that meets it");
          },
        };
      }),
  ],
  [
    "keeps what a touch has extended at an update that may only extend and meets it",
    (bench) =>
      meets(bench, async (one, other, id) => {
        const next = sessionFor(bench, { text: "after", version: 2 });
        const touched = next.expiresAt + 60_000;
        return {
          one: () => one.update(id, { ...next, extendOnly: true }, 1),
          other: () => other.touch(id, touched),
          async check(updated, extended) {
            assert.deepEqual([updated, extended], [true, true], "an update and a touch must both give true");
            const wanted = { ...next, expiresAt: touched };
            sameSession(await latest(one, id), wanted, "both must be there, and the later expiry");
          },
        };
      }),
  ],
  [
    "ends at the later of two touches that meet",
    (bench) =>
      meets(bench, async (one, other, id, stored) => {
        return {
          one: () => one.touch(id, stored.expiresAt + 60_000),
          other: () => other.touch(id, stored.expiresAt + 120_000),
          async check(sooner, later) {
            assert.deepEqual([sooner, later], [true, true], "every touch of a live session must give true");
            const found = await latest(one, id);
            assert.equal(found?.expiresAt, stored.expiresAt + 120_000, "the later expiry asked for must stand");
          },
        };
      }),
  ],
  [
    "lets one of two updates that meet through, and makes nobody else the user",
    (bench) =>
      meets(bench, async (one, other, id) => {
        const users = [uniqueId(), uniqueId()] as const;
        const next = users.map((userId) => sessionFor(bench, { text: userId, version: 2, userId }));
        return {
          one: () => one.update(id, next[0]!, 1),
          other: () => other.update(id, next[1]!, 1),
          async check(...outcomes) {
            assert.equal(outcomes.filter(Boolean).length, 1, "of two updates of one version, one must give true");
            const winner = outcomes.indexOf(true);
            sameSession(await latest(one, id), next[winner]!, "the one that gave true must stand");
            if (one.idsOfUser === undefined) return;
            assert.deepEqual(await idsOf(one, users[winner]!), [id], "the session must be its new user's");
            assert.deepEqual(await idsOf(one, users[1 - winner]!), [], "a refused update must not give it a user");
          },
        };
      }),
  ],
  [
    "lets one of two creates that meet through, and makes nobody else the user",
    (bench) =>
      staggered(bench, async (one, other) => {
        const id = uniqueId();
        const users = [uniqueId(), uniqueId()] as const;
        const made = users.map((userId) => sessionFor(bench, { text: userId, userId }));
        return {
          one: () => one.create(id, made[0]!),
          other: () => other.create(id, made[1]!),
          async check(...outcomes) {
            assert.equal(outcomes.filter(Boolean).length, 1, "of two creates of one id, one must give true");
            const winner = outcomes.indexOf(true);
            sameSession(await latest(one, id), made[winner]!, "the one that gave true must stand");
            if (one.idsOfUser === undefined) return;
            assert.deepEqual(await idsOf(one, users[winner]!), [id], "the session must be its user's");
            assert.deepEqual(await idsOf(one, users[1 - winner]!), [], "a refused create must not give it a user");
          },
        };
      }),
  ],
  [
    "counts one of two deletes that meet",
    (bench) =>
      meets(bench, async (one, other, id) => ({
        one: () => one.delete(id),
        other: () => other.delete(id),
        async check(...outcomes) {
          assert.equal(outcomes.filter(Boolean).length, 1, "of deletes of one session, one must give true");
        },
      })),
  ],
  [
    "reads a session as one update has left it, never half of two",
    (bench) =>
      meets(bench, async (one, other, id, before) => {
        const next = sessionFor(bench, { text: "after", version: 2, userId: "ada", expiresIn: 7_200_000 });
        return {
          one: () => one.update(id, next, 1),
          async other() {
            const found = await latest(other, id);
            sameSession(found, found?.version === 2 ? next : before, "what is read must be of one version");
            return true;
          },
          check: async () => undefined,
        };
      }),
  ],
];

type Prepare = (one: SessionStore, other: SessionStore, id: string, stored: StoredSession) => Promise<Meeting>;

/** Runs two calls on a live session, which is new for each meeting. */
function meets(bench: Bench, prepare: Prepare): Promise<void> {
  return staggered(bench, async (one, other) => {
    const id = uniqueId();
    const stored = sessionFor(bench);
    await one.create(id, stored);
    return prepare(one, other, id, stored);
  });
}

/** Runs a delete and another call on one session. The session must be gone in either order. */
function endsBeside(
  bench: Bench,
  call: (store: SessionStore, id: string, user: string) => Promise<boolean>,
): Promise<void> {
  return meets(bench, async (one, other, id) => {
    const user = uniqueId();
    return {
      one: () => call(one, id, user),
      other: () => other.delete(id),
      async check(_, deleted) {
        assert.equal(deleted, true, "the delete found a live session, and must say that it ended it");
        for (const store of [one, other]) {
          const left = await latest(store, id);
          assert.equal(left, undefined, "a session must stay gone once its delete is fulfilled");
        }
        if (one.idsOfUser === undefined) return;
        assert.deepEqual(await idsOf(one, user), [], "a session that is gone must not be found by its user");
      },
    };
  });
}
