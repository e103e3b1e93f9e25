import { EventEmitter } from "node:events";
import { describe, expect, it } from "vitest";
import { type Ears, type PostgresClient, postgresConnection, type PostgresJs } from "./client.ts";

function hearing(): { heard: string[]; losses: number; ears: Ears } {
  const state = {
    heard: [] as string[],
    losses: 0,
    ears: { heard: (text: string) => void state.heard.push(text), lost: () => void (state.losses += 1) },
  };
  return state;
}

/** What postgres.js does with those who listen. */
function postgresJs() {
  const state = { listeners: [] as ((text: string) => void)[], asked: 0, isBack: () => {}, refusing: false };
  const sql: PostgresJs = {
    unsafe: () => {
      throw new Error("not to be asked");
    },
    async listen(_channel, hear, onlisten = () => {}) {
      state.asked += 1;
      state.listeners.push(hear);
      if (state.listeners.length === 1) state.isBack = onlisten;
      if (state.refusing) throw new Error("refused");
      onlisten();
      return { unlisten: async () => void state.listeners.splice(state.listeners.indexOf(hear), 1) };
    },
  };
  return { state, sql };
}

/** A Client of pg: LISTEN and UNLISTEN are all that it knows. */
class PgClientLike extends EventEmitter {
  readonly asked: string[] = [];
  async query(text: string): Promise<{ rows: [] }> {
    this.asked.push(text);
    return { rows: [] };
  }
  async connect(): Promise<void> {}
}

describe("postgresConnection", () => {
  it("bounds a query of a pool of pg that sets no bound of its own, and leaves the others theirs", async () => {
    const bounds: unknown[] = [];
    const pool = (options: object) =>
      Object.assign(new EventEmitter(), {
        options,
        totalCount: 0,
        connect: async () => {},
        query: async ({ query_timeout }: { query_timeout?: number }) => {
          bounds.push(query_timeout);
          return { rows: [] };
        },
      });
    for (const options of [{}, { query_timeout: undefined }, { query_timeout: 0 }, { query_timeout: 500 }]) {
      const given = pool(options) as unknown as PostgresClient;
      await postgresConnection("test", given).run({ name: "n", text: "SELECT 1" }, [], false);
    }
    expect(bounds).toEqual([10_000, 10_000, undefined, undefined]);
  });

  it("may prepare through postgres.js where the server answers for itself, in a reply that begins with a hole too", async () => {
    for (const [pid, expected] of [
      [7, true],
      [8, false],
    ] as const) {
      const rows: Uint8Array[][] = [];
      rows[1] = [Buffer.from("7")];
      const { sql } = postgresJs();
      sql.unsafe = () => Object.assign(Promise.resolve(), { raw: async () => Object.assign(rows, { state: { pid } }) });
      expect(await postgresConnection("test", sql).mayPrepare()).toBe(expected);
    }
  });

  it("listens once to a channel through postgres.js, for all who ever want to hear", async () => {
    const { state, sql } = postgresJs();
    const kept = hearing();
    await postgresConnection("test", sql).listen("c", kept.ears);
    for (let cycle = 0; cycle < 5; cycle += 1) {
      const short = hearing();
      const listening = await postgresConnection("test", sql).listen("c", short.ears);
      for (const hear of state.listeners) hear(`${cycle}`);
      await listening.end();
      await listening.end();
      for (const hear of state.listeners) hear("later");
      expect(short.heard).toEqual([`${cycle}`]);
    }
    expect(state.listeners).toHaveLength(1);
    expect(kept.heard).toHaveLength(10);
    state.isBack();
    expect(kept.losses).toBe(1);
  });

  it("leaves one listening behind in an outage of postgres.js's connection, however many end in it", async () => {
    const { state, sql } = postgresJs();
    state.refusing = true;
    const connection = postgresConnection("test", sql);
    const ears = Array.from({ length: 5 }, () => hearing().ears);
    const all = await Promise.all(ears.map((each) => connection.listen("c", each)));
    const [first, second, ...others] = all;
    await Promise.all([first!.end(), second!.end()]);
    const waiting = Promise.all(others.map((each) => each.end()));
    expect(state.listeners).toHaveLength(2);
    state.refusing = false;
    state.isBack();
    await waiting;
    const last = await connection.listen("c", hearing().ears);
    await last.end();
    expect(state.listeners).toHaveLength(2);
  });

  it("leaves no more on a Client of pg than one listener for its errors", async () => {
    const client = new PgClientLike();
    const counts = () => ["error", "end", "notification"].map((event) => client.listenerCount(event));
    for (let cycle = 0; cycle < 20; cycle += 1) {
      const { ears } = hearing();
      const listening = await postgresConnection("test", client as never).listen("c", ears);
      await listening.end();
      await listening.end();
    }
    expect(counts()).toEqual([1, 0, 0]);
    client.emit("error", new Error("nobody's business"));
  });

  it("lets nobody on a Client of pg make another deaf", async () => {
    const client = new PgClientLike();
    const one = await postgresConnection("test", client as never).listen("c", hearing().ears);
    const other = await postgresConnection("test", client as never).listen("c", hearing().ears);
    await one.end();
    expect(client.asked).toEqual(['LISTEN "c"', 'LISTEN "c"']);
    await other.end();
    expect(client.asked.at(-1)).toBe('UNLISTEN "c"');
  });

  it("keeps a lost connection of a Pool from ending the process, after it has listened too", async () => {
    const lent = Object.assign(new PgClientLike(), { release: () => {} });
    const pool = Object.assign(new EventEmitter(), {
      totalCount: 0,
      options: {},
      query: async () => ({ rows: [] }),
      connect: async () => lent,
    });
    const state = hearing();
    const listening = await postgresConnection("test", pool).listen("c", state.ears);
    lent.emit("error", new Error("lost"));
    expect(state.losses).toBe(1);
    await listening.end();
    lent.emit("error", new Error("still lost"));
    expect(state.losses).toBe(1);
  });
});
