import assert from "node:assert/strict";
import type { StoredSession } from "../store.ts";
import { sameSession, sessionFor, settled, times, uniqueId } from "./contract-helpers.ts";
import { listen, untilNotified } from "./listening.ts";
import type { Rule } from "./store-contract.ts";

/** The rules of notifications: their content and their time. */
export const subscribeCases: readonly Rule[] = [
  [
    "notifies of each live session that delete has ended, and of nothing else, until the subscription ends",
    async (bench) => {
      const { store } = bench;
      const [kept, ended, expired, missing] = [uniqueId(), uniqueId(), uniqueId(), uniqueId()];
      const ear = await listen(store);
      await store.create(kept, sessionFor(bench));
      await store.create(ended, sessionFor(bench));
      await store.create(expired, sessionFor(bench, { expiresIn: bench.lifetime }));
      await bench.advance(bench.lifetime);
      await store.update(kept, sessionFor(bench, { version: 2 }), 1);
      await store.touch(kept, bench.now() + 7_200_000);
      await store.delete(expired);
      await store.delete(missing);
      await store.delete(ended);
      await store.delete(ended);
      await untilNotified(bench, 1, ear);
      assert.deepEqual(ear.ended, [ended], "subscribe must tell once of a live session that was deleted, and no more");
      const other = await listen(store);
      ear.end();
      await store.delete(kept);
      await untilNotified(bench, 1, other);
      assert.deepEqual(other.ended, [kept], "who still listens must hear");
      assert.deepEqual(ear.ended, [ended], "there must be no notification after the subscription has ended");
      ear.end();
      other.end();
    },
  ],
  [
    "does not tell of a session that expires, is forgotten, or is followed by another under its id",
    async (bench) => {
      const { store } = bench;
      const ear = await listen(store);
      const [replaced, forgotten] = [uniqueId(), uniqueId()];
      for (const id of [replaced, forgotten]) await store.create(id, sessionFor(bench, { expiresIn: bench.lifetime }));
      await bench.advance(bench.lifetime + 1);
      await store.read(forgotten);
      await store.create(replaced, sessionFor(bench));
      for (let calls = 0; calls < 1000; calls += 1) if (!(await store.deleteExpired?.(1000))) break;
      await untilNotified(bench, 0, ear);
      ear.end();
      assert.deepEqual(ear.ended, [], "subscribe must tell of what delete has ended, and not of what has expired");
    },
  ],
  [
    "notifies every instance, once, of what any of them has ended",
    async (bench) => {
      const { store, second } = bench;
      const ids = times(4, () => uniqueId());
      const ears = [await listen(store), await listen(second)];
      for (const [n, id] of ids.entries()) {
        await store.create(id, sessionFor(bench));
        await (n % 2 === 0 ? store : second).delete(id);
      }
      await untilNotified(bench, ids.length, ...ears);
      for (const { ended, end } of ears) {
        end();
        assert.deepEqual(ended.toSorted(), ids.toSorted(), "every instance must hear once of what any has ended");
      }
    },
  ],
  [
    "notifies of each of many sessions that are deleted at once",
    async (bench) => {
      const { store, second } = bench;
      const ids = times(50, () => uniqueId());
      for (const id of ids) await store.create(id, sessionFor(bench));
      const ears = [await listen(store), await listen(second)];
      await Promise.all(ids.map((id, n) => (n % 2 === 0 ? store : second).delete(id)));
      await untilNotified(bench, ids.length, ...ears);
      for (const { ended, end } of ears) {
        end();
        assert.deepEqual(
          ended.toSorted(),
          ids.toSorted(),
          "each deletion must be notified, once, however many there are",
        );
      }
    },
  ],
  [
    "has ended a session by the time that it notifies",
    async (bench) => {
      const { store, second } = bench;
      const reads: Promise<unknown>[] = [];
      const lists: Promise<readonly string[] | undefined>[] = [];
      const ids = [uniqueId(), uniqueId()] as const;
      const user = uniqueId();
      for (const id of ids) await store.create(id, sessionFor(bench, { userId: user }));
      const ears = await Promise.all(
        [store, second].map((instance) =>
          listen(instance, {
            ended(id) {
              if (!ids.includes(id)) return;
              reads.push(instance.read(id));
              if (instance.idsOfUser !== undefined)
                lists.push(instance.idsOfUser(user).then((all) => all.filter((one) => one === id)));
            },
          }),
        ),
      );
      // A near cache reads at this moment.
      for (const instance of [store, second]) for (const id of ids) await instance.read(id);
      await store.delete(ids[0]);
      await second.delete(ids[1]);
      await settled(() => ears.every(({ ended }) => ended.length >= ids.length));
      for (const { end } of ears) end();
      assert.equal(reads.length, 2 * ids.length, "every instance must hear of what any of them has ended");
      const found = (await Promise.all(reads)).filter((session) => session !== undefined);
      assert.equal(
        found.length,
        0,
        "a session must be unreadable, for a listener that is notified of its end, from then on",
      );
      assert.deepEqual(
        (await Promise.all(lists)).flat(),
        [],
        "idsOfUser must leave out sessions whose end was notified",
      );
    },
  ],
  [
    "is notified of whatever happens from the moment on that it says so",
    async (bench) => {
      const { store, second } = bench;
      for (const [listens, deletes] of [
        [store, second],
        [second, store],
        [store, store],
      ] as const) {
        const id = uniqueId();
        await deletes.create(id, sessionFor(bench));
        const received: string[] = [];
        let deleted: Promise<boolean> | undefined;
        const end = listens.subscribe!({
          ended: (ended) => void received.push(ended),
          listening(is) {
            if (is) deleted ??= deletes.delete(id);
          },
        });
        await settled(() => received.length > 0);
        end();
        assert.ok(deleted !== undefined, "subscribe must call listening(true) once it is notified of everything");
        assert.equal(await deleted, true, "the delete that ended a live session must say true");
        assert.deepEqual(received, [id], "a delete during listening(true) must be notified");
      }
    },
  ],
  [
    "notifies of hostile ids as they are",
    async (bench) => {
      const ear = await listen(bench.second);
      const own = uniqueId();
      const ids = HOSTILE.map((id) => id.replaceAll("OWN", own));
      for (const id of ids) {
        await bench.store.create(id, sessionFor(bench));
        await bench.store.delete(id);
      }
      await untilNotified(bench, ids.length, ear);
      ear.end();
      assert.deepEqual(ear.ended.toSorted(), ids.toSorted(), "subscribe must tell each id as create was given it");
    },
  ],
  [
    "notifies of updates too, where it says that it announces changes",
    async (bench) => {
      const { store, second } = bench;
      if (!store.announcesChanges) return;
      const [id, again] = [uniqueId(), uniqueId()];
      const ears = [await listen(store), await listen(second)];
      await store.create(again, sessionFor(bench, { expiresIn: bench.lifetime }));
      await store.create(id, sessionFor(bench));
      await store.update(id, sessionFor(bench, { version: 3 }), 2);
      await store.update(id, sessionFor(bench, { version: 2 }), 1);
      await second.update(id, sessionFor(bench, { version: 3 }), 2);
      await bench.advance(bench.lifetime + 1);
      await store.create(again, sessionFor(bench));
      await settled(() => ears.every(({ changed }) => changed.length >= 2));
      await untilNotified(bench, 0, ...ears);
      for (const { changed, ended, end } of ears) {
        end();
        assert.deepEqual(changed, [id, id], "subscribe must tell of an update once, and not of one without effect");
        assert.deepEqual(ended, [], "an update ends nothing");
      }
    },
  ],
  [
    "shows an update by the time that it notifies, where it says that it announces changes",
    async (bench) => {
      const { store, second } = bench;
      if (!store.announcesChanges) return;
      const id = uniqueId();
      const reads: Promise<StoredSession | undefined>[] = [];
      await store.create(id, sessionFor(bench));
      const ears = await Promise.all(
        [store, second].map((instance) =>
          listen(instance, { changed: (changedId) => changedId === id && reads.push(instance.read(id)) }),
        ),
      );
      for (const instance of [store, second]) await instance.read(id);
      const next = sessionFor(bench, { text: "after", version: 2 });
      await store.update(id, next, 1);
      await settled(() => ears.every(({ changed }) => changed.length > 0));
      for (const { end } of ears) end();
      assert.equal(reads.length, 2, "every instance must hear of what any of them has updated");
      for (const found of await Promise.all(reads)) {
        sameSession(found, next, "a listener that is notified of an update must be able to read it from then on");
      }
    },
  ],
];

const HOSTILE = [
  "OWN",
  "OWN ",
  " OWN",
  "OWN\n",
  "OWN\0x",
  "OWN:x",
  "-OWN",
  "+OWN",
  "OWN\r\n1",
  "OWN'; --",
  "OWN\u00e9",
  "OWN\ud83e",
  "OWN🦁",
  "OWN%20",
];
