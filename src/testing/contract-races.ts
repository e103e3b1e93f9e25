import assert from "node:assert/strict";
import type { SessionStore } from "../store.ts";
import { bytes, sameSession, sessionFor, textOf, uniqueId } from "./contract-helpers.ts";
import type { Bench, Rule } from "./store-contract.ts";

const MANY = 100;

/** The rules of concurrent calls. */
export const raceCases: readonly Rule[] = [
  [
    `applies each of ${MANY} concurrent updates once`,
    async (bench) => {
      const id = uniqueId();
      await bench.store.create(id, sessionFor(bench, { text: "" }));
      await Promise.all(times(MANY, (worker) => append(bench, id, `${worker},`)));
      const found = await bench.store.read(id);
      const applied = textOf(found).split(",").slice(0, -1).map(Number);
      assert.equal(applied.length, MANY, "every update that was told true must be applied, and once only");
      assert.equal(new Set(applied).size, MANY, "an update was applied twice, and another overwritten");
      assert.equal(found?.version, MANY + 1, "the version must have gone up once for each update");
    },
  ],
  [
    "lets one of many updates of the same version through",
    async (bench) => {
      const id = uniqueId();
      await bench.store.create(id, sessionFor(bench));
      const outcomes = await Promise.all(
        times(MANY, (n) => bench.store.update(id, sessionFor(bench, { text: `${n}`, version: 2 }), 1)),
      );
      assert.equal(countTrue(outcomes), 1, "of updates that expect the same version, one must be told true");
      assert.equal(textOf(await bench.store.read(id)), `${outcomes.indexOf(true)}`, "the one told true must stand");
    },
  ],
  [
    "lets one of many creates through",
    async (bench) => {
      const id = uniqueId();
      const outcomes = await Promise.all(
        times(MANY, (n) => bench.store.create(id, sessionFor(bench, { text: `${n}` }))),
      );
      assert.equal(countTrue(outcomes), 1, "of creates of one id, one must be told true");
      assert.equal(textOf(await bench.store.read(id)), `${outcomes.indexOf(true)}`, "the one told true must stand");
    },
  ],
  [
    "ends at the latest of many touches",
    async (bench) => {
      const id = uniqueId();
      const stored = sessionFor(bench);
      await bench.store.create(id, stored);
      const order = times(MANY, (n) => (n * 37) % MANY);
      const outcomes = await Promise.all(order.map((n) => bench.store.touch(id, stored.expiresAt + n)));
      assert.equal(countTrue(outcomes), MANY, "every touch of a live session must be told true");
      const wanted = { ...stored, expiresAt: stored.expiresAt + MANY - 1 };
      sameSession(await bench.store.read(id), wanted, "the latest expiry asked for must stand");
    },
  ],
  [
    "counts one of many deletes",
    async (bench) => {
      const id = uniqueId();
      await bench.store.create(id, sessionFor(bench));
      const outcomes = await Promise.all(times(20, () => bench.store.delete(id)));
      assert.equal(countTrue(outcomes), 1, "of deletes of one session, one must be told true");
    },
  ],
  [
    "never lets an update outlast a delete that meets it",
    (bench) => endsBeside(bench, (store, id) => store.update(id, sessionFor(bench, { version: 2 }), 1)),
  ],
  [
    "never lets a touch outlast a delete that meets it",
    (bench) => endsBeside(bench, (store, id) => store.touch(id, bench.now() + 7_200_000)),
  ],
  [
    "never loses an update to touches that meet it",
    async (bench) => {
      const id = uniqueId();
      const stored = sessionFor(bench, { text: "" });
      await bench.store.create(id, stored);
      await Promise.all(
        times(40, (n) =>
          n % 2 === 0 ? append(bench, id, `${n},`) : bench.store.touch(id, stored.expiresAt + 1000 * n),
        ),
      );
      const applied = textOf(await bench.store.read(id))
        .split(",")
        .slice(0, -1);
      assert.equal(new Set(applied).size, 20, "every update that was told true must survive the touches");
    },
  ],
];

/** Runs a delete and another call on one session in both orders. The session must be gone after each. */
async function endsBeside(bench: Bench, other: (store: SessionStore, id: string) => Promise<boolean>): Promise<void> {
  const { store } = bench;
  for (let round = 0; round < 20; round += 1) {
    const id = uniqueId();
    await store.create(id, sessionFor(bench));
    const first = round % 2 === 0 ? [store.delete(id), other(store, id)] : [other(store, id), store.delete(id)];
    const outcomes = await Promise.all(first);
    assert.equal(outcomes[round % 2], true, "the delete found a live session, and must say that it ended it");
    assert.equal(await store.read(id), undefined, "a session must stay gone once its delete is fulfilled");
  }
}

/** Adds to a session's payload as a request does: it reads, compares and sets, and repeats that after a conflict. */
async function append(bench: Bench, id: string, text: string): Promise<void> {
  for (;;) {
    const found = await bench.store.read(id);
    assert.ok(found !== undefined, "a session must not vanish while it is updated");
    const next = {
      payload: bytes(textOf(found) + text),
      version: found.version + 1,
      expiresAt: found.expiresAt,
    };
    if (await bench.store.update(id, next, found.version)) return;
  }
}

const times = <T>(count: number, make: (n: number) => T): T[] => Array.from({ length: count }, (_, n) => make(n));
const countTrue = (outcomes: readonly boolean[]): number => outcomes.filter(Boolean).length;
