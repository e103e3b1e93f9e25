import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { Client, Pool, type PoolConfig } from "pg";
import postgresJs from "postgres";
import { afterAll, afterEach, beforeAll, describe, expect, it, vi, onTestFinished } from "vitest";
import type { StoredSession } from "../../src/store.ts";
import { migratePostgres, postgresSchema, postgresStore } from "../../src/stores/postgres/store.ts";
import { type Postgres, POSTGRES_PATH, startPostgres } from "../support/postgres.ts";
import { startProxy, until } from "../support/throwaway.ts";

const stored = (version = 1, size = 8): StoredSession => ({
  payload: new Uint8Array(size).fill(version),
  version,
  expiresAt: Date.now() + 3_600_000,
});
const withCode = (code: string) => expect.objectContaining({ code });

let ids = 0;
const newId = (): string => `id-${(ids += 1)}`;

/** Starts a relay to a server. After `cutAfterRow`, it closes the connection after the first row of the next reply. */
async function startCuttingRelay(port: number) {
  let isCutting = false;
  const sockets = new Set<Socket>();
  const server = createServer((client) => {
    const upstream = connect(port, "127.0.0.1");
    for (const socket of [client, upstream]) sockets.add(socket.on("error", () => {}));
    client.pipe(upstream);
    upstream
      .on("end", () => client.end())
      .on("data", (chunk) => {
        const end = isCutting ? findRowEnd(chunk) : undefined;
        client.write(end === undefined ? chunk : chunk.subarray(0, end));
        if (end === undefined) return;
        isCutting = false;
        client.end();
        upstream.destroy();
      });
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    port: (server.address() as AddressInfo).port,
    cutAfterRow: () => void (isCutting = true),
    async stop() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** The end of the first DataRow among messages. A message is a letter, a length that includes itself, and the content. */
function findRowEnd(messages: Buffer): number | undefined {
  for (let start = 0; start + 5 <= messages.length;) {
    const end = start + 1 + messages.readInt32BE(start + 1);
    if (messages[start] === 0x44) return end;
    start = end;
  }
  return undefined;
}

describe.skipIf(POSTGRES_PATH === undefined)("postgresStore", () => {
  let postgres: Postgres;
  const pools: Pool[] = [];
  beforeAll(async () => {
    postgres = await startPostgres();
    await migratePostgres(pool());
  });
  afterEach(async () => {
    await Promise.allSettled(pools.splice(0).map((each) => each.end()));
  });
  afterAll(async () => {
    await postgres?.stop();
  });

  function pool(more: PoolConfig = {}): Pool {
    const made = new Pool({ ...postgres.address, connectionTimeoutMillis: 60_000, ...more });
    pools.push(made);
    return made;
  }

  it("names the function to call if its table is missing", async () => {
    const store = postgresStore(pool(), { table: "nowhere" });
    await expect(store.read("x")).rejects.toThrow(/"nowhere" is missing: call migratePostgres\(client\)/);
    await expect(store.create("x", stored())).rejects.toThrow(/migratePostgres/);
  });

  it("migrates over several connections at the same time, and again", async () => {
    const table = "Made$Once";
    const clients = Array.from({ length: 8 }, () => pool({ max: 1 }));
    await Promise.all(clients.map((each) => migratePostgres(each, { table })));
    await migratePostgres(clients[0]!, { table });
    expect(await postgresStore(clients[0]!, { table }).create(newId(), stored())).toBe(true);
  });

  it("refuses to migrate a table with other columns", async () => {
    await postgres.sql("CREATE TABLE other_table (id int PRIMARY KEY, expires_at int, user_id text)");
    await postgres.sql("ALTER TABLE other_table OWNER TO app");
    await expect(migratePostgres(pool(), { table: "other_table" })).rejects.toThrow(
      /not one of postgresStore's.*table/,
    );
  });

  it("keeps stores of several tables and schemas apart", async () => {
    await postgres.sql('CREATE SCHEMA "Shop"; GRANT ALL ON SCHEMA "Shop" TO app');
    const client = pool();
    const tables = ["Shop.sessions", "sessions", "Sessions"];
    const id = newId();
    for (const table of tables) await migratePostgres(client, { table });
    const stores = tables.map((table) => postgresStore(client, { table }));
    for (const [index, store] of stores.entries()) expect(await store.create(id, stored(index + 1))).toBe(true);
    for (const [index, store] of stores.entries()) expect((await store.read(id))?.version).toBe(index + 1);
    const notified: number[] = [];
    const states: boolean[] = [];
    for (const [index, store] of stores.entries()) {
      store.subscribe({ ended: () => notified.push(index), listening: (is) => (states[index] = is) });
    }
    await until("all listen", () => states.filter(Boolean).length === 3);
    await stores[1]!.delete(id);
    await until("one is notified", () => notified.length > 0);
    expect(notified).toEqual([1]);
    expect((await stores[0]!.read(id))?.version).toBe(1);
    for (const store of stores) await store.close();
  });

  it("keeps its prepared statements while its table is changed", async () => {
    const client = pool();
    await migratePostgres(client, { table: "changing" });
    const clients = Client.prototype as { query(query: string | { name?: string }): unknown };
    const querySpy = vi.spyOn(clients, "query");
    onTestFinished(() => querySpy.mockRestore());
    const store = postgresStore(client, { table: "changing" });
    const id = newId();
    await store.create(id, { ...stored(), userId: "ada" });
    for (const change of [
      "ADD COLUMN more text",
      "ALTER COLUMN user_id TYPE varchar(500)",
      "ALTER COLUMN long_id TYPE varchar(9000)",
      "DROP COLUMN more",
    ]) {
      for (let round = 0; round < 2; round += 1) {
        expect((await store.read(id))?.userId).toBe("ada");
        expect(await store.idsOfUser("ada")).toEqual([id]);
        expect(await store.touch(id, Date.now() + 60_000)).toBe(true);
      }
      await client.query(`ALTER TABLE changing ${change}`);
    }
    expect(await store.delete(id)).toBe(true);
    // No prepared statement was refused, so every query has a name.
    const queries = querySpy.mock.calls.flatMap(([query]) => (typeof query === "string" ? [] : [query]));
    const names = queries.map(({ name }) => name);
    expect(names).toHaveLength(26);
    expect(names).not.toContain(undefined);
  });

  it("works with any transform option of postgres.js", async () => {
    const nothing = () => undefined;
    const transform = { undefined: null, column: { from: () => "x", to: () => "x" }, value: { from: nothing } };
    for (const each of [postgresJs.camel, transform]) {
      const sql = postgresJs({ ...postgres.address, max: 2, transform: each });
      const store = postgresStore(sql);
      const id = newId();
      const given = { ...stored(), userId: "snake_case" };
      expect(await store.create(id, given)).toBe(true);
      expect(await store.read(id)).toMatchObject({ version: 1, userId: "snake_case" });
      expect(await store.update(id, { ...given, version: 2 }, 1)).toBe(true);
      expect(await store.idsOfUser("snake_case")).toEqual([id]);
      expect(await store.delete(id)).toBe(true);
      await sql.end({ timeout: 5 });
    }
  });

  it("finds sessions although postgres.js continues to count rows after a reply was cut off", async () => {
    const relay = await startCuttingRelay(postgres.address.port);
    const sql = postgresJs({ ...postgres.address, port: relay.port, max: 1, fetch_types: false, backoff: () => 0.01 });
    await migratePostgres(sql, { table: "cut_off" });
    const store = postgresStore(sql, { table: "cut_off", prepare: false });
    const id = newId();
    await store.create(id, { ...stored(), userId: "ada" });
    for (const operation of [
      async () => expect((await store.read(id))?.version).toBe(1),
      async () => expect(await store.idsOfUser("ada")).toEqual([id]),
      async () => expect(await store.create(id, stored())).toBe(false),
      async () => expect(await store.read("another")).toBeUndefined(),
      async () => expect(await store.deleteExpired(1)).toBe(0),
      async () => expect(await store.all()[Symbol.asyncIterator]().next()).toMatchObject({ value: id }),
      async () => expect(await store.delete(id)).toBe(true),
    ]) {
      relay.cutAfterRow();
      await expect(store.read(id)).rejects.toMatchObject({
        code: expect.stringMatching(/CONNECTION_CLOSED|ECONNRESET/),
      });
      await operation();
    }
    await sql.end({ timeout: 5 });
    await relay.stop();
  });

  it("returns SQL that can be run by hand", async () => {
    await postgres.sql(postgresSchema({ table: "by_hand" }));
    await postgres.sql("GRANT SELECT, INSERT, UPDATE, DELETE ON by_hand TO app");
    const store = postgresStore(pool(), { table: "by_hand" });
    expect(await store.create("a", stored())).toBe(true);
    expect(await store.delete("a")).toBe(true);
  });

  it("works on one connection, and does not close the client", async () => {
    const client = new Client(postgres.address);
    await client.connect();
    const store = postgresStore(client);
    const id = newId();
    const notified: string[] = [];
    let isListening = false;
    const end = store.subscribe({ ended: (ended) => notified.push(ended), listening: (is) => (isListening = is) });
    await until("it listens", () => isListening);
    await store.create(id, stored());
    await store.delete(id);
    await until("it is notified", () => notified.includes(id));
    end();
    await store.close();
    expect((await client.query("SELECT 1 AS one")).rows).toEqual([{ one: 1 }]);
    await client.end();
  });

  it("leaves no connection behind if it is closed as soon as it listens", async () => {
    // The sockets of this process are counted, because the server does not know a connection that is being opened.
    const countSockets = (): number =>
      process.getActiveResourcesInfo().filter((resource) => resource === "TCPSocketWrap").length;
    const before = countSockets();
    for (const pause of [0, 1, 5]) {
      const { user: username, ...address } = postgres.address;
      const sql = postgresJs({ ...address, username, fetch_types: false });
      const store = postgresStore(sql);
      store.subscribe({});
      if (pause > 0) await delay(pause);
      await store.close();
      await sql.end();
    }
    // Time for a connection that opens late.
    await delay(300);
    await expect(until("no socket is left", () => countSockets() <= before)).resolves.toBe(true);
  });

  it("works with any types option of postgres.js", async () => {
    const sql = postgresJs({
      ...postgres.address,
      transform: { ...postgresJs.camel, value: { from: () => "bent" } },
      types: { bigint: postgresJs.BigInt },
    });
    const store = postgresStore(sql);
    const id = newId();
    const session = { ...stored(), userId: "ada" };
    expect(await store.create(id, session)).toBe(true);
    expect(await store.read(id)).toEqual({ ...session, payload: Buffer.from(session.payload) });
    await sql.end();
  });

  it("lists more sessions than one batch contains, and deletes more expired sessions than one statement does", async () => {
    const client = pool();
    await migratePostgres(client, { table: "many" });
    await postgres.sql(`INSERT INTO many (id, version, expires_at, payload)
      SELECT CASE n WHEN 1 THEN '' ELSE 'live-' || n END, 1, 8640000000000000, '' FROM generate_series(1, 2500) n`);
    await postgres.sql(`INSERT INTO many (id, version, expires_at, payload)
      SELECT 'past-' || n, 1, 1000 + n, '' FROM generate_series(1, 1300) n`);
    const store = postgresStore(client, { table: "many" });
    const found = new Set<string>();
    for await (const id of store.all()) found.add(id);
    expect(found.size).toBe(2500);
    expect(await store.deleteExpired(1200)).toBe(1200);
    expect(await store.deleteExpired(1200)).toBe(100);
    expect(await postgres.sql("SELECT count(*)::int FROM many")).toEqual([[2500]]);
  });

  it("deletes expired sessions without waiting for a writer", async () => {
    const client = pool();
    await migratePostgres(client, { table: "held" });
    await postgres.sql(`INSERT INTO held (id, version, expires_at, payload)
      SELECT 'past-' || n, 1, 1000 + n, '' FROM generate_series(1, 10) n`);
    const store = postgresStore(client, { table: "held" });
    const writer = await client.connect();
    await writer.query("BEGIN; UPDATE held SET expires_at = 8640000000000000 WHERE id = 'past-1'");
    expect(await store.deleteExpired(100)).toBe(9);
    await writer.query("COMMIT");
    writer.release();
    expect((await store.read("past-1"))?.version).toBe(1);
    expect(await store.deleteExpired(100)).toBe(0);
  });

  it("rolls a transaction back that the application has left open, before it uses the connection", async () => {
    const warnings: unknown[] = [];
    const onWarning = (warning: Error) => void warnings.push((warning as { code?: unknown }).code);
    process.on("warning", onWarning);
    const client = pool({ max: 1 });
    const [store, elsewhere] = [postgresStore(client), postgresStore(pool())];
    const leaveTransactionOpen = async (statement = "SELECT count(*) FROM sojourn_sessions") => {
      const borrowed = await client.connect();
      await borrowed.query("BEGIN ISOLATION LEVEL REPEATABLE READ");
      await borrowed.query(statement).catch(() => {});
      borrowed.release();
    };
    const [id, other] = [newId(), newId()];
    await leaveTransactionOpen();
    expect(await store.create(id, stored())).toBe(true);
    expect((await elsewhere.read(id))?.version).toBe(1);

    await leaveTransactionOpen();
    await elsewhere.update(id, stored(2), 1);
    expect((await store.read(id))?.version).toBe(2);

    await leaveTransactionOpen();
    const created = [stored(), stored()].map((content, i) => store.create([other, newId()][i]!, content));
    expect(await Promise.all(created)).toEqual([true, true]);
    expect((await elsewhere.read(other))?.version).toBe(1);

    await leaveTransactionOpen("a mistake");
    expect(await store.delete(id)).toBe(true);
    expect(await elsewhere.read(id)).toBeUndefined();
    process.off("warning", onWarning);
    expect(warnings).toEqual(["SOJOURN_OPEN_TRANSACTION"]);
  });

  it("leaves a transaction alone that the application makes by queries of a pool with one connection", async () => {
    const client = pool({ max: 1 });
    const [store, id] = [postgresStore(client), newId()];
    await store.create(id, stored());
    await client.query("BEGIN");
    await client.query("UPDATE sojourn_sessions SET version = 7");
    await client.query("ROLLBACK");
    expect((await store.read(id))?.version).toBe(1);
  });

  it("refuses to write into a transaction that begins only after its connection was released", async () => {
    const client = pool({ max: 1 });
    const [store, id] = [postgresStore(client), newId()];
    const borrowed = await client.connect();
    const begun = borrowed.query("BEGIN");
    borrowed.release();
    await expect(store.create(id, stored())).rejects.toThrow(/give postgresStore a connection of its own/);
    await begun;
    expect(await store.create(id, stored())).toBe(true);
    expect((await postgresStore(pool()).read(id))?.version).toBe(1);
  });

  it("refuses to write into a transaction that is open on its only Client, and leaves that to the application", async () => {
    const client = new Client(postgres.address);
    await client.connect();
    try {
      const [store, id] = [postgresStore(client), newId()];
      await client.query("BEGIN");
      await expect(store.create(id, stored())).rejects.toThrow(/give postgresStore a connection of its own/);
      await client.query("ROLLBACK");
      expect(await store.create(id, stored())).toBe(true);
    } finally {
      await client.end();
    }
  });

  it("rejects writes to a read-only database, and reads from it", async () => {
    const id = newId();
    await postgresStore(pool()).create(id, stored());
    const store = postgresStore(pool({ options: "-c default_transaction_read_only=on" }));
    expect((await store.read(id))?.version).toBe(1);
    const refused = withCode("25006");
    await expect(store.create(newId(), stored())).rejects.toEqual(refused);
    await expect(store.update(id, stored(2), 1)).rejects.toEqual(refused);
    await expect(store.touch(id, Date.now() + 7_200_000)).rejects.toEqual(refused);
    await expect(store.delete(id)).rejects.toEqual(refused);
  });

  it("rejects with a wrong password, and does not repeat it in the error", async () => {
    const store = postgresStore(pool({ user: "guarded", password: "open barley" }));
    const error: unknown = await store.read("x").catch((reason: unknown) => reason);
    expect(error).toEqual(withCode("28P01"));
    expect(JSON.stringify(error, Object.getOwnPropertyNames(error))).not.toContain("barley");
  });

  it("rejects while the server takes no more connections, and recovers when it does", async () => {
    await postgres.sql("CREATE ROLE narrow LOGIN CONNECTION LIMIT 1; GRANT ALL ON sojourn_sessions TO narrow");
    const onlyAllowed = new Client({ ...postgres.address, user: "narrow" });
    await onlyAllowed.connect();
    const store = postgresStore(pool({ user: "narrow" }));
    await expect(store.read("x")).rejects.toEqual(withCode("53300"));
    await onlyAllowed.end();
    await until("there is room", async () =>
      store.read("x").then(
        () => true,
        () => false,
      ),
    );
  });

  it("rejects a statement that exceeds the timeout, changes nothing and recovers", async () => {
    const client = pool({ statement_timeout: 200, max: 2 });
    const store = postgresStore(client);
    const id = newId();
    const patientStore = postgresStore(pool());
    await patientStore.create(id, stored());
    const holder = await client.connect();
    await holder.query("BEGIN");
    await holder.query("SELECT FROM sojourn_sessions WHERE id = $1 FOR UPDATE", [id]);
    for (let attempt = 0; attempt < 3; attempt += 1) {
      await expect(store.update(id, stored(2), 1)).rejects.toEqual(withCode("57014"));
    }
    await holder.query("COMMIT");
    holder.release();
    // On a busy machine a read may exceed the timeout too.
    await until("it recovers", () => store.read(id).catch(() => undefined));
    expect(await patientStore.update(id, stored(2), 1)).toBe(true);
    expect(client.totalCount).toBeLessThanOrEqual(2);
  });

  it.each([
    ["has changed the row and commits", "UPDATE sojourn_sessions SET version = version WHERE id = $1", "COMMIT"],
    ["has changed the row and rolls back", "UPDATE sojourn_sessions SET version = 7 WHERE id = $1", "ROLLBACK"],
    ["has only locked the row", "SELECT FROM sojourn_sessions WHERE id = $1 FOR UPDATE", "COMMIT"],
  ])("leaves a session expired if it expired during the wait for a transaction that %s", async (_, statement, end) => {
    const client = pool();
    const store = postgresStore(client);
    const announcing = postgresStore(client, { announceChanges: true });
    const id = newId();
    await store.create(id, { ...stored(), expiresAt: Date.now() + 400 });
    const holder = await client.connect();
    await holder.query("BEGIN");
    await holder.query(statement, [id]);
    const late = [
      store.update(id, stored(2), 1),
      announcing.update(id, stored(2), 1),
      store.touch(id, Date.now() + 3_600_000),
    ];
    await until("it has expired", async () => (await store.read(id)) === undefined);
    await holder.query(end);
    holder.release();
    expect(await Promise.all(late)).toEqual([false, false, false]);
    expect(await store.read(id)).toBeUndefined();
    expect(await store.delete(id)).toBe(false);
  });

  it("updates and extends a session that another transaction extended during the wait for the row", async () => {
    const client = pool();
    const store = postgresStore(client);
    const id = newId();
    await store.create(id, stored());
    const holder = await client.connect();
    await holder.query("BEGIN");
    await holder.query("UPDATE sojourn_sessions SET expires_at = expires_at + 1 WHERE id = $1", [id]);
    const waiting = [store.touch(id, Date.now() + 7_200_000), store.update(id, stored(2), 1)];
    const blocked = "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND usename = 'app'";
    await until("both wait", async () => (await postgres.sql(blocked)).length === 2);
    await holder.query("COMMIT");
    holder.release();
    expect(await Promise.all(waiting)).toEqual([true, true]);
    expect((await store.read(id))?.version).toBe(2);
  });

  it("survives the loss of idle connections if the application does not listen to errors", async () => {
    const client = pool();
    const store = postgresStore(client);
    await Promise.all(Array.from({ length: 5 }, () => store.read("x")));
    await postgres.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'app'");
    await until("the pool has noticed", () => client.totalCount === 0);
    expect(await store.read("x")).toBeUndefined();
  });

  it.each(["pg", "postgres.js"])(
    "reports that it listens again after a loss only when it is notified again, with %s",
    async (which) => {
      const application_name = `listener-${which}`;
      const sql = postgresJs({ ...postgres.address, connection: { application_name } });
      const store = postgresStore(pool(), { listen: which === "pg" ? pool({ application_name }) : sql });
      const events: (string | boolean)[] = [];
      const states = () => events.filter((event) => typeof event === "boolean");
      store.subscribe({ ended: (id) => void events.push(id), listening: (is) => void events.push(is) });
      await until("it listens", () => states().at(-1) === true);
      for (let losses = 1; losses <= 3; losses += 1) {
        await postgres.sql(
          `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = '${application_name}'`,
        );
        await until("it listens again", () => states().length === 2 + 2 * losses);
        expect(states().slice(-2)).toEqual([false, true]);
        const id = newId();
        await store.create(id, stored());
        await store.delete(id);
        await until("it is notified", () => events.includes(id));
        expect(states()).toHaveLength(2 + 2 * losses);
      }
      await store.close();
      await sql.end({ timeout: 5 });
    },
  );

  it("notices a connection that no longer replies, and listens on another", async () => {
    const proxy = await startProxy(postgres.address);
    const store = postgresStore(pool(), { listen: pool({ port: proxy.port }) });
    const states: boolean[] = [];
    store.subscribe({ listening: (is) => states.push(is) });
    await until("it listens", () => states.at(-1) === true);
    proxy.pauseTraffic();
    await until("it reports the loss", () => states.at(-1) === false);
    proxy.resumeTraffic();
    await until("it listens again", () => states.at(-1) === true);
    expect(states).toEqual([false, true, false, true]);
    await store.close();
    await proxy.stop();
  });

  it("rejects on a full disk, keeps its sessions, and recovers when there is room", async () => {
    const full = await startPostgres({ maxFileMiB: 2 });
    try {
      const client = pool(full.address);
      await migratePostgres(client);
      const store = postgresStore(client);
      const kept: string[] = [];
      const fill = async (): Promise<void> => {
        for (;;) {
          const id = newId();
          await store.create(id, stored(1, 1900));
          kept.push(id);
        }
      };
      // A limit of the file size has another code than a full disk, and the same message.
      await expect(fill()).rejects.toThrow(/could not extend file/);
      expect(kept.length).toBeGreaterThan(100);
      for (const id of kept) expect((await store.read(id))?.version).toBe(1);
      for (const id of kept.slice(0, 500)) expect(await store.delete(id)).toBe(true);
      await full.sql("VACUUM sojourn_sessions");
      expect(await store.create(newId(), stored(1, 1900))).toBe(true);
    } finally {
      await Promise.allSettled(pools.splice(0).map((each) => each.end()));
      await full.stop();
    }
  });
});
