import { PGlite } from "@electric-sql/pglite";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { migratePostgres, postgresStore } from "../../src/stores/postgres/store.ts";
import { storeContract } from "../../src/testing/index.ts";

// An odd name, that would be another one if it were not quoted.
const TABLE = "Contract$1";
// Ten thousand statements, one after the other, in a WebAssembly of some milliseconds each.
const TOO_LONG = "applies each of 100 concurrent updates once";

describe("postgresStore in PGlite", () => {
  let database: PGlite;
  beforeAll(async () => {
    database = await PGlite.create();
    await migratePostgres(database, { table: TABLE });
  });
  afterAll(() => database.close());

  // All cases on one table: no case may mind what others have left.
  let cases = 0;
  const contract = storeContract(
    ({ clock }) => {
      cases += 1;
      const instance = () => postgresStore(database, { table: TABLE, announceChanges: cases % 2 === 0, clock });
      return [instance(), instance()];
    },
    { capabilities: ["idsOfUser", "all", "deleteExpired", "subscribe", "close"] },
  );
  it.each(contract.filter(({ name }) => name !== TOO_LONG))("$name", async ({ run }) => {
    await expect(run()).resolves.toBeUndefined();
  });
});
