import { setImmediate as nextTurn } from "node:timers/promises";
import { describe } from "vitest";
import { copyOf } from "../../test/support/async-store.ts";
import { itFindsAStoreThat } from "../../test/support/wrong-stores.ts";
import type { SessionStore, StoreListener } from "../store.ts";

const EACH_AT_ONCE = "notifies of each of many sessions that are deleted at once";
const GONE_WHEN_NOTIFIED = "has ended a session by the time that it notifies";
const SHOWN_WHEN_NOTIFIED = "shows an update by the time that it notifies, where it says that it announces changes";
const EVERY_INSTANCE = "notifies every instance, once, of what any of them has ended";
const FROM_THAT_MOMENT = "is notified of whatever happens from the moment on that it says so";
const ENDED_TWICE = "goes on for the others when somebody's listening is ended twice";
const LEAVES_WHEN_NOTIFIED = "notifies the others, where a listener ends its own subscription while it is notified";
const NOT_OF_EXPIRED = "does not tell of a session that expires, is forgotten, or is followed by another under its id";
const UNTIL_THE_END =
  "notifies of each live session that delete has ended, and of nothing else, until the subscription ends";

/** The listeners of one instance, and a function that notifies them. */
function listeners() {
  const all = new Set<StoreListener>();
  const subscribe: NonNullable<SessionStore["subscribe"]> = (listener) => {
    const held = { ...listener };
    all.add(held);
    listener.listening?.(true);
    return () => void all.delete(held);
  };
  return { subscribe, tell: (id: string) => all.forEach((listener) => listener.ended?.(id)) };
}

describe("storeContract, of subscriptions", () => {
  itFindsAStoreThat("announces concurrent deletes as one", [EACH_AT_ONCE], (engine) => () => {
    let waiting: string | undefined;
    return {
      async delete(id) {
        const ended = await engine.step((rows, live) => live(id) !== undefined && rows.delete(id));
        if (!ended) return false;
        const isWaiting = waiting !== undefined;
        waiting = id;
        if (!isWaiting) {
          void nextTurn().then(() => {
            engine.publish({ kind: "ended", id: waiting! });
            waiting = undefined;
          });
        }
        return true;
      },
    };
  });

  itFindsAStoreThat(
    "notifies that a session has ended before it is gone",
    [GONE_WHEN_NOTIFIED],
    (engine) => (store) => ({
      async delete(id) {
        const found = await store.read(id);
        if (found !== undefined) engine.publish({ kind: "ended", id });
        await store.read(id);
        return engine.step((rows) => rows.delete(id));
      },
    }),
  );

  itFindsAStoreThat("notifies of an update before it can be read", [SHOWN_WHEN_NOTIFIED], (engine) => (store) => ({
    async update(id, stored, expected) {
      const row = copyOf(stored);
      if ((await store.read(id))?.version !== expected) return false;
      engine.publish({ kind: "changed", id });
      await store.read(id);
      return engine.step((rows) => rows.set(id, row).size > 0);
    },
  }));

  itFindsAStoreThat("notifies of its own instance's deletes alone", [EVERY_INSTANCE], () => (store) => {
    const { subscribe, tell } = listeners();
    return {
      subscribe,
      async delete(id) {
        const ended = await store.delete(id);
        if (ended) tell(id);
        return ended;
      },
    };
  });

  itFindsAStoreThat("notifies of other instances' deletes alone", [EVERY_INSTANCE, UNTIL_THE_END], () => (store) => {
    const own = new Set<string>();
    return {
      subscribe: (listener) =>
        store.subscribe({ ...listener, ended: (id) => (own.has(id) ? undefined : listener.ended?.(id)) }),
      delete(id) {
        own.add(id);
        return store.delete(id);
      },
    };
  });

  itFindsAStoreThat(
    "notifies twice of its own deletes: at once, and over the channel",
    [EVERY_INSTANCE],
    () => (store) => {
      const { subscribe, tell } = listeners();
      return {
        subscribe(listener) {
          const ends = [subscribe(listener), store.subscribe(listener)];
          return () => ends.forEach((end) => end());
        },
        async delete(id) {
          const ended = await store.delete(id);
          if (ended) tell(id);
          return ended;
        },
      };
    },
  );

  itFindsAStoreThat("says that it listens before its subscription is there", [FROM_THAT_MOMENT], () => (store) => ({
    subscribe({ listening, ...rest }) {
      listening?.(true);
      let end: (() => void) | undefined;
      let isOver = false;
      void (async () => {
        for (let steps = 0; steps < 5; steps += 1) await store.read("");
        if (!isOver) end = store.subscribe(rest);
      })();
      return () => {
        isOver = true;
        end?.();
      };
    },
  }));

  itFindsAStoreThat(
    "says to its first listener alone that it listens",
    ["notifies every listener, and goes on for the others when one has left"],
    () => (store) => {
      let isFirst = true;
      return {
        subscribe({ listening, ...rest }) {
          const end = store.subscribe(isFirst && listening ? { ...rest, listening } : rest);
          isFirst = false;
          return end;
        },
      };
    },
  );

  itFindsAStoreThat("ends everybody's listening when somebody ends it twice", [ENDED_TWICE], () => (store) => {
    const all = new Set<StoreListener>();
    let count = 0;
    let end: (() => void) | undefined;
    return {
      subscribe(listener) {
        count += 1;
        all.add(listener);
        end ??= store.subscribe({ ended: (id) => all.forEach((each) => each.ended?.(id)) });
        listener.listening?.(true);
        return () => {
          count -= 1;
          all.delete(listener);
          if (count > 0) return;
          end?.();
          end = undefined;
        };
      },
    };
  });

  itFindsAStoreThat("skips the listener after one that leaves", [LEAVES_WHEN_NOTIFIED], () => (store) => {
    const all: StoreListener[] = [];
    let end: (() => void) | undefined;
    return {
      subscribe(listener) {
        all.push(listener);
        end ??= store.subscribe({ ended: (id) => all.forEach((each) => each.ended?.(id)) });
        listener.listening?.(true);
        return () => {
          if (all.includes(listener)) all.splice(all.indexOf(listener), 1);
        };
      },
    };
  });

  itFindsAStoreThat("notifies of expired sessions that it forgets", [NOT_OF_EXPIRED], (engine) => () => ({
    deleteExpired: (limit) =>
      engine.step((rows) => {
        const gone = [...rows].filter(([, { expiresAt }]) => expiresAt <= engine.clock()).slice(0, limit);
        for (const [id] of gone) {
          rows.delete(id);
          engine.publish({ kind: "ended", id });
        }
        return gone.length;
      }),
  }));

  itFindsAStoreThat(
    "notifies of expired sessions that others take the place of",
    [NOT_OF_EXPIRED],
    (engine) => (store) => ({
      async create(id, stored) {
        const row = copyOf(stored);
        const isReplacing = await engine.step((rows, live) => rows.has(id) && live(id) === undefined);
        if (isReplacing) engine.publish({ kind: "ended", id });
        return store.create(id, row);
      },
    }),
  );

  itFindsAStoreThat("notifies of ids as UTF-8", ["notifies of hostile ids as they are"], () => (store) => ({
    subscribe: (listener) =>
      store.subscribe({ ...listener, ended: (id) => listener.ended?.(Buffer.from(id).toString()) }),
  }));

  itFindsAStoreThat("goes on telling after the subscription has ended", [UNTIL_THE_END], () => (store) => ({
    subscribe(listener) {
      store.subscribe(listener);
      return () => undefined;
    },
  }));

  itFindsAStoreThat(
    "goes on telling, and answers, once closed",
    [
      "rejects every operation once closed",
      "keeps what it holds when one instance is closed, and goes on with the others",
    ],
    () => () => ({ close: async () => undefined }),
  );
});
