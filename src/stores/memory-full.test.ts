import { expect, it, vi } from "vitest";
import { memoryStore } from "./memory.ts";
import type { ExpiryHeap } from "./shared/expiry-heap.ts";

/** Counts the sessions that are moved to the position of their expiry. */
const heap = vi.hoisted(() => ({ settled: 0, askedForFirst: 0 }));
vi.mock("./shared/expiry-heap.ts", async (importActual) => {
  const { expiryHeap } = await importActual<{ expiryHeap: () => ExpiryHeap }>();
  return {
    expiryHeap() {
      const actual = expiryHeap();
      return {
        ...actual,
        first: () => {
          heap.askedForFirst += 1;
          return actual.first();
        },
        settle: (entry: number) => {
          heap.settled += 1;
          actual.settle(entry);
        },
      };
    },
  };
});

const COUNT = 1000;
const session = (expiresAt: number) => ({ payload: new Uint8Array(), version: 1, expiresAt });

async function fullOfExtendedSessions(whenFull: "error" | "evict") {
  const store = memoryStore({ maxSessions: COUNT, whenFull, clock: () => 1000 });
  for (let i = 0; i < COUNT; i += 1) await store.create(`id ${i}`, session(5000 + i));
  heap.settled = heap.askedForFirst = 0;
  for (let i = 0; i < COUNT; i += 1) await store.touch(`id ${i}`, 90_000 - i);
  return store;
}

it("a full store that refuses moves no session to find out that all are live, however many were extended", async () => {
  const store = await fullOfExtendedSessions("error");
  await expect(store.create("another", session(90_000))).rejects.toThrow("full");
  expect(heap).toEqual({ settled: 0, askedForFirst: 0 });
});

it("a full store that evicts moves each session when it is extended, and none when it looks for the first", async () => {
  const store = await fullOfExtendedSessions("evict");
  expect(heap.settled).toBe(COUNT);
  await store.create("another", session(90_000));
  expect(heap).toEqual({ settled: COUNT, askedForFirst: 1 });
  expect(await store.read(`id ${COUNT - 1}`)).toBe(undefined);
});
