import { EventEmitter } from "node:events";
import { describe, expect, it } from "vitest";
import { type PostgresClient, postgresDriver } from "./client.ts";
import type { NotificationHandler } from "./driver.ts";
import type { PostgresJs } from "./postgres-js.ts";

/** A handler, and the calls that it has got. */
function recordingHandler(): { payloads: string[]; losses: number; handler: NotificationHandler } {
  const state = {
    payloads: [] as string[],
    losses: 0,
    handler: {
      onNotification: (payload: string) => void state.payloads.push(payload),
      onLost: () => void (state.losses += 1),
    },
  };
  return state;
}

/** The part of postgres.js that listens. */
function fakePostgresJs() {
  const state = { listeners: [] as ((payload: string) => void)[], onReconnected: () => {}, isRefusing: false };
  const sql: PostgresJs = {
    unsafe: () => {
      throw new Error("no query is expected");
    },
    async listen(_channel, onnotify, onlisten = () => {}) {
      state.listeners.push(onnotify);
      if (state.listeners.length === 1) state.onReconnected = onlisten;
      if (state.isRefusing) throw new Error("refused");
      onlisten();
      return { unlisten: async () => void state.listeners.splice(state.listeners.indexOf(onnotify), 1) };
    },
  };
  return { state, sql };
}

/** A Client of pg that records statements and has no rows. */
class FakePgClient extends EventEmitter {
  readonly statements: string[] = [];
  async query(text: string): Promise<{ rows: [] }> {
    this.statements.push(text);
    return { rows: [] };
  }
  async connect(): Promise<void> {}
}

describe("postgresDriver", () => {
  it("says what is missing where a client of pg was never connected, since pg would keep its queries", async () => {
    const client = Object.assign(new FakePgClient(), { _connected: false, _connecting: false });
    const { query } = postgresDriver("postgresStore", client as unknown as PostgresClient);
    const ask = () => query({ name: "one", text: "SELECT 1" }, [], false);
    await expect(ask()).rejects.toThrow("the client of pg is not connected: call await client.connect()");
    expect(client.statements).toEqual([]);
    client["_connecting"] = true;
    await expect(ask()).resolves.toEqual([]);
    client["_connecting"] = false;
    client["_connected"] = true;
    await expect(ask()).resolves.toEqual([]);
  });

  it("sets a timeout for the queries of a pool of pg that has none, and leaves an existing one alone", async () => {
    const timeouts: unknown[] = [];
    const pool = (options: object) =>
      Object.assign(new EventEmitter(), {
        options,
        totalCount: 0,
        connect: async () => {},
        query: async ({ query_timeout }: { query_timeout?: number }) => {
          timeouts.push(query_timeout);
          return { rows: [] };
        },
      });
    for (const options of [{}, { query_timeout: undefined }, { query_timeout: 0 }, { query_timeout: 500 }]) {
      const given = pool(options) as unknown as PostgresClient;
      await postgresDriver("test", given).query({ name: "n", text: "SELECT 1" }, [], false);
    }
    expect(timeouts).toEqual([10_000, 10_000, undefined, undefined]);
  });

  it("can prepare with postgres.js if the process that opened the connection answers, in a reply that begins with a hole too", async () => {
    for (const [pid, expected] of [
      [7, true],
      [8, false],
    ] as const) {
      const rows: Uint8Array[][] = [];
      rows[1] = [Buffer.from("7")];
      const { sql } = fakePostgresJs();
      sql.unsafe = () => Object.assign(Promise.resolve(), { raw: async () => Object.assign(rows, { state: { pid } }) });
      expect(await postgresDriver("test", sql).canPrepare()).toBe(expected);
    }
  });

  it("listens once to a channel with postgres.js, for all handlers", async () => {
    const { state, sql } = fakePostgresJs();
    const kept = recordingHandler();
    await postgresDriver("test", sql).listen("c", kept.handler);
    for (let cycle = 0; cycle < 5; cycle += 1) {
      const short = recordingHandler();
      const connection = await postgresDriver("test", sql).listen("c", short.handler);
      for (const onnotify of state.listeners) onnotify(`${cycle}`);
      await connection.close();
      await connection.close();
      for (const onnotify of state.listeners) onnotify("later");
      expect(short.payloads).toEqual([`${cycle}`]);
    }
    expect(state.listeners).toHaveLength(1);
    expect(kept.payloads).toHaveLength(10);
    state.onReconnected();
    expect(kept.losses).toBe(1);
  });

  it("leaves one subscription behind in an outage with postgres.js, however many connections are closed in it", async () => {
    const { state, sql } = fakePostgresJs();
    state.isRefusing = true;
    const driver = postgresDriver("test", sql);
    const handlers = Array.from({ length: 5 }, () => recordingHandler().handler);
    const all = await Promise.all(handlers.map((handler) => driver.listen("c", handler)));
    const [first, second, ...others] = all;
    await Promise.all([first!.close(), second!.close()]);
    const closing = Promise.all(others.map((each) => each.close()));
    expect(state.listeners).toHaveLength(2);
    state.isRefusing = false;
    state.onReconnected();
    await closing;
    const last = await driver.listen("c", recordingHandler().handler);
    await last.close();
    expect(state.listeners).toHaveLength(2);
  });

  it("leaves only one event listener on a Client of pg, for its errors", async () => {
    const client = new FakePgClient();
    const counts = () => ["error", "end", "notification"].map((event) => client.listenerCount(event));
    for (let cycle = 0; cycle < 20; cycle += 1) {
      const { handler } = recordingHandler();
      const connection = await postgresDriver("test", client as never).listen("c", handler);
      await connection.close();
      await connection.close();
    }
    expect(counts()).toEqual([1, 0, 0]);
    client.emit("error", new Error("ignored"));
  });

  it("keeps a channel of a Client of pg until its last listener is closed", async () => {
    const client = new FakePgClient();
    const one = await postgresDriver("test", client as never).listen("c", recordingHandler().handler);
    const other = await postgresDriver("test", client as never).listen("c", recordingHandler().handler);
    await one.close();
    expect(client.statements).toEqual(['LISTEN "c"', 'LISTEN "c"']);
    await other.close();
    expect(client.statements.at(-1)).toBe('UNLISTEN "c"');
  });

  it("keeps a lost connection of a Pool from ending the process, also after it has listened", async () => {
    const poolClient = Object.assign(new FakePgClient(), { release: () => {} });
    const pool = Object.assign(new EventEmitter(), {
      totalCount: 0,
      options: {},
      query: async () => ({ rows: [] }),
      connect: async () => poolClient,
    });
    const state = recordingHandler();
    const connection = await postgresDriver("test", pool).listen("c", state.handler);
    poolClient.emit("error", new Error("lost"));
    expect(state.losses).toBe(1);
    await connection.close();
    poolClient.emit("error", new Error("still lost"));
    expect(state.losses).toBe(1);
  });
});
