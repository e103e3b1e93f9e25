import { randomBytes } from "node:crypto";
import { beforeEach, describe, expect, it } from "vitest";
import type { StoredSession } from "../../src/store.ts";
import { type RedisStore, redisStore, type RedisStoreOptions } from "../../src/stores/redis/store.ts";
import { storeContract } from "../../src/testing/index.ts";
import { type FakeRedis, fakeRedis } from "../support/fake-redis.ts";
import { until } from "../support/throwaway.ts";

const HOUR = 3_600_000;
const session = (given: Partial<StoredSession> = {}): StoredSession => ({
  payload: randomBytes(300),
  version: 1,
  expiresAt: Date.now() + HOUR,
  ...given,
});

const kinds: Record<string, RedisStoreOptions> = {
  "": {},
  ", with a prefix of special characters and announceChanges": { prefix: "my*[app]?\\^-é", announceChanges: true },
};

describe.each(Object.entries(kinds))("redisStore on a fake Redis%s", (_, options) => {
  let time = Date.now();
  const now = () => time;
  const two = () => {
    const redis = fakeRedis(now);
    return [redisStore(redis, options), redisStore(redis, options)] as const;
  };
  const cases = storeContract(two, {
    clock: "own",
    now,
    advance: async (milliseconds) => void (time += milliseconds),
    capabilities: ["idsOfUser", "all", "subscribe", "close"],
  });
  it.each(cases)("$name", async ({ run }) => {
    await expect(run()).resolves.toBeUndefined();
  });
});

describe("redisStore on a fake Redis", () => {
  let redis: FakeRedis;
  let store: RedisStore;
  beforeEach(() => {
    redis = fakeRedis();
    store = redisStore(redis);
  });

  /** The names of the commands that the store sends meanwhile. */
  async function commands(run: () => Promise<unknown>): Promise<string[]> {
    redis.commands.length = 0;
    await run();
    return redis.commands.filter((name) => name !== "INFO");
  }

  it("reads with one GET, and writes a session without a user with one script", async () => {
    const runOperations = async (id: string) => [
      await commands(() => store.create(id, session())),
      await commands(() => store.read(id)),
      await commands(() => store.update(id, session({ version: 2 }), 1)),
      await commands(() => store.touch(id, Date.now() + 2 * HOUR)),
      await commands(() => store.delete(id)),
    ];
    // The first time it sends the text of the scripts.
    await runOperations("first");
    expect(await runOperations("second")).toEqual([["EVALSHA"], ["GET"], ["EVALSHA"], ["EVALSHA"], ["EVALSHA"]]);
  });

  it("ends a session at exactly the millisecond of its expiry", async () => {
    let now = Date.now();
    const timed = redisStore(fakeRedis(() => now));
    const expiresAt = now + 1000;
    await timed.create("created", session({ expiresAt }));
    await timed.create("updated", session());
    await timed.update("updated", session({ version: 2, expiresAt }), 1);
    await timed.create("touched", session({ expiresAt: now + 500 }));
    await timed.touch("touched", expiresAt);
    const live = async () => Promise.all(["created", "updated", "touched"].map(async (id) => !!(await timed.read(id))));
    now = expiresAt - 1;
    expect(await live()).toEqual([true, true, true]);
    now = expiresAt;
    expect(await live()).toEqual([false, false, false]);
  });

  it("finds all sessions of a user who signs in many times", async () => {
    const ids = Array.from({ length: 20 }, (_, n) => `short-${n}`);
    for (const id of ids) await store.create(id, session({ userId: "ada", expiresAt: Date.now() + 600_000 }));
    expect((await store.idsOfUser("ada")).toSorted()).toEqual(ids.toSorted());
  });

  it("listens again after its connection is lost, and reports both", async () => {
    const notified: string[] = [];
    const states: boolean[] = [];
    store.subscribe({ ended: (id) => notified.push(id), listening: (is) => states.push(is) });
    await until("it listens", () => states.at(-1) === true);
    redis.cutListeners();
    await until("it reports the loss, and listens again", () => states.length >= 4 && states.at(-1) === true);
    expect(states).toEqual([false, true, false, true]);
    await store.create("one", session());
    await store.delete("one");
    await until("it is notified", () => notified.length > 0);
    expect(notified).toEqual(["one"]);
    await store.close();
  });

  it("finds a session by its current user, after changes of the user and touches", async () => {
    await store.create("mine", session({ userId: "ada" }));
    for (let version = 2; version < 6; version += 1) {
      const userId = version % 2 === 0 ? "grace" : "ada";
      expect(await store.update("mine", session({ userId, version }), version - 1)).toBe(true);
      expect(await store.touch("mine", Date.now() + version * 9 * HOUR)).toBe(true);
      expect(await store.idsOfUser(userId)).toEqual(["mine"]);
      expect(await store.idsOfUser(userId === "ada" ? "grace" : "ada")).toEqual([]);
    }
  });
});
