import { once } from "node:events";
import { Pool } from "pg";
import postgresJs from "postgres";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { migratePostgres, type PostgresClient, postgresStore } from "../../src/stores/postgres/store.ts";
import { storeContract } from "../../src/testing/store-contract.ts";
import {
  PGBOUNCER_PATH,
  type Pgbouncer,
  type Postgres,
  POSTGRES_PATH,
  type PostgresAddress,
  startPgbouncer,
  startPostgres,
} from "../support/postgres.ts";

const CAPABILITIES = ["idsOfUser", "all", "deleteExpired", "subscribe", "close"] as const;

// Without quotes this would be another name.
const TABLE = "Contract$1";

interface ContractOptions {
  /** Connects the client of the option `listen`. */
  connectListener?: () => Connected;
  clock?: "injected" | "own";
  only?: RegExp;
}

interface Connected {
  readonly client: PostgresClient;
  end(): Promise<void>;
}

function withPg(address: PostgresAddress, max = 10, options = ""): Connected {
  const pool = new Pool({ ...address, max, options });
  return { client: pool, end: () => pool.end() };
}

function withPostgresJs(address: PostgresAddress, max = 10): Connected {
  const sql = postgresJs({ ...address, max });
  return { client: sql, end: () => sql.end() };
}

/** Runs the contract with one table for all cases: a case must not depend on an empty one. */
function runContract(
  connect: () => Connected | Promise<Connected>,
  { connectListener, clock = "injected", only = /^/ }: ContractOptions = {},
): void {
  let connected: Connected;
  let listenClient: Connected | undefined;
  let cases = 0;
  beforeAll(async () => {
    connected = await connect();
    listenClient = connectListener?.();
    await migratePostgres(connected.client, { table: TABLE });
  });
  afterAll(async () => {
    await connected?.end();
    await listenClient?.end();
  });

  const options = { clock, capabilities: CAPABILITIES, ...(clock === "own" && { lifetime: 1500 }) };
  const all = storeContract(async (given) => {
    cases += 1;
    const announceChanges = cases % 2 === 0;
    const instance = () =>
      postgresStore(connected.client, {
        table: TABLE,
        announceChanges,
        ...(clock === "injected" && { clock: given.clock }),
        ...(listenClient && { listen: listenClient.client }),
      });
    return [instance(), instance()];
  }, options);
  const chosen = all.filter(({ name }) => only.test(name));
  it.each(chosen)("$name", async ({ run }) => {
    await expect(run()).resolves.toBeUndefined();
  });
}

describe.skipIf(POSTGRES_PATH === undefined)("postgresStore", () => {
  let postgres: Postgres;
  beforeAll(async () => {
    postgres = await startPostgres();
  });
  afterAll(async () => {
    await postgres?.stop();
  });

  describe("keeps the contract with pg", () => {
    runContract(() => withPg(postgres.address));
  });

  describe("keeps the contract with postgres.js", () => {
    runContract(() => withPostgresJs(postgres.address));
  });

  describe("keeps the contract by the server's clock", () => {
    runContract(() => withPg(postgres.address), { clock: "own" });
  });

  describe.each(["serializable", "repeatable read"])("keeps the contract where transactions are %s", (level) => {
    const options = `-c default_transaction_isolation=${level.replace(" ", "\\ ")}`;
    runContract(() => withPg(postgres.address, 6, options), { only: /concurrent|many|meets?|forgets/ });
  });

  describe.skipIf(PGBOUNCER_PATH === undefined)("keeps the contract behind pgbouncer in transaction mode", () => {
    let pgbouncer: Pgbouncer;
    beforeAll(async () => {
      pgbouncer = await startPgbouncer(postgres);
    });
    afterAll(async () => {
      await pgbouncer?.stop();
    });

    describe("with pg", () => {
      runContract(() => withPg(pgbouncer.address), { connectListener: () => withPg(postgres.address, 2) });
    });

    describe("with postgres.js", () => {
      runContract(() => withPostgresJs(pgbouncer.address), {
        connectListener: () => withPostgresJs(postgres.address, 1),
      });
    });

    it("never reports that it listens if it would not be notified", async () => {
      const { client, end } = withPg(pgbouncer.address, 4);
      const warned = once(process, "warning");
      const store = postgresStore(client, { table: TABLE });
      const states: boolean[] = [];
      store.subscribe({ listening: (is) => states.push(is) });
      const [warning] = (await warned) as [Error];
      expect(warning).toMatchObject({ code: "SOJOURN_NOT_NOTIFIED", message: expect.stringMatching(/option listen/) });
      expect(states).not.toContain(true);
      await store.close();
      await end();
    });
  });
});
