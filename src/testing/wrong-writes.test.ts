import { describe } from "vitest";
import { copyOf } from "../../test/support/async-store.ts";
import { itFindsAStoreThat } from "../../test/support/wrong-stores.ts";
import type { SessionStore, StoredSession } from "../store.ts";

const NO_LOST_UPDATE = "applies each of 100 concurrent updates once";
const ONE_OF_TWO_UPDATES = "lets one of two updates that meet through, and makes nobody else the user";
const ONE_OF_TWO_CREATES = "lets one of two creates that meet through, and makes nobody else the user";
const DELETE_BEFORE_UPDATE = "never lets an update outlast a delete that meets it";
const DELETE_BEFORE_EXTENDING = "never lets an update that may only extend outlast a delete that meets it";
const DELETE_BEFORE_TOUCH = "never lets a touch outlast a delete that meets it";
const TOUCH_KEPT = "keeps what a touch has extended at an update that may only extend and meets it";
const FORGETS_ALONE = "leaves alone what is created in the place of expired sessions meanwhile";
const COPIES_AT_ONCE = "copies what it is given as it is called, whatever the caller does with it until it is done";
const SHOWN_TO_ALL = "shows every instance at once what one has created, updated, extended and ended";

describe("storeContract, of writes", () => {
  itFindsAStoreThat(
    "reads, changes and writes under a lock of one process",
    [NO_LOST_UPDATE, "lets one of many updates of the same version through", ONE_OF_TWO_UPDATES],
    (engine) => (store) => {
      let queue: Promise<unknown> = Promise.resolve();
      return {
        update(id, stored, expected) {
          const row = copyOf(stored);
          const done = queue.then(async () => {
            if ((await store.read(id))?.version !== expected) return false;
            await engine.step((rows) => rows.set(id, row));
            return true;
          });
          queue = done;
          return done;
        },
      };
    },
  );

  itFindsAStoreThat(
    "undoes by an update a delete that falls between its check and its write",
    [DELETE_BEFORE_UPDATE, DELETE_BEFORE_EXTENDING],
    (engine) => (store) => ({
      async update(id, stored, expected) {
        const row = copyOf(stored);
        const found = await store.read(id);
        if (found?.version !== expected) return false;
        const expiresAt = stored.extendOnly ? Math.max(row.expiresAt, found.expiresAt) : row.expiresAt;
        return engine.step((rows) => {
          if ((rows.get(id)?.version ?? expected) !== expected) return false;
          rows.set(id, { ...row, expiresAt });
          return true;
        });
      },
    }),
  );

  itFindsAStoreThat(
    "undoes by a touch a delete that falls between its check and its write",
    [DELETE_BEFORE_TOUCH],
    (engine) => (store) => ({
      async touch(id, expiresAt) {
        const found = await store.read(id);
        if (found === undefined) return false;
        return engine.step((rows) => {
          const now = rows.get(id) ?? found;
          rows.set(id, { ...now, expiresAt: Math.max(expiresAt, now.expiresAt) });
          return true;
        });
      },
    }),
  );

  itFindsAStoreThat(
    "undoes by a touch an update that falls between its check and its write",
    ["never loses an update to touches that meet it", "never undoes an update by a touch that meets it"],
    (engine) => (store) => ({
      async touch(id, expiresAt) {
        const found = await store.read(id);
        if (found === undefined) return false;
        return engine.step((rows) => {
          if (rows.has(id)) rows.set(id, { ...found, expiresAt: Math.max(expiresAt, found.expiresAt) });
          return rows.has(id);
        });
      },
    }),
  );

  itFindsAStoreThat(
    "forgets at an update that may only extend what a touch has extended since it looked",
    [TOUCH_KEPT],
    () => (store) => ({
      async update(id, { extendOnly, ...stored }, expected) {
        const found = extendOnly ? await store.read(id) : undefined;
        return store.update(id, { ...stored, expiresAt: Math.max(stored.expiresAt, found?.expiresAt ?? 0) }, expected);
      },
    }),
  );

  itFindsAStoreThat(
    "compares the expiry of a touch in one step, and writes it in another",
    ["ends at the later of two touches that meet"],
    (engine) => (store) => ({
      async touch(id, expiresAt) {
        const found = await store.read(id);
        if (found === undefined || found.expiresAt >= expiresAt) return found !== undefined;
        return engine.step((rows, live) => {
          const now = live(id);
          if (now !== undefined) rows.set(id, { ...now, expiresAt });
          return now !== undefined;
        });
      },
    }),
  );

  itFindsAStoreThat(
    "looks whether a session is there in one step, and creates it in another",
    ["lets one of many creates through", ONE_OF_TWO_CREATES],
    (engine) => (store) => ({
      async create(id, stored) {
        const row = copyOf(stored);
        if ((await store.read(id)) !== undefined) return false;
        await engine.step((rows) => rows.set(id, row));
        return true;
      },
    }),
  );

  itFindsAStoreThat(
    "says of a session that it has seen that it has ended it",
    ["counts one of many deletes", "counts one of two deletes that meet"],
    () => (store) => ({
      async delete(id) {
        const found = await store.read(id);
        await store.delete(id);
        return found !== undefined;
      },
    }),
  );

  itFindsAStoreThat(
    "reads a session's parts one after the other",
    ["reads a session as one update has left it, never half of two"],
    () => (store) => ({
      async read(id) {
        const [first, second] = [await store.read(id), await store.read(id)];
        return first && second && { ...first, payload: second.payload };
      },
    }),
  );

  itFindsAStoreThat("deletes blindly what it has listed as expired", [FORGETS_ALONE], (engine) => () => ({
    async deleteExpired(limit) {
      const found = await engine.step((rows) =>
        [...rows.keys()].filter((id) => rows.get(id)!.expiresAt <= engine.clock()).slice(0, limit),
      );
      return engine.step((rows) => found.filter((id) => rows.delete(id)).length);
    },
  }));

  itFindsAStoreThat("copies what it creates after it has waited", [COPIES_AT_ONCE], () => (store) => ({
    async create(id, stored) {
      await Promise.resolve();
      return store.create(id, stored);
    },
  }));

  itFindsAStoreThat("copies what it updates after it has waited", [COPIES_AT_ONCE], () => (store) => ({
    async update(id, stored, expected) {
      await Promise.resolve();
      return store.update(id, stored, expected);
    },
  }));

  itFindsAStoreThat(
    "updates in the buffer that it has given out",
    ["leaves what it has given out alone when the session is updated or ends"],
    () => (store) => {
      const given = new Map<string, Uint8Array>();
      return {
        async read(id) {
          const found = await store.read(id);
          if (found !== undefined) given.set(id, found.payload);
          return found;
        },
        update(id, stored, expected) {
          const { payload } = stored;
          given.get(id)?.set(payload.subarray(0, given.get(id)!.length));
          return store.update(id, stored, expected);
        },
      };
    },
  );

  itFindsAStoreThat("says that an update is done before it is", [SHOWN_TO_ALL], (engine) => (store) => {
    const unwritten = new Map<string, StoredSession>();
    const read: SessionStore["read"] = async (id) => unwritten.get(id) ?? store.read(id);
    return {
      read,
      async update(id, stored, expected) {
        const row = copyOf(stored);
        if ((await read(id))?.version !== expected) return false;
        unwritten.set(id, row);
        const done = () => unwritten.delete(id);
        store
          .read(id)
          .then(() => engine.step((rows) => rows.set(id, row)))
          .then(done, done);
        return true;
      },
    };
  });

  itFindsAStoreThat(
    "never shortens a session, whatever an update says",
    ["may shorten a session at an update", "lives as long as an update has said"],
    () => (store) => ({
      update: (id, stored, expected) => store.update(id, { ...stored, extendOnly: true }, expected),
    }),
  );

  itFindsAStoreThat(
    "compares versions by their lower 32 bits",
    ["keeps versions of any size that the contract allows"],
    () => (store) => ({
      async update(id, stored, expected) {
        const found = await store.read(id);
        return found !== undefined && found.version >>> 0 === expected >>> 0
          ? store.update(id, stored, found.version)
          : false;
      },
    }),
  );

  itFindsAStoreThat(
    "extends an expired session whose row is still there",
    [
      "does not touch an expired session",
      "can be updated, touched and deleted until the last millisecond, and not from then on",
    ],
    (engine) => () => ({
      touch: (id, expiresAt) =>
        engine.step((rows) => {
          const row = rows.get(id);
          if (row !== undefined) rows.set(id, { ...row, expiresAt: Math.max(expiresAt, row.expiresAt) });
          return row !== undefined;
        }),
    }),
  );

  itFindsAStoreThat(
    "closes with one instance what all of them share",
    ["keeps what it holds when one instance is closed, and goes on with the others"],
    () => {
      let closed = false;
      return (store) => ({
        async read(id) {
          if (closed) throw new Error("closed");
          return store.read(id);
        },
        async close() {
          closed = true;
          await store.close?.();
        },
      });
    },
  );
});
