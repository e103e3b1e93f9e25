import type { SessionStore, StoreListener } from "../../src/store.ts";
import { capabilitiesOf } from "../../src/capabilities.ts";

/**
 * One of several instances over a store in this process. Closing it does not affect the store or the other instances.
 */
export function instanceOf(store: SessionStore): SessionStore {
  const ends = new Set<() => void>();
  let closed = false;

  function open(): SessionStore {
    if (closed) throw new Error("this instance is closed");
    return store;
  }

  const instance: SessionStore = {
    ...capabilitiesOf(store),
    read: async (id) => open().read(id),
    create: async (id, stored) => open().create(id, stored),
    update: async (id, stored, expected) => open().update(id, stored, expected),
    touch: async (id, expiresAt) => open().touch(id, expiresAt),
    delete: async (id) => open().delete(id),
    async close() {
      closed = true;
      for (const end of ends) end();
      ends.clear();
    },
  };
  if (store.readLatest) instance.readLatest = async (id) => open().readLatest!(id);
  if (store.idsOfUser) instance.idsOfUser = async (userId) => open().idsOfUser!(userId);
  if (store.deleteExpired) instance.deleteExpired = async (limit) => open().deleteExpired!(limit);
  if (store.all) {
    instance.all = async function* () {
      for await (const id of open().all!()) {
        open();
        yield id;
      }
    };
  }
  if (store.subscribe) {
    instance.subscribe = (listener: StoreListener) => {
      const end = open().subscribe!(listener);
      ends.add(end);
      return end;
    };
  }
  return instance;
}
