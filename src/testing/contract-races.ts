import assert from "node:assert/strict";
import type { SessionStore } from "../store.ts";
import { bytes, countTrue, latest, sameSession, sessionFor, payloadText, times, uniqueId } from "./contract-helpers.ts";
import type { Bench, Rule } from "./store-contract.ts";

const MANY = 100;

/** The rules of many concurrent calls, half of them through each instance. */
export const raceCases: readonly Rule[] = [
  [
    `applies each of ${MANY} concurrent updates once`,
    async (bench) => {
      const id = uniqueId();
      await bench.store.create(id, sessionFor(bench, { text: "" }));
      await Promise.all(times(MANY, (worker) => append(instance(bench, worker), id, `${worker},`)));
      const found = await latest(bench.store, id);
      const applied = payloadText(found).split(",").slice(0, -1).map(Number);
      assert.equal(applied.length, MANY, "every update that gave true must be applied, and once only");
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
        times(MANY, (n) => instance(bench, n).update(id, sessionFor(bench, { text: `${n}`, version: 2 }), 1)),
      );
      assert.equal(countTrue(outcomes), 1, "of updates that expect the same version, one must give true");
      const kept = payloadText(await latest(bench.store, id));
      assert.equal(kept, `${outcomes.indexOf(true)}`, "the one that gave true must stand");
    },
  ],
  [
    "lets one of many creates through",
    async (bench) => {
      const id = uniqueId();
      const outcomes = await Promise.all(
        times(MANY, (n) => instance(bench, n).create(id, sessionFor(bench, { text: `${n}` }))),
      );
      assert.equal(countTrue(outcomes), 1, "of creates of one id, one must give true");
      const kept = payloadText(await latest(bench.store, id));
      assert.equal(kept, `${outcomes.indexOf(true)}`, "the one that gave true must stand");
    },
  ],
  [
    "ends at the latest of many touches",
    async (bench) => {
      const id = uniqueId();
      const stored = sessionFor(bench);
      await bench.store.create(id, stored);
      const order = times(MANY, (n) => (n * 37) % MANY);
      const outcomes = await Promise.all(order.map((n) => instance(bench, n).touch(id, stored.expiresAt + n)));
      assert.equal(countTrue(outcomes), MANY, "every touch of a live session must give true");
      const wanted = { ...stored, expiresAt: stored.expiresAt + MANY - 1 };
      sameSession(await latest(bench.store, id), wanted, "the latest expiry asked for must stand");
    },
  ],
  [
    "counts one of many deletes",
    async (bench) => {
      const id = uniqueId();
      await bench.store.create(id, sessionFor(bench));
      const outcomes = await Promise.all(times(20, (n) => instance(bench, n).delete(id)));
      assert.equal(countTrue(outcomes), 1, "of deletes of one session, one must give true");
    },
  ],
  [
    "never loses an update to touches that meet it",
    async (bench) => {
      const id = uniqueId();
      const stored = sessionFor(bench, { text: "" });
      await bench.store.create(id, stored);
      await Promise.all(
        times(40, (n) =>
          n % 2 === 0
            ? append(instance(bench, n / 2), id, `${n},`)
            : instance(bench, n >> 1).touch(id, stored.expiresAt + 1000 * n),
        ),
      );
      const applied = payloadText(await latest(bench.store, id))
        .split(",")
        .slice(0, -1);
      assert.equal(new Set(applied).size, 20, "every update that gave true must survive the touches");
    },
  ],
];

const instance = ({ store, second }: Bench, n: number): SessionStore => (n % 2 === 0 ? store : second);

/** Adds to a session's payload as a request does: it reads, compares and sets, and repeats that after a conflict. */
async function append(store: SessionStore, id: string, text: string): Promise<void> {
  for (;;) {
    const found = await latest(store, id);
    assert.ok(found !== undefined, "a session must not vanish while it is updated");
    const next = {
      payload: bytes(payloadText(found) + text),
      version: found.version + 1,
      expiresAt: found.expiresAt,
    };
    if (await store.update(id, next, found.version)) return;
  }
}
