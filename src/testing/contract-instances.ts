import assert from "node:assert/strict";
import type { SessionStore } from "../store.ts";
import { everyId, idsOf, latest, sameSession, sessionFor, uniqueId } from "./contract-helpers.ts";
import type { Bench, Rule } from "./store-contract.ts";

/** The rules of several instances: each sees an effect as soon as its promise is fulfilled. */
export const instanceCases: readonly Rule[] = [
  [
    "shows every instance at once what one has created, updated, extended and ended",
    (bench) =>
      both(bench, async (one, other) => {
        const id = uniqueId();
        const first = sessionFor(bench, { userId: "ada" });
        // An instance must not answer from what it has read before. So nothing happens between an effect and the read.
        const lookBefore = () => other.read(id);
        assert.equal(await lookBefore(), undefined, "a session must be missing before it is created");
        assert.equal(await one.create(id, first), true, "create of a new id must say true");
        sameSession(await latest(other, id), first, "what one instance has created must be there for the other");
        // The bytes differ, because a store may take equal ones for a retry of the same call after a lost reply.
        const theirs = sessionFor(bench, { text: "theirs" });
        assert.equal(await other.create(id, theirs), false, "create must say false where another instance has created");
        const second = sessionFor(bench, { text: "second", version: 2, userId: "grace" });
        await lookBefore();
        assert.equal(await one.update(id, second, 1), true, "update with the right version must say true");
        sameSession(await latest(other, id), second, "what one instance has updated must be there for the other");
        const late = sessionFor(bench, { text: "late", version: 2 });
        assert.equal(await other.update(id, late, 1), false, "update must compare with what another instance wrote");
        const expiresAt = second.expiresAt + 60_000;
        await lookBefore();
        assert.equal(await one.touch(id, expiresAt), true, "touch of a live session must say true");
        sameSession(
          await latest(other, id),
          { ...second, expiresAt },
          "what one instance has extended must be for the other",
        );
        assert.equal(await other.touch(id, second.expiresAt), true, "touch of a live session must say true");
        sameSession(await latest(one, id), { ...second, expiresAt }, "touch must not shorten what another extended");
        await lookBefore();
        assert.equal(await one.delete(id), true, "the delete that ended a live session must say true");
        assert.equal(await latest(other, id), undefined, "what one instance has ended must be gone for the other");
        const third = sessionFor(bench, { version: 3 });
        assert.equal(await other.update(id, third, 2), false, "update must not bring back what another has ended");
        assert.equal(await other.touch(id, expiresAt), false, "touch must say false where another has ended");
        assert.equal(await other.delete(id), false, "delete must say false where another instance has ended");
      }),
  ],
  [
    "shows every instance at once whose a session is, and that it is there",
    (bench) =>
      both(bench, async (one, other) => {
        const id = uniqueId();
        const [ada, grace] = [uniqueId(), uniqueId()];
        const listed = async () => other.all === undefined || (await everyId(other)).includes(id);
        const found = async (user: string) => (other.idsOfUser === undefined ? [] : idsOf(other, user));
        const its = other.idsOfUser === undefined ? [] : [id];
        await one.create(id, sessionFor(bench, { userId: ada }));
        assert.ok(await listed(), "all must list what another instance has created");
        assert.deepEqual(await found(ada), its, "idsOfUser must find what another instance has created");
        await one.update(id, sessionFor(bench, { version: 2, userId: grace }), 1);
        assert.deepEqual(await found(ada), [], "idsOfUser must follow what another instance has updated");
        assert.deepEqual(await found(grace), its, "idsOfUser must follow what another instance has updated");
        await one.delete(id);
        assert.deepEqual(await found(grace), [], "idsOfUser must leave out what another instance has ended");
        if (other.all !== undefined) assert.ok(!(await listed()), "all must leave out what another instance has ended");
      }),
  ],
  [
    "ends a session for every instance at the expiry that any of them has set",
    (bench) =>
      both(bench, async (one, other) => {
        const [touched, shortened] = [uniqueId(), uniqueId()];
        const { lifetime } = bench;
        await one.create(touched, sessionFor(bench, { expiresIn: lifetime }));
        await one.create(shortened, sessionFor(bench));
        for (const id of [touched, shortened]) await other.read(id);
        await one.touch(touched, bench.now() + 3_600_000);
        await one.update(shortened, sessionFor(bench, { version: 2, expiresIn: lifetime }), 1);
        await bench.advance(lifetime + 1);
        assert.ok((await latest(other, touched)) !== undefined, "what another instance has extended must live on");
        assert.equal(await latest(other, shortened), undefined, "what another has shortened must have expired");
      }),
  ],
];

/** Both directions, if there are two instances. */
async function both(bench: Bench, check: (one: SessionStore, other: SessionStore) => Promise<void>): Promise<void> {
  await check(bench.store, bench.second);
  if (bench.second !== bench.store) await check(bench.second, bench.store);
}
