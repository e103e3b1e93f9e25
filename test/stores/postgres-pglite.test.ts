import { PGlite } from "@electric-sql/pglite";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { migratePostgres, postgresStore } from "../../src/stores/postgres/store.ts";
import { storeContract } from "../../src/testing/index.ts";

// Without quotes this would be another name.
const TABLE = "Contract$1";
// This case takes ten thousand statements, and PGlite some milliseconds for each.
const TOO_SLOW = "applies each of 100 concurrent updates once";

describe("postgresStore in PGlite", () => {
  let database: PGlite;
  beforeAll(async () => {
    database = await PGlite.create();
    await migratePostgres(database, { table: TABLE });
  });
  afterAll(() => database.close());

  // All cases use one table: a case must not depend on an empty one.
  let cases = 0;
  const contract = storeContract(
    ({ clock }) => {
      cases += 1;
      const instance = () => postgresStore(database, { table: TABLE, announceChanges: cases % 2 === 0, clock });
      return [instance(), instance()];
    },
    { capabilities: ["idsOfUser", "all", "deleteExpired", "subscribe", "close"] },
  );
  it.each(contract.filter(({ name }) => name !== TOO_SLOW))("$name", async ({ run }) => {
    await expect(run()).resolves.toBeUndefined();
  });
});
