import { describe } from "vitest";
import { copyOf } from "../../test/support/async-store.ts";
import { itFindsAStoreThat } from "../../test/support/wrong-stores.ts";
import type { StoredSession } from "../store.ts";

const USER_WHILE_LIVE = "finds a user's session for as long as it lives, whatever has extended or shortened it";
const FORMER_USER = "forgets whose an expired session was once another has taken its place";
const USER_TO_THE_MILLISECOND = "finds a user's session until the last millisecond, and not from then on";
const LISTED_TO_THE_MILLISECOND = "lists a session until the last millisecond, and not from then on";
const ALL_OF_A_USER = "finds all of 1025 sessions of one user, each once";
const ALL_WHILE_OTHERS_GO = "lists each of 1025 sessions that stay, while others come and go";
const LATEST_OF_OTHERS = "reads the latest of what another instance has written, whatever this one has read before";
const REFUSED_USER = "does not make a user of whom a refused create has named";
const ALIKE_USERS = "keeps users apart who differ in one character, or in how it is written";
const FORGETS_BY_EXPIRY = "leaves alone what an update has extended, and forgets what an update has shortened";

const utf8 = (text: string | undefined) => text && Buffer.from(text).toString();

describe("storeContract, of what finds sessions", () => {
  itFindsAStoreThat("keeps the first expiry in a user's index after a touch", [USER_WHILE_LIVE], ({ clock }) => {
    const ends = new Map<string, number>();
    return (store) => ({
      async create(id, stored) {
        const created = await store.create(id, stored);
        if (created) ends.set(id, stored.expiresAt);
        return created;
      },
      async update(id, stored, expected) {
        const updated = await store.update(id, stored, expected);
        if (updated) ends.set(id, stored.expiresAt);
        return updated;
      },
      idsOfUser: async (userId) => (await store.idsOfUser(userId)).filter((id) => (ends.get(id) ?? 0) > clock()),
    });
  });

  itFindsAStoreThat("indexes the former user of a session created over an expired one", [FORMER_USER], () => {
    const index = new Map<string, Set<string>>();
    const add = (userId: string | undefined, id: string) => {
      if (userId !== undefined) index.set(userId, (index.get(userId) ?? new Set()).add(id));
    };
    return (store) => ({
      async create(id, stored) {
        const created = await store.create(id, stored);
        if (created) add(stored.userId, id);
        return created;
      },
      async update(id, stored, expected) {
        const before = await store.read(id);
        const updated = await store.update(id, stored, expected);
        if (updated && before?.userId !== undefined) index.get(before.userId)?.delete(id);
        if (updated) add(stored.userId, id);
        return updated;
      },
      async idsOfUser(userId) {
        const ids: string[] = [];
        for (const id of index.get(userId) ?? []) if ((await store.read(id)) !== undefined) ids.push(id);
        return ids;
      },
    });
  });

  itFindsAStoreThat(
    "finds a user's sessions for a millisecond too long",
    [USER_TO_THE_MILLISECOND],
    ({ step, clock }) =>
      () => ({
        idsOfUser: (userId) =>
          step((rows) =>
            [...rows].filter(([, row]) => row.userId === userId && row.expiresAt >= clock()).map(([id]) => id),
          ),
      }),
  );

  itFindsAStoreThat(
    "lists sessions for a millisecond too long",
    [LISTED_TO_THE_MILLISECOND],
    ({ step, clock }) =>
      () => ({
        async *all() {
          yield* await step((rows) => [...rows].filter(([, row]) => row.expiresAt >= clock()).map(([id]) => id));
        },
      }),
  );

  itFindsAStoreThat("finds a user's first hundred sessions", [ALL_OF_A_USER], () => (store) => ({
    idsOfUser: async (userId) => (await store.idsOfUser(userId)).slice(0, 100),
  }));

  itFindsAStoreThat("lists the first hundred sessions", [ALL_WHILE_OTHERS_GO], () => (store) => ({
    async *all() {
      let listed = 0;
      for await (const id of store.all!()) if ((listed += 1) <= 100) yield id;
    },
  }));

  itFindsAStoreThat(
    "skips sessions in its listing when others before them end",
    [ALL_WHILE_OTHERS_GO],
    ({ step }) =>
      () => ({
        async *all() {
          for (let from = 0; ; from += 10) {
            const page = await step((rows, live) => [...rows.keys()].filter((id) => live(id)).slice(from, from + 10));
            if (page.length === 0) return;
            yield* page;
          }
        },
      }),
  );

  itFindsAStoreThat("reads the latest of a session from the instance's cache", [LATEST_OF_OTHERS], () => (store) => {
    const cache = new Map<string, StoredSession>();
    const read = async (id: string) => {
      const found = cache.get(id) ?? (await store.read(id));
      if (found !== undefined) cache.set(id, copyOf(found));
      return found;
    };
    const written = async <T>(id: string, effect: Promise<T>) => {
      const result = await effect;
      cache.delete(id);
      return result;
    };
    return {
      read,
      readLatest: read,
      update: (id, stored, expected) => written(id, store.update(id, stored, expected)),
      touch: (id, expiresAt) => written(id, store.touch(id, expiresAt)),
      delete: (id) => written(id, store.delete(id)),
    };
  });

  itFindsAStoreThat("makes a user of whom a refused create has named", [REFUSED_USER], () => {
    const named = new Map<string, string>();
    return (store) => ({
      create(id, stored) {
        if (stored.userId !== undefined) named.set(id, stored.userId);
        return store.create(id, stored);
      },
      async idsOfUser(userId) {
        const ids: string[] = [];
        for (const [id, user] of named) if (user === userId && (await store.read(id))) ids.push(id);
        return ids;
      },
    });
  });

  itFindsAStoreThat("finds users whatever the case of their letters", [ALIKE_USERS], ({ step }) => () => ({
    idsOfUser: (userId) =>
      step((rows, live) => [...rows.keys()].filter((id) => live(id)?.userId?.toLowerCase() === userId.toLowerCase())),
  }));

  itFindsAStoreThat("keeps users as UTF-8, which has no half of a character", [ALIKE_USERS], ({ step }) => () => ({
    idsOfUser: (userId) =>
      step((rows, live) => [...rows.keys()].filter((id) => utf8(live(id)?.userId) === utf8(userId))),
  }));

  itFindsAStoreThat("forgets sessions at the expiry that they were created with", [FORGETS_BY_EXPIRY], (engine) => {
    const ends = new Map<string, number>();
    return (store) => ({
      create(id, stored) {
        ends.set(id, stored.expiresAt);
        return store.create(id, stored);
      },
      async touch(id, expiresAt) {
        ends.set(id, Math.max(expiresAt, ends.get(id) ?? 0));
        return store.touch(id, expiresAt);
      },
      deleteExpired: (limit) =>
        engine.step((rows) => {
          const gone = [...rows.keys()].filter((id) => (ends.get(id) ?? 0) <= engine.clock()).slice(0, limit);
          for (const id of gone) rows.delete(id);
          return gone.length;
        }),
    });
  });

  itFindsAStoreThat(
    "counts towards the limit what it has looked at, not what it has forgotten",
    ["forgets expired sessions, as many as it is told, and says how many"],
    ({ step, clock }) =>
      () => ({
        deleteExpired: (limit) =>
          step((rows) => {
            const looked = [...rows].slice(0, limit);
            const gone = looked.filter(([, { expiresAt }]) => expiresAt <= clock());
            for (const [id] of gone) rows.delete(id);
            return gone.length;
          }),
      }),
  );
});
