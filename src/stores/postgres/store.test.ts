import { EventEmitter } from "node:events";
import type { PGlite } from "@electric-sql/pglite";
import type { Client, Pool } from "pg";
import type { Sql } from "postgres";
import { describe, expect, expectTypeOf, it } from "vitest";
import { failureOf } from "../../../test/support/failures.ts";
import { escapeText, MAX_KEY_LENGTH, postgresKeyOf, unescapeText } from "./escaping.ts";
import { type PostgresClient, postgresSchema, postgresStore } from "./store.ts";

/** A client like PGlite that replies with the given rows, and records statements. */
function replyingWith(reply: () => unknown[][]): PostgresClient & { statements: string[] } {
  const statements: string[] = [];
  return {
    statements,
    async query(text: string) {
      statements.push(text);
      return { rows: reply() };
    },
    exec: async () => [],
    listen: async () => async () => {},
  };
}

const errorWith = (code: string): Error => Object.assign(new Error(`code ${code}`), { code });

describe("postgresStore", () => {
  it("accepts the types of the clients of pg, postgres.js and PGlite", () => {
    expectTypeOf<Pool>().toExtend<PostgresClient>();
    expectTypeOf<Client>().toExtend<PostgresClient>();
    expectTypeOf<Sql>().toExtend<PostgresClient>();
    expectTypeOf<PGlite>().toExtend<PostgresClient>();
    expectTypeOf<string>().not.toExtend<PostgresClient>();
  });

  it("refuses anything that is no client", () => {
    for (const client of ["postgres://localhost", undefined, null, {}, { query() {} }]) {
      expect(() => postgresStore(client as never)).toThrow(/Pool of pg, the sql function of postgres.js, or a PGlite/);
    }
    const listen = "postgres://localhost" as never;
    expect(() =>
      postgresStore(
        replyingWith(() => []),
        { listen },
      ),
    ).toThrow(/listen takes a Pool of pg/);
  });

  it("refuses options that it does not know or can't use", () => {
    const given = (options: object) =>
      failureOf(() =>
        postgresStore(
          replyingWith(() => []),
          options,
        ),
      );
    expect(given({ tabel: "x" })).toMatchObject({ message: expect.stringMatching(/no option "tabel".*table/) });
    expect(given({ clock: 5 })).toBeInstanceOf(TypeError);
    expect(given({ prepare: "auto" })).toMatchObject({
      message: expect.stringMatching(/prepare must be true or false/),
    });
    expect(given({ announceChanges: 1 })).toBeInstanceOf(TypeError);
  });

  it("refuses to listen if the pool would have no connection left for queries", async () => {
    const pool = (max?: number) =>
      Object.assign(new EventEmitter(), {
        totalCount: 0,
        options: { max },
        query: async () => ({ rows: [] }),
        connect: () => new Promise<never>(() => {}),
      }) as PostgresClient;
    const subscribe = (client: PostgresClient, listen?: PostgresClient) =>
      postgresStore(client, { listen }).subscribe({});

    expect(() => subscribe(pool(1))).toThrow(TypeError);
    expect(() => subscribe(pool(1))).toThrow(/max: 1; with 1 of them it needs at least 2: raise max.*option listen/);

    const two = pool(2);
    const end = subscribe(two);
    expect(() => subscribe(two)).toThrow(/max: 2; with 2 of them it needs at least 3/);
    end();
    end();
    subscribe(two)();

    let direct = pool(1);
    const endDirect = subscribe(pool(1), direct);
    expect(() => subscribe(pool(1), direct)).toThrow(/with 2 of them it needs at least 2/);
    expect(() => postgresStore(direct)).toThrow(/with 1 of them it needs at least 2/);
    endDirect();
    direct = pool(1);
    const closing = postgresStore(pool(1), { listen: direct });
    closing.subscribe({});
    await closing.close();
    subscribe(pool(1), direct)();

    const unknown = pool();
    for (let stores = 0; stores < 20; stores += 1) subscribe(unknown);
  });

  it("refuses table names that could change its SQL", () => {
    for (const table of ["", 'a"b', "a b", "a;b", "a.b.c", "1a", "é", "x".repeat(51), `${"s".repeat(64)}.t`, 5, null]) {
      const failure = failureOf(() => postgresSchema({ table: table as never }));
      expect(failure).toBeInstanceOf(TypeError);
      expect(failure).toMatchObject({ message: expect.stringMatching(/table must be a name/) });
    }
    expect(postgresSchema({ table: "Shop.Sessions" })).toContain('"Shop"."Sessions"');
  });

  it("repeats statements that the server has rolled back, and no others", async () => {
    for (const code of ["40001", "40P01"]) {
      let left = 3;
      const client = replyingWith(() => {
        left -= 1;
        if (left > 0) throw errorWith(code);
        return [["x"]];
      });
      expect(await postgresStore(client).touch("x", 1)).toBe(true);
      expect(client.statements).toHaveLength(3);
    }
    for (const code of ["57P01", "08006", "ECONNRESET", "57014", "55P03", "25006", "53300"]) {
      const client = replyingWith(() => {
        throw errorWith(code);
      });
      await expect(postgresStore(client).touch("x", 1)).rejects.toThrow(`code ${code}`);
      expect(client.statements).toHaveLength(1);
    }
  });

  it("stops repeating after some attempts, with the server's error", async () => {
    const client = replyingWith(() => {
      throw errorWith("40001");
    });
    await expect(postgresStore(client).touch("x", 1)).rejects.toThrow("code 40001");
    expect(client.statements.length).toBeLessThan(30);
  });

  it("continues without prepared statements if a pooler has lost one", async () => {
    for (const code of ["26000", "42P05", "0A000"]) {
      const names: (string | undefined)[] = [];
      const pool = {
        totalCount: 0,
        options: {},
        on() {},
        connect: async () => ({}),
        async query({ name }: { name?: string }) {
          names.push(name);
          if (name !== undefined && names.length > 1) throw errorWith(code);
          return { rows: [] };
        },
      };
      const store = postgresStore(pool as never);
      for (let calls = 0; calls < 3; calls += 1) await store.read("x");
      expect(names.map((name) => name !== undefined)).toEqual([true, true, false, false]);
    }
  });

  it("rejects a reply that belongs to another session or user", async () => {
    const store = postgresStore(replyingWith(() => [["live", "y"]]));
    const given = { payload: new Uint8Array(1), version: 2, expiresAt: Date.now() + 1000 };
    const replies = [
      store.read("x"),
      store.create("x", given),
      store.update("x", given, 1),
      store.touch("x", 1),
      store.delete("x"),
      store.idsOfUser("x"),
    ];
    for (const each of await Promise.allSettled(replies)) {
      expect(each).toMatchObject({
        reason: { message: expect.stringMatching(/another statement.*a client of its own/) },
      });
    }
    expect(await store.delete("y")).toBe(true);
  });

  it("updates no session with an impossible version, and sends no statement", async () => {
    const client = replyingWith(() => [["x"]]);
    const store = postgresStore(client);
    const stored = { payload: new Uint8Array(1), version: 2, expiresAt: Date.now() + 1000 };
    for (const version of [Number.NaN, 1.5, Infinity, 2 ** 53, undefined as never]) {
      expect(await store.update("x", stored, version)).toBe(false);
    }
    expect(client.statements).toEqual([]);
    expect(await store.update("x", stored, 1)).toBe(true);
    await store.close();
    await expect(store.update("x", stored, Number.NaN)).rejects.toThrow(/closed/);
  });

  it("rejects operations after it is closed, and can be closed twice", async () => {
    const store = postgresStore(replyingWith(() => [["x"]]));
    const begun = store.touch("x", 1);
    await store.close();
    await store.close();
    await expect(store.touch("x", 1)).rejects.toThrow(/closed/);
    expect(() => store.subscribe({})).toThrow(/closed/);
    await begun.catch(() => {});
  });
});

describe("escapeText", () => {
  const TEXTS = [
    "",
    "ada",
    "ada ",
    "a\\b",
    "\\u0000",
    "\0",
    "\n",
    "é",
    "e\u0301",
    "🦁",
    "\ud800",
    "\udc00\ud800",
    "\"'",
  ];

  it("returns printable ASCII, which unescapeText turns back into the same text", () => {
    for (const text of TEXTS) {
      expect(escapeText(text)).toMatch(/^[ -~]*$/);
      expect(unescapeText(escapeText(text))).toBe(text);
    }
    expect(new Set(TEXTS.map(escapeText)).size).toBe(TEXTS.length);
  });

  it("leaves ordinary ids and users readable", () => {
    for (const text of ["V7Zq0c-x_1dJm3n4b5v6cA", "ada@example.org", "user:42"]) expect(escapeText(text)).toBe(text);
  });
});

describe("postgresKeyOf", () => {
  it("is short and different for every id", () => {
    const ids = ["x".repeat(MAX_KEY_LENGTH), "x".repeat(MAX_KEY_LENGTH + 1), "x".repeat(9000), "é".repeat(60)];
    const keys = ids.map((id) => postgresKeyOf(id).key);
    for (const key of keys) expect(key.length).toBeLessThanOrEqual(MAX_KEY_LENGTH);
    expect(new Set(keys).size).toBe(ids.length);
    expect(postgresKeyOf(keys[2]!).key).not.toBe(keys[2]);
    expect(unescapeText(postgresKeyOf(ids[3]!).longId ?? "")).toBe(ids[3]);
  });
});
