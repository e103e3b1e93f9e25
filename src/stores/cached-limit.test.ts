import { describe, expect, it } from "vitest";
import { createSessions } from "../sessions.ts";
import type { SessionStore } from "../store.ts";
import { Browser, KEYS, START } from "../../test/support/stores.ts";
import { cached } from "./cached.ts";
import { memoryStore } from "./memory.ts";

/**
 * Two processes with a near cache each. The first never gets the notifications of the second. Also returns the store without
 * a cache.
 */
function processes() {
  const clock = () => START;
  const memory = memoryStore({ clock });
  const deaf: SessionStore = {
    ...memory,
    subscribe(listener) {
      listener.listening?.(true);
      return () => {};
    },
  };
  const over = (store: SessionStore) =>
    createSessions<Record<string, unknown>>({ secretKey: KEYS[0], store, clock, maxPerUser: 1 });
  return { here: over(cached(deaf, { clock })), there: over(cached(memory, { clock })), past: over(memory) };
}

describe("sessions over a near cache that has not received the notification yet", () => {
  it("keep to the limit of sessions per user", async () => {
    const { here, there, past } = processes();
    const one = new Browser(here);
    await one.visit((session) => (session.data["cart"] = []));
    await one.data();
    await one.copy(there).visit((session) => session.signIn("ada"));
    await new Browser(here).visit((session) => session.signIn("ada"));
    expect(await past.list("ada")).toHaveLength(1);
  });

  it("list sessions that were signed in elsewhere, and none that have ended there", async () => {
    const { here, there } = processes();
    const one = new Browser(here);
    await one.visit((session) => (session.data["cart"] = []));
    await one.data();
    const elsewhere = one.copy(there);
    await elsewhere.visit((session) => session.signIn("ada"));
    expect(await here.list("ada")).toHaveLength(1);
    await elsewhere.visit((session) => session.signOut());
    expect(await here.list("ada")).toEqual([]);
  });
});
