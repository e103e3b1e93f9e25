import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { migrateMysql, mysqlStore } from "../../src/stores/mysql/store.ts";
import { storeContract } from "../../src/testing/index.ts";
import { fakeMysql } from "../support/fake-mysql.ts";

describe("mysqlStore on a fake MySQL server", () => {
  const pool = fakeMysql();
  beforeAll(() => migrateMysql(pool));
  afterAll(() => pool.end());

  // All cases use one table: a case must not depend on an empty one.
  const cases = storeContract(({ clock }) => [mysqlStore(pool, { clock }), mysqlStore(pool, { clock })], {
    capabilities: ["idsOfUser", "all", "deleteExpired", "close"],
  });
  it.each(cases)("$name", async ({ run }) => {
    await expect(run()).resolves.toBeUndefined();
  });

  it("lists and deletes more sessions than one statement returns", async () => {
    let now = 1_800_000_000_000;
    const store = mysqlStore(pool, { clock: () => now });
    const stored = { payload: new Uint8Array(9), version: 1, userId: "ada" };
    for (let n = 0; n < 1200; n += 1) {
      await store.create(`many-${n}`, { ...stored, expiresAt: now + (n % 2 === 0 ? 1000 : 5000) });
    }
    now += 1000;
    const listed: string[] = [];
    for await (const id of store.all()) if (id.startsWith("many-")) listed.push(id);
    expect(new Set(listed).size).toBe(600);
    expect(listed).toHaveLength(600);
    expect(await store.idsOfUser("ada")).toHaveLength(600);
    expect(await store.deleteExpired(250)).toBe(250);
    expect(await store.deleteExpired(10_000)).toBeGreaterThanOrEqual(350);
    expect(await store.deleteExpired(10_000)).toBe(0);
    expect(await store.idsOfUser("ada")).toHaveLength(600);
  });
});
