import { describe, expect, it } from "vitest";
import type { SessionStore, StoredSession } from "../../store.ts";
import { faulty } from "../../testing/faulty.ts";
import { type CopyProgress, copySessions } from "./copy.ts";
import { memoryStore } from "../memory.ts";
import { CONTROL_ID, recordKindOf, createStagedCopy } from "./migration-records.ts";
import { movingStore } from "./moving.ts";

const START = 1_000_000_000_000;
const HOUR = 3_600_000;
const memory = () => memoryStore({ clock: () => START });

const session = (n: number): StoredSession => ({
  payload: Uint8Array.from({ length: n % 300 }, (_, index) => (index * n) % 256),
  version: 1 + n,
  expiresAt: START + HOUR + n,
  userId: n % 3 === 0 ? undefined : `user ${n % 7}\uD800`,
});

async function filled(count: number): Promise<ReturnType<typeof memory>> {
  const store = memory();
  for (let n = 0; n < count; n += 1) await store.create(`s${n}`, session(n));
  return store;
}

async function contents(store: SessionStore): Promise<Map<string, StoredSession>> {
  const found = new Map<string, StoredSession>();
  for await (const id of store.all!()) found.set(id, (await store.read(id))!);
  return found;
}

describe("copySessions", () => {
  it("moves every session unchanged, and leaves nothing else in the new store", async () => {
    const [from, to] = [await filled(100), memory()];
    const before = await contents(from);
    expect(await copySessions(from, to)).toEqual({ copied: 100, swept: 0, passes: 2 });
    const after = await contents(to);
    expect(after.size).toBe(100);
    for (const [id, { payload, ...rest }] of before) {
      expect(after.get(id)).toMatchObject(rest);
      expect(Buffer.from(after.get(id)!.payload)).toEqual(Buffer.from(payload));
    }
    for (const userId of new Set([...before.values()].flatMap((one) => one.userId ?? []))) {
      const idsOfUser = [...before].filter(([, one]) => one.userId === userId).map(([id]) => id);
      expect((await to.idsOfUser(userId)).toSorted()).toEqual(idsOfUser.toSorted());
    }
    for (const [id, left] of await contents(from)) {
      if (id !== CONTROL_ID) expect(recordKindOf(left)).toBe("marker");
    }
  });

  it("copies nothing the second time", async () => {
    const [from, to] = [await filled(20), memory()];
    await copySessions(from, to);
    const before = await contents(to);
    expect(await copySessions(from, to)).toEqual({ copied: 0, swept: 0, passes: 2 });
    expect(await contents(to)).toEqual(before);
  });

  it("moves sessions back to the first store, and removes the markers of the first move from it", async () => {
    const [one, other] = [await filled(20), memory()];
    const before = await contents(one);
    await copySessions(one, other);
    await other.delete("s3");
    expect(await copySessions(other, one)).toEqual({ copied: 19, swept: 1, passes: 2 });
    before.delete("s3");
    expect(await contents(one)).toEqual(before);
    expect(await movingStore({ from: one, to: memory() }).create("new", session(1))).toBe(true);
    expect(await one.read("new")).toBeDefined();
  });

  it("reports its progress after each session", async () => {
    const [from, to] = [await filled(5), memory()];
    const reported: CopyProgress[] = [];
    await copySessions(from, to, { concurrency: 1, onProgress: (progress) => reported.push(progress) });
    expect(reported[0]).toEqual({ pass: 1, seen: 1, copied: 1, skipped: 0, failed: 0 });
    expect(reported[4]).toEqual({ pass: 1, seen: 5, copied: 5, skipped: 0, failed: 0 });
    expect(reported.at(-1)).toEqual({ pass: 2, seen: 5, copied: 5, skipped: 5, failed: 0 });
  });

  it("moves as many sessions at the same time as `concurrency` says, and reads no more ids ahead", async () => {
    const [from, to] = [await filled(60), memory()];
    let [active, maxActive, listed, done] = [0, 0, 0, 0];
    const counting: SessionStore = {
      ...from,
      async *all() {
        for await (const id of from.all()) {
          if (id !== CONTROL_ID) listed += 1;
          expect(listed - done).toBeLessThanOrEqual(6);
          yield id;
        }
      },
    };
    const slow: SessionStore = {
      ...to,
      async create(id, stored) {
        maxActive = Math.max(maxActive, (active += 1));
        await new Promise((resolve) => setTimeout(resolve, 1));
        active -= 1;
        return to.create(id, stored);
      },
    };
    await copySessions(counting, slow, { concurrency: 5, onProgress: () => void (done += 1) });
    expect(maxActive).toBe(5);
  });

  it("stops when its signal is aborted, with every session in one of the stores, and continues in the next call", async () => {
    const [from, to] = [await filled(50), memory()];
    const controller = new AbortController();
    const copying = copySessions(from, to, {
      concurrency: 4,
      signal: controller.signal,
      onProgress: ({ copied }) => void (copied === 10 && controller.abort(new Error("enough"))),
    });
    await expect(copying).rejects.toThrow("enough");
    const store = movingStore({ from, to });
    for (let n = 0; n < 50; n += 1) expect(await store.read(`s${n}`)).toMatchObject({ version: 1 + n });
    const { copied } = await copySessions(from, to);
    expect(copied).toBeGreaterThan(30);
    expect((await contents(to)).size).toBe(50);
    await expect(copySessions(from, to, { signal: AbortSignal.abort() })).rejects.toThrow(/aborted/);
  });

  it("moves all other sessions if one can't be moved, rejects at the end, and moves that one in the next call", async () => {
    const [from, to] = [await filled(20), memory()];
    const disk = new Error("disk full");
    const failing: SessionStore = {
      ...to,
      create: (id, stored) => (id === "s7" ? Promise.reject(disk) : to.create(id, stored)),
    };
    const error: unknown = await copySessions(from, failing).catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(AggregateError);
    expect(error).toMatchObject({
      message: expect.stringMatching(/1 sessions.*run it again/) as string,
      errors: [disk],
    });
    expect((await contents(to)).size).toBe(19);
    expect(await copySessions(from, to)).toMatchObject({ copied: 1 });
  });

  it("rejects with the store's error if that can't list its sessions", async () => {
    const down = faulty(await filled(3), { all: ["error"] });
    await expect(copySessions(down, memory())).rejects.toThrow(/all failed/);
  });

  it("rejects with the error that onProgress throws, after the moves that have begun are complete", async () => {
    const [from, to] = [await filled(9), memory()];
    const onProgress = () => {
      throw new Error("listener");
    };
    await expect(copySessions(from, to, { onProgress, concurrency: 3 })).rejects.toThrow("listener");
    for (const left of (await contents(to)).values()) expect(recordKindOf(left)).toBe("session");
  });

  it("moves sessions that are created in the old store during the copy", async () => {
    const [from, to] = [await filled(5), memory()];
    let late = 0;
    await copySessions(from, to, {
      onProgress: ({ pass, seen }) => {
        if (pass === 2 && seen === 1) void from.create(`late${(late += 1)}`, session(1));
      },
    });
    expect(late).toBe(1);
    expect((await contents(to)).size).toBe(6);
  });

  it("rejects if new sessions keep appearing in the old store, because a process still uses it alone", async () => {
    const [from, to] = [await filled(2), memory()];
    let late = 0;
    const onProgress = () => void from.create(`late${(late += 1)}`, session(1));
    const listing = { ...from, all: () => listSnapshot(from) };
    await expect(copySessions(listing, to, { onProgress })).rejects.toThrow(/still uses it alone/);
  });

  it("removes the staged copy of a session that has ended", async () => {
    const [from, to] = [await filled(2), memory()];
    await to.create("ended", createStagedCopy(session(4), 2 ** 42));
    expect(await copySessions(from, to)).toEqual({ copied: 2, swept: 1, passes: 2 });
    expect([...(await contents(to)).keys()].toSorted()).toEqual(["s0", "s1"]);
  });

  it("refuses stores and options that it can't use", async () => {
    const [from, to] = [memory(), memory()];
    const { all: _, ...listless } = from;
    await expect(copySessions(listless, to)).rejects.toThrow(/from has no all\(\)/);
    await expect(copySessions(from, from)).rejects.toThrow(/the same store/);
    await expect(copySessions(from, { ...to, inProcess: false })).rejects.toThrow(/unencrypted/);
    await expect(copySessions(from, to, { concurrency: 0 })).rejects.toThrow(/concurrency must be/);
    await expect(copySessions(from, to, { onProgress: 1 } as never)).rejects.toThrow(/onProgress/);
    await expect(copySessions(from, to, { retries: 1 } as never)).rejects.toThrow(/no option "retries"/);
  });
});

/** Lists the ids that the store has now. */
async function* listSnapshot(store: SessionStore): AsyncIterable<string> {
  const ids: string[] = [];
  for await (const id of store.all!()) ids.push(id);
  yield* ids;
}
