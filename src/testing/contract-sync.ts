import assert from "node:assert/strict";
import { OPERATIONS, syncOf, type OperationArguments, type OperationName } from "../capabilities.ts";
import type { SessionStore } from "../store.ts";
import { latest, sameSession, sessionFor, uniqueId } from "./contract-helpers.ts";
import type { Rule } from "./store-contract.ts";

/** The rules of operations that answer at once. A store without any keeps them all. */
export const syncCases: readonly Rule[] = [
  [
    "names in sync.of the operation that answers at once, so that no spy in its place is passed over",
    async ({ store }) => {
      for (const name of OPERATIONS) {
        const operation = store[name] as { readonly sync?: { readonly of?: unknown } };
        if (operation.sync) assert.equal(operation.sync.of, operation, `${name}.sync.of must be ${name} itself`);
      }
    },
  ],
  [
    "gives the same answers at once as by a promise, and with the same effect",
    async (bench) => {
      const { store, second } = bench;
      const [one, another, none] = [uniqueId(), uniqueId(), uniqueId()];
      const stored = sessionFor(bench, { expiresIn: bench.lifetime });
      const newer = sessionFor(bench, { text: "newer", version: 2, userId: "ada", expiresIn: bench.lifetime });
      const expiresAt = newer.expiresAt + 60_000;
      const is = async (wanted: unknown, given: Promise<unknown>, rule: string) =>
        assert.equal(await given, wanted, rule);

      await is(undefined, answer(store, "read", none), "read.sync must give nothing of a session that is missing");
      for (const id of [one, another]) await is(true, answer(store, "create", id, stored), "create.sync must create");
      await is(false, answer(store, "create", one, newer), "create.sync must refuse an id that exists");
      sameSession(await answer(store, "read", one), stored, "read.sync must give what is stored");
      sameSession(await latest(second, one), stored, "create.sync must store in every instance");
      await is(false, answer(store, "update", one, newer, 2), "update.sync must compare the version");
      await is(false, answer(store, "update", none, newer, 1), "update.sync must create nothing");
      await is(true, answer(store, "update", one, newer, 1), "update.sync must replace");
      sameSession(await latest(second, one), newer, "update.sync must store in every instance");
      await is(true, answer(store, "touch", one, expiresAt), "touch.sync must extend");
      await is(true, answer(store, "touch", one, newer.expiresAt), "touch.sync must tell of a live session");
      sameSession(await latest(second, one), { ...newer, expiresAt }, "touch.sync must extend, and never shorten");
      await is(false, answer(store, "touch", none, expiresAt), "touch.sync must create nothing");
      await bench.advance(bench.lifetime);
      await is(undefined, answer(store, "read", another), "read.sync must give nothing of a session that has expired");
      await is(false, answer(store, "update", another, newer, 1), "update.sync must not bring back an expired session");
      await is(false, answer(store, "touch", another, expiresAt), "touch.sync must not bring back an expired session");
      await is(true, answer(store, "delete", one), "delete.sync must end a live session");
      await is(false, answer(store, "delete", one), "delete.sync must tell that the session had ended");
      await is(undefined, latest(second, one), "delete.sync must end it in every instance");
    },
  ],
  [
    "answers at once with copies, and keeps a copy",
    async (bench) => {
      const { store } = bench;
      const id = uniqueId();
      const stored = sessionFor(bench);
      const given = { ...stored, payload: Uint8Array.from(stored.payload) };
      await answer(store, "create", id, given);
      given.payload.fill(0);
      (await answer(store, "read", id))?.payload.fill(0);
      sameSession(await answer(store, "read", id), stored, "the payload must not be shared with the caller");
    },
  ],
  [
    "throws at once where it would reject, after close",
    async (bench) => {
      const { store } = bench;
      if (!store.close) return;
      await store.close();
      const stored = sessionFor(bench);
      const id = uniqueId();
      const calls: { [Name in OperationName]: OperationArguments<Name> } = {
        read: [id],
        create: [id, stored],
        update: [id, stored, 1],
        touch: [id, stored.expiresAt],
        delete: [id],
      };
      for (const name of OPERATIONS) {
        const sync = syncOf(store, name) as ((...args: unknown[]) => unknown) | undefined;
        if (sync) assert.throws(() => sync.apply(store, calls[name]), `${name}.sync must throw after close`);
      }
    },
  ],
];

/** The answer at once, where the store can give it. It must be no promise. */
async function answer<Name extends OperationName>(store: SessionStore, name: Name, ...args: OperationArguments<Name>) {
  const sync = syncOf(store, name);
  if (!sync) return (store[name] as (...given: unknown[]) => ReturnType<SessionStore[Name]>).apply(store, args);
  const found = sync.apply(store, args);
  assert.ok(!isThenable(found), `${name}.sync must return the answer itself, not a promise`);
  return found;
}

function isThenable(value: unknown): boolean {
  return typeof (value as { then?: unknown } | null | undefined)?.then === "function";
}
