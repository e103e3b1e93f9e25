import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { Client, Pool, type PoolConfig } from "pg";
import postgresJs from "postgres";
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
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

/** A relay to a server, which closes a connection behind the first row of a reply when it is told to. */
async function startCutting(port: number) {
  let isCutting = false;
  const sockets = new Set<Socket>();
  const server = createServer((client) => {
    const upstream = connect(port, "127.0.0.1");
    for (const socket of [client, upstream]) sockets.add(socket.on("error", () => {}));
    client.pipe(upstream);
    upstream
      .on("end", () => client.end())
      .on("data", (chunk) => {
        const end = isCutting ? endOfRow(chunk) : undefined;
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

/** Where the first DataRow among the messages ends: each is a letter, and a length that counts itself. */
function endOfRow(messages: Buffer): number | undefined {
  for (let at = 0; at + 5 <= messages.length;) {
    const end = at + 1 + messages.readInt32BE(at + 1);
    if (messages[at] === 0x44) return end;
    at = end;
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

  it("says what to call where its table is missing", async () => {
    const store = postgresStore(pool(), { table: "nowhere" });
    await expect(store.read("x")).rejects.toThrow(/"nowhere" is missing: call migratePostgres\(client\)/);
    await expect(store.create("x", stored())).rejects.toThrow(/migratePostgres/);
  });

  it("migrates in several processes at once, and again", async () => {
    const table = "Made$Once";
    const clients = Array.from({ length: 8 }, () => pool({ max: 1 }));
    await Promise.all(clients.map((each) => migratePostgres(each, { table })));
    await migratePostgres(clients[0]!, { table });
    expect(await postgresStore(clients[0]!, { table }).create(newId(), stored())).toBe(true);
  });

  it("refuses to migrate a table of another's", async () => {
    await postgres.sql("CREATE TABLE anothers (id int PRIMARY KEY, expires_at int, user_id text)");
    await postgres.sql("ALTER TABLE anothers OWNER TO app");
    await expect(migratePostgres(pool(), { table: "anothers" })).rejects.toThrow(/not one of postgresStore's.*table/);
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
    const heard: number[] = [];
    const states: boolean[] = [];
    for (const [index, store] of stores.entries()) {
      store.subscribe({ ended: () => heard.push(index), listening: (is) => (states[index] = is) });
    }
    await until("all listen", () => states.filter(Boolean).length === 3);
    await stores[1]!.delete(id);
    await until("one has heard", () => heard.length > 0);
    expect(heard).toEqual([1]);
    expect((await stores[0]!.read(id))?.version).toBe(1);
    for (const store of stores) await store.close();
  });

  it("goes on while its table is changed under prepared statements", async () => {
    const client = pool();
    await migratePostgres(client, { table: "changing" });
    const asked = vi.spyOn(client as { query(query: string | { name?: string }): unknown }, "query");
    const store = postgresStore(client, { table: "changing" });
    const id = newId();
    await store.create(id, { ...stored(), userId: "ada" });
    for (const change of [
      "ADD COLUMN more text",
      "ALTER COLUMN user_id TYPE varchar(500)",
      "ALTER COLUMN long_id TYPE varchar(9000)",
      "DROP COLUMN more",
    ]) {
      for (let turn = 0; turn < 2; turn += 1) {
        expect((await store.read(id))?.userId).toBe("ada");
        expect(await store.idsOfUser("ada")).toEqual([id]);
        expect(await store.touch(id, Date.now() + 60_000)).toBe(true);
      }
      await client.query(`ALTER TABLE changing ${change}`);
    }
    expect(await store.delete(id)).toBe(true);
    // None was refused and had to go without.
    const queries = asked.mock.calls.flatMap(([query]) => (typeof query === "string" ? [] : [query]));
    const names = queries.map(({ name }) => name);
    expect(names).toHaveLength(26);
    expect(names).not.toContain(undefined);
  });

  it("is not bent by what an application has postgres.js transform", async () => {
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

  it("finds sessions where postgres.js goes on counting the rows of a reply that was cut off", async () => {
    const relay = await startCutting(postgres.address.port);
    const sql = postgresJs({ ...postgres.address, port: relay.port, max: 1, fetch_types: false, backoff: () => 0.01 });
    await migratePostgres(sql, { table: "cut_off" });
    const store = postgresStore(sql, { table: "cut_off", prepare: false });
    const id = newId();
    await store.create(id, { ...stored(), userId: "ada" });
    for (const ask of [
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
      await ask();
    }
    await sql.end({ timeout: 5 });
    await relay.stop();
  });

  it("gives SQL that psql could run", async () => {
    await postgres.sql(postgresSchema({ table: "by_hand" }));
    await postgres.sql("GRANT SELECT, INSERT, UPDATE, DELETE ON by_hand TO app");
    const store = postgresStore(pool(), { table: "by_hand" });
    expect(await store.create("a", stored())).toBe(true);
    expect(await store.delete("a")).toBe(true);
  });

  it("works on one connection, and closes no client", async () => {
    const client = new Client(postgres.address);
    await client.connect();
    const store = postgresStore(client);
    const id = newId();
    const heard: string[] = [];
    let isListening = false;
    const end = store.subscribe({ ended: (ended) => heard.push(ended), listening: (is) => (isListening = is) });
    await until("it listens", () => isListening);
    await store.create(id, stored());
    await store.delete(id);
    await until("it has heard", () => heard.includes(id));
    end();
    await store.close();
    expect((await client.query("SELECT 1 AS one")).rows).toEqual([{ one: 1 }]);
    await client.end();
  });

  it("leaves no connection behind where it is closed as soon as it listens", async () => {
    // The server knows nothing yet of one that has but been opened: it is the process that could not end.
    const sockets = (): number =>
      process.getActiveResourcesInfo().filter((resource) => resource === "TCPSocketWrap").length;
    const before = sockets();
    for (const pause of [0, 1, 5]) {
      const { user: username, ...address } = postgres.address;
      const sql = postgresJs({ ...address, username, fetch_types: false });
      const store = postgresStore(sql);
      store.subscribe({});
      if (pause > 0) await delay(pause);
      await store.close();
      await sql.end();
    }
    // Time for one that is still to come.
    await delay(300);
    await expect(until("no socket is left", () => sockets() <= before)).resolves.toBe(true);
  });

  it("uses no result type, name or serializer that the application has changed", async () => {
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

  it("lists more sessions than one batch holds, and collects more than one round does", async () => {
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

  it("collects beside a writer, without waiting for it", async () => {
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

  it("rejects with a wrong password, which it does not repeat", async () => {
    const store = postgresStore(pool({ user: "guarded", password: "open barley" }));
    const error: unknown = await store.read("x").catch((reason: unknown) => reason);
    expect(error).toEqual(withCode("28P01"));
    expect(JSON.stringify(error, Object.getOwnPropertyNames(error))).not.toContain("barley");
  });

  it("rejects where the server takes no more connections, and recovers when it does", async () => {
    await postgres.sql("CREATE ROLE narrow LOGIN CONNECTION LIMIT 1; GRANT ALL ON sojourn_sessions TO narrow");
    const other = new Client({ ...postgres.address, user: "narrow" });
    await other.connect();
    const store = postgresStore(pool({ user: "narrow" }));
    await expect(store.read("x")).rejects.toEqual(withCode("53300"));
    await other.end();
    await until("there is room", async () =>
      store.read("x").then(
        () => true,
        () => false,
      ),
    );
  });

  it("rejects what takes longer than the statement's timeout, changes nothing and goes on", async () => {
    const client = pool({ statement_timeout: 200, max: 2 });
    const store = postgresStore(client);
    const id = newId();
    const patient = postgresStore(pool());
    await patient.create(id, stored());
    const holder = await client.connect();
    await holder.query("BEGIN");
    await holder.query("SELECT FROM sojourn_sessions WHERE id = $1 FOR UPDATE", [id]);
    for (let tries = 0; tries < 3; tries += 1) {
      await expect(store.update(id, stored(2), 1)).rejects.toEqual(withCode("57014"));
    }
    await holder.query("COMMIT");
    holder.release();
    // One that others keep from the processor may take as long.
    await until("it goes on", () => store.read(id).catch(() => undefined));
    expect(await patient.update(id, stored(2), 1)).toBe(true);
    expect(client.totalCount).toBeLessThanOrEqual(2);
  });

  it.each([
    ["has changed the row and keeps that", "UPDATE sojourn_sessions SET version = version WHERE id = $1", "COMMIT"],
    ["has changed the row and takes that back", "UPDATE sojourn_sessions SET version = 7 WHERE id = $1", "ROLLBACK"],
    ["has but locked the row", "SELECT FROM sojourn_sessions WHERE id = $1 FOR UPDATE", "COMMIT"],
  ])("brings no session back that expired while waiting for a transaction that %s", async (_, statement, end) => {
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

  it("updates and extends a session that somebody else extended while it waited for the row", async () => {
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

  it("survives the loss of idle connections, of which nobody else takes notice", async () => {
    const client = pool();
    const store = postgresStore(client);
    await Promise.all(Array.from({ length: 5 }, () => store.read("x")));
    await postgres.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'app'");
    await until("the pool has noticed", () => client.totalCount === 0);
    expect(await store.read("x")).toBeUndefined();
  });

  it.each(["pg", "postgres.js"])("says that it hears again after a cut only when it does, with %s", async (which) => {
    const application_name = `hearing-${which}`;
    const sql = postgresJs({ ...postgres.address, connection: { application_name } });
    const store = postgresStore(pool(), { listen: which === "pg" ? pool({ application_name }) : sql });
    const heard: (string | boolean)[] = [];
    const states = () => heard.filter((what) => typeof what === "boolean");
    store.subscribe({ ended: (id) => void heard.push(id), listening: (is) => void heard.push(is) });
    await until("it listens", () => states().at(-1) === true);
    for (let cuts = 1; cuts <= 3; cuts += 1) {
      await postgres.sql(
        `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = '${application_name}'`,
      );
      await until("it listens again", () => states().length === 2 + 2 * cuts);
      expect(states().slice(-2)).toEqual([false, true]);
      const id = newId();
      await store.create(id, stored());
      await store.delete(id);
      await until("it has heard", () => heard.includes(id));
      expect(states()).toHaveLength(2 + 2 * cuts);
    }
    await store.close();
    await sql.end({ timeout: 5 });
  });

  it("notices a connection that has fallen silent, and listens on another", async () => {
    const proxy = await startProxy(postgres.address);
    const store = postgresStore(pool(), { listen: pool({ port: proxy.port }) });
    const states: boolean[] = [];
    store.subscribe({ listening: (is) => states.push(is) });
    await until("it listens", () => states.at(-1) === true);
    proxy.hold();
    await until("it says that it may miss something", () => states.at(-1) === false);
    proxy.release();
    await until("it listens again", () => states.at(-1) === true);
    expect(states).toEqual([false, true, false, true]);
    await store.close();
    await proxy.stop();
  });

  it("rejects on a full disk, keeps what it has, and goes on when there is room", async () => {
    const full = await startPostgres({ largestFile: 2 });
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
      // The file's limit has another code than the disk's, and the same message.
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
