import assert from "node:assert/strict";
import { sameSession, sessionFor, uniqueId } from "./contract-helpers.ts";
import type { Bench, Rule } from "./store-contract.ts";

const DAY = 86_400_000;

/** The rules of an expired session. They are exact to the millisecond only if the suite's clock is used. */
export function expiryCases(exact: boolean): readonly Rule[] {
  return [
    [
      "does not read an expired session",
      async (bench) => {
        const id = await expired(bench);
        assert.equal(await bench.store.read(id), undefined, "an expired session must be unreadable");
      },
    ],
    [
      "does not update an expired session",
      async (bench) => {
        const id = await expired(bench);
        const outcome = await bench.store.update(id, sessionFor(bench, { version: 2 }), 1);
        assert.equal(outcome, false, "update of an expired session must say false");
        assert.equal(await bench.store.read(id), undefined, "update must not bring an expired session back");
      },
    ],
    [
      "does not touch an expired session",
      async (bench) => {
        const id = await expired(bench);
        assert.equal(await bench.store.touch(id, bench.now() + DAY), false, "touch after the expiry must say false");
        assert.equal(await bench.store.read(id), undefined, "touch must not bring an expired session back");
      },
    ],
    [
      "does not count the end of an expired session as a delete's",
      async (bench) => {
        const id = await expired(bench);
        assert.equal(await bench.store.delete(id), false, "delete of an expired session must say false");
      },
    ],
    [
      "creates again after the expiry",
      async (bench) => {
        const id = await expired(bench);
        const again = sessionFor(bench, { text: "again", userId: "grace" });
        assert.equal(await bench.store.create(id, again), true, "create over an expired session must say true");
        sameSession(await bench.store.read(id), again, "the new session must be the one created last");
      },
    ],
    [
      "lives as long as a touch has said",
      async (bench) => {
        const id = uniqueId();
        const begun = bench.now();
        await bench.store.create(id, sessionFor(bench, { expiresIn: bench.lifetime }));
        await bench.store.touch(id, begun + 4 * bench.lifetime);
        await bench.advance(2 * bench.lifetime);
        assert.ok((await bench.store.read(id)) !== undefined, "a touched session must outlive its first expiry");
        await bench.advance(2 * bench.lifetime + 1);
        assert.equal(await bench.store.read(id), undefined, "a touched session must expire in the end");
      },
    ],
    [
      "lives as long as an update has said",
      async (bench) => {
        const id = uniqueId();
        await bench.store.create(id, sessionFor(bench, { expiresIn: DAY }));
        await bench.store.update(id, sessionFor(bench, { version: 2, expiresIn: bench.lifetime }), 1);
        await bench.advance(bench.lifetime + 1);
        assert.equal(await bench.store.read(id), undefined, "an update that shortens must be kept to");
      },
    ],
    ...[30, 400].map((days): Rule => [
      `keeps a session for ${days} days`,
      async (bench) => {
        const id = uniqueId();
        const stored = sessionFor(bench, { expiresIn: days * DAY });
        await bench.store.create(id, stored);
        // A timer fires at once if its delay is too long.
        await new Promise((resolve) => setTimeout(resolve, 2));
        sameSession(await bench.store.read(id), stored, `a session of ${days} days must not expire at once`);
        if (!exact) return;
        await bench.advance(days * DAY - 1);
        sameSession(await bench.store.read(id), stored, `a session of ${days} days must live to the end of them`);
        await bench.advance(1);
        assert.equal(await bench.store.read(id), undefined, `a session of ${days} days must end with them`);
      },
    ]),
    ...(exact ? exactCases : []),
  ];
}

const exactCases: readonly Rule[] = [
  [
    "creates again from the very millisecond of the expiry on",
    async (bench) => {
      const id = uniqueId();
      const again = () => bench.store.create(id, sessionFor(bench, { text: "again" }));
      await bench.store.create(id, sessionFor(bench, { expiresIn: 1000 }));
      await bench.advance(999);
      assert.equal(await again(), false, "create must say false until the last millisecond");
      await bench.advance(1);
      assert.equal(await again(), true, "create must say true from expiresAt on");
    },
  ],
  [
    "expires at the very millisecond",
    async (bench) => {
      const id = uniqueId();
      const stored = sessionFor(bench, { expiresIn: 1000 });
      await bench.store.create(id, stored);
      await bench.advance(999);
      sameSession(await bench.store.read(id), stored, "a session must be readable one millisecond before expiresAt");
      await bench.advance(1);
      assert.equal(await bench.store.read(id), undefined, "a session must be unreadable from expiresAt on");
    },
  ],
  [
    "can be updated, touched and deleted until the last millisecond, and not from then on",
    async (bench) => {
      const { store } = bench;
      const [updated, touched, deleted] = [uniqueId(), uniqueId(), uniqueId()];
      const late = [uniqueId(), uniqueId(), uniqueId()] as const;
      for (const id of [updated, touched, deleted]) await store.create(id, sessionFor(bench, { expiresIn: 1001 }));
      for (const id of late) await store.create(id, sessionFor(bench, { expiresIn: 1000 }));
      await bench.advance(1000);
      const next = sessionFor(bench, { version: 2 });
      assert.equal(await store.update(updated, next, 1), true, "update must work one millisecond before expiresAt");
      assert.equal(
        await store.touch(touched, next.expiresAt),
        true,
        "touch must work one millisecond before expiresAt",
      );
      assert.equal(await store.delete(deleted), true, "delete must say true one millisecond before expiresAt");
      assert.equal(await store.update(late[0], next, 1), false, "update must say false at expiresAt");
      assert.equal(await store.touch(late[1], next.expiresAt), false, "touch must say false at expiresAt");
      assert.equal(await store.delete(late[2]), false, "delete must say false at expiresAt");
    },
  ],
];

async function expired(bench: Bench): Promise<string> {
  const id = uniqueId();
  await bench.store.create(id, sessionFor(bench, { expiresIn: bench.lifetime, userId: "ada" }));
  await bench.advance(bench.lifetime + 1);
  return id;
}
