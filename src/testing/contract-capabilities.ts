import assert from "node:assert/strict";
import { setTimeout as delay } from "node:timers/promises";
import type { SessionStore } from "../store.ts";
import { sameSession, sessionFor, uniqueId } from "./contract-helpers.ts";
import type { Bench, Capability, Rule } from "./store-contract.ts";

/** The rules of each capability that the store has. */
export function capabilityCases(capabilities: readonly Capability[]): Rule[] {
  return capabilities.flatMap((capability) =>
    CASES[capability].map(([name, check]): Rule => [
      name,
      async (bench) => {
        if (typeof bench.store[capability] === "function") await check(bench);
      },
    ]),
  );
}

const CASES: Record<Capability, readonly Rule[]> = {
  idsOfUser: [
    [
      "finds a user's sessions, and nobody else's",
      async (bench) => {
        const { store } = bench;
        const [ada, grace] = [uniqueId(), uniqueId()];
        const ids = [uniqueId(), uniqueId()];
        for (const id of ids) await store.create(id, sessionFor(bench, { userId: ada }));
        const other = uniqueId();
        await store.create(other, sessionFor(bench, { userId: grace }));
        await store.create(uniqueId(), sessionFor(bench));
        assert.deepEqual(await idsOf(store, ada), ids.toSorted(), "idsOfUser must find all of a user's sessions");
        assert.deepEqual(await idsOf(store, grace), [other], "idsOfUser must find nobody else's sessions");
        assert.deepEqual(await idsOf(store, uniqueId()), [], "a user without sessions has none");
        for (const tricky of ["", "*", "__proto__", "%"]) {
          const found = await idsOf(store, tricky);
          assert.ok(!found.includes(other), `idsOfUser(${JSON.stringify(tricky)}) must not match another user`);
        }
      },
    ],
    [
      "follows a session to another user, and to none",
      async (bench) => {
        const { store } = bench;
        const [ada, grace] = [uniqueId(), uniqueId()];
        const id = uniqueId();
        await store.create(id, sessionFor(bench));
        await store.update(id, sessionFor(bench, { version: 2, userId: ada }), 1);
        assert.deepEqual(await idsOf(store, ada), [id], "a session must be found by a user that an update gave it");
        await store.update(id, sessionFor(bench, { version: 3, userId: grace }), 2);
        assert.deepEqual(await idsOf(store, ada), [], "a session must not be found by its former user");
        assert.deepEqual(await idsOf(store, grace), [id], "a session must be found by its new user");
        await store.update(id, sessionFor(bench, { version: 4, userId: ada }), 2);
        assert.deepEqual(await idsOf(store, grace), [id], "a refused update must not change the user");
        await store.touch(id, bench.now() + 7_200_000);
        await store.update(id, sessionFor(bench, { version: 4, userId: grace }), 3);
        assert.deepEqual(await idsOf(store, grace), [id], "a session must stay its user's through touch and update");
        await store.update(id, sessionFor(bench, { version: 5 }), 4);
        assert.deepEqual(await idsOf(store, grace), [], "a session without a user is nobody's");
      },
    ],
    [
      "forgets a user's ended sessions",
      async (bench) => {
        const { store } = bench;
        const ada = uniqueId();
        const [deleted, expired] = [uniqueId(), uniqueId()];
        await store.create(deleted, sessionFor(bench, { userId: ada }));
        await store.create(expired, sessionFor(bench, { userId: ada, expiresIn: bench.lifetime }));
        await store.delete(deleted);
        await bench.advance(bench.lifetime + 1);
        assert.deepEqual(await idsOf(store, ada), [], "idsOfUser must leave out what was deleted or has expired");
        await store.create(deleted, sessionFor(bench));
        assert.deepEqual(await idsOf(store, ada), [], "a session created anew must not inherit a user");
      },
    ],
  ],
  all: [
    [
      "lists all live sessions",
      async (bench) => {
        const { store } = bench;
        const ids = [uniqueId(), uniqueId(), uniqueId()];
        const [deleted, expired] = [uniqueId(), uniqueId()];
        for (const id of [...ids, deleted]) await store.create(id, sessionFor(bench));
        await store.create(expired, sessionFor(bench, { expiresIn: bench.lifetime }));
        await store.update(ids[0] ?? "", sessionFor(bench, { version: 2 }), 1);
        await store.delete(deleted);
        await bench.advance(bench.lifetime + 1);
        const found = await everyId(store);
        assert.equal(new Set(found).size, found.length, "all must list each session once");
        for (const id of ids) assert.ok(found.includes(id), "all must list every live session");
        for (const id of [deleted, expired]) assert.ok(!found.includes(id), "all must leave out ended sessions");
      },
    ],
  ],
  deleteExpired: [
    [
      "forgets expired sessions, as many as it is told, and says how many",
      async (bench) => {
        const { store } = bench;
        await forgetExpired(bench);
        const kept = uniqueId();
        await store.create(kept, sessionFor(bench));
        for (let n = 0; n < 6; n += 1) await store.create(uniqueId(), sessionFor(bench, { expiresIn: bench.lifetime }));
        const touched = uniqueId();
        await store.create(touched, sessionFor(bench, { expiresIn: bench.lifetime }));
        await store.touch(touched, bench.now() + 3_600_000);
        const nearItsEnd = uniqueId();
        await store.create(
          nearItsEnd,
          sessionFor(bench, { expiresIn: bench.exact ? bench.lifetime + 2 : 2 * bench.lifetime }),
        );
        await bench.advance(bench.lifetime + 1);
        assert.equal(await store.deleteExpired?.(1), 1, "deleteExpired(1) must forget one of the expired sessions");
        assert.ok((await store.read(nearItsEnd)) !== undefined, "deleteExpired must wait for a session's very end");
        const counts: number[] = [];
        for (let call = 0; call < 4; call += 1) counts.push((await store.deleteExpired?.(2)) ?? Number.NaN);
        assert.deepEqual(counts, [2, 2, 1, 0], "deleteExpired(2) of the other 5 must forget 2, 2, 1 and then none");
        assert.ok((await store.read(kept)) !== undefined, "deleteExpired must leave live sessions alone");
        assert.ok((await store.read(touched)) !== undefined, "deleteExpired must leave extended sessions alone");
      },
    ],
  ],
  readLatest: [
    [
      "reads the latest of a session, and nothing of one that is missing, ended or expired",
      async (bench) => {
        const { store } = bench;
        const [kept, ended, expired] = [uniqueId(), uniqueId(), uniqueId()];
        for (const id of [kept, ended]) await store.create(id, sessionFor(bench));
        await store.create(expired, sessionFor(bench, { expiresIn: bench.lifetime }));
        for (const id of [kept, ended, expired]) await store.read(id);
        const newer = sessionFor(bench, { text: "newer", version: 2, userId: "ada" });
        await store.update(kept, newer, 1);
        await store.delete(ended);
        await bench.advance(bench.lifetime);
        sameSession(await store.readLatest!(kept), newer, "readLatest must give what update has stored");
        for (const id of [ended, expired, uniqueId()]) {
          assert.equal(await store.readLatest!(id), undefined, "readLatest must give nothing where nothing is live");
        }
      },
    ],
  ],
  subscribe: [
    [
      "tells of each live session that delete has ended, and of nothing else, until the listening ends",
      async (bench) => {
        const { store } = bench;
        const [kept, ended, expired, missing] = [uniqueId(), uniqueId(), uniqueId(), uniqueId()];
        const { heard, end } = await listen(store);
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
        await untilHeard(heard, 1);
        assert.deepEqual(
          heard,
          [ended],
          "subscribe must tell once of a live session that was deleted, and only of that",
        );
        end();
        await store.delete(kept);
        await delay(20);
        assert.deepEqual(heard, [ended], "nothing must be told after the listening has ended");
        end();
      },
    ],
    [
      "tells every listener, and goes on for the others when one has left",
      async (bench) => {
        const { store } = bench;
        const [first, second] = [uniqueId(), uniqueId()];
        const [one, other] = [await listen(store), await listen(store)];
        await store.create(first, sessionFor(bench));
        await store.create(second, sessionFor(bench));
        await store.delete(first);
        await untilHeard(one.heard, 1);
        await untilHeard(other.heard, 1);
        one.end();
        await store.delete(second);
        await untilHeard(other.heard, 2);
        other.end();
        assert.deepEqual(one.heard, [first], "who has left must hear nothing more");
        assert.deepEqual(other.heard, [first, second], "who has stayed must hear of both");
      },
    ],
    [
      "gives each call of subscribe a subscription of its own, also where two have the same listener",
      async (bench) => {
        const { store } = bench;
        const [first, second, third] = [uniqueId(), uniqueId(), uniqueId()];
        for (const id of [first, second, third]) await store.create(id, sessionFor(bench));
        const heard: string[] = [];
        const hears: boolean[] = [];
        const listener = {
          ended: (id: string) => heard.push(id),
          listening: (is: boolean) => is && hears.push(is),
        };
        const [end, endOther] = [store.subscribe!(listener), store.subscribe!(listener)];
        for (let tries = 0; tries < 500 && hears.length < 2; tries += 1) await delay(10);
        await store.delete(first);
        await untilHeard(heard, 2);
        assert.deepEqual(heard, [first, first], "a listener that is subscribed twice must hear of each end twice");
        end();
        end();
        await store.delete(second);
        await untilHeard(heard, 3);
        assert.deepEqual(heard.slice(2), [second], "ending a subscription, also twice, must leave the other one alone");
        endOther();
        await store.delete(third);
        await delay(20);
        assert.deepEqual(heard.slice(3), [], "nothing must be told after both subscriptions have ended");
      },
    ],
    [
      "goes on, and tells the others, where a listener throws",
      async (bench) => {
        const { store } = bench;
        const [first, second] = [uniqueId(), uniqueId()];
        const endFaulty = store.subscribe!({
          ended() {
            throw new Error("a listener's own mistake");
          },
        });
        const { heard, end } = await listen(store);
        // A store may warn of this. The warning is expected here, so it is not shown.
        const { emitWarning } = process;
        process.emitWarning = () => {};
        try {
          for (const id of [first, second]) {
            await store.create(id, sessionFor(bench));
            assert.equal(await store.delete(id), true, "delete must not fail for a listener's mistake");
          }
          await untilHeard(heard, 2);
        } finally {
          process.emitWarning = emitWarning;
          endFaulty();
          end();
        }
        assert.deepEqual(heard, [first, second], "a listener that throws must not keep the others from hearing");
      },
    ],
    [
      "tells of updates too, where it says that it announces changes",
      async (bench) => {
        const { store } = bench;
        if (!store.announcesChanges) return;
        const id = uniqueId();
        const { heard, changed, end } = await listen(store);
        await store.create(id, sessionFor(bench));
        await store.update(id, sessionFor(bench, { version: 3 }), 2);
        await store.update(id, sessionFor(bench, { version: 2 }), 1);
        await untilHeard(changed, 1);
        end();
        assert.deepEqual(changed, [id], "subscribe must tell once of an update, and not of one that had no effect");
        assert.deepEqual(heard, [], "an update ends nothing");
      },
    ],
  ],
  close: [
    [
      "rejects every operation once closed",
      async (bench) => {
        const { store } = bench;
        const id = uniqueId();
        await store.create(id, sessionFor(bench, { userId: "ada" }));
        await store.close?.();
        await store.close?.();
        const calls: Record<string, (() => Promise<unknown>) | undefined> = {
          read: () => store.read(id),
          create: () => store.create(uniqueId(), sessionFor(bench)),
          update: () => store.update(id, sessionFor(bench, { version: 2 }), 1),
          touch: () => store.touch(id, bench.now() + 7_200_000),
          delete: () => store.delete(id),
          idsOfUser: store.idsOfUser === undefined ? undefined : async () => store.idsOfUser?.("ada"),
          all: store.all === undefined ? undefined : () => everyId(store),
          deleteExpired: store.deleteExpired === undefined ? undefined : async () => store.deleteExpired?.(1),
        };
        for (const [name, call] of Object.entries(calls)) {
          if (call !== undefined) await assert.rejects(call, Error, `${name} of a closed store must reject`);
        }
      },
    ],
  ],
};

/** Subscribes, and waits until the store reports `listening(true)`. */
async function listen(store: SessionStore): Promise<{ heard: string[]; changed: string[]; end: () => void }> {
  const heard: string[] = [];
  const changed: string[] = [];
  const hears: boolean[] = [];
  const end = store.subscribe!({
    ended: (id) => heard.push(id),
    changed: (id) => changed.push(id),
    listening: (is) => hears.push(is),
  });
  for (let tries = 0; tries < 500 && !hears.at(-1); tries += 1) await delay(10);
  assert.ok(hears.at(-1), "subscribe must tell listening(true) once it hears");
  return { heard, changed, end };
}

/** Ignores sessions that earlier cases have left in the store. */
async function forgetExpired({ store, lifetime, advance }: Bench): Promise<void> {
  await advance(lifetime + 2);
  for (let calls = 0; calls < 1000; calls += 1) if (!(await store.deleteExpired?.(1000))) return;
}

/** Waits for this number of notifications, and then a little longer for those that should not come. */
async function untilHeard(heard: readonly string[], count: number): Promise<void> {
  for (let tries = 0; tries < 500 && heard.length < count; tries += 1) await delay(10);
  await delay(20);
}

async function idsOf(store: SessionStore, userId: string): Promise<string[]> {
  return ((await store.idsOfUser?.(userId)) ?? []).toSorted();
}

async function everyId(store: SessionStore): Promise<string[]> {
  const ids: string[] = [];
  for await (const id of store.all?.() ?? []) ids.push(id);
  return ids;
}
