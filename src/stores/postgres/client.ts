import { Buffer } from "node:buffer";
import { askThrough, reserveIn } from "./pools.ts";
import type { Statement } from "./statements.ts";

// The one file that knows PostgreSQL's clients apart: by what they offer, and typed by what is called.

/** A query as pg takes it. */
interface PgQuery {
  readonly name?: string;
  readonly text: string;
  readonly values: (string | null)[];
  readonly rowMode: "array";
  readonly types: { getTypeParser(): (text: string) => string };
  readonly query_timeout?: number;
}

interface PgNotification {
  readonly channel: string;
  readonly payload?: string | undefined;
}

/** A `Client` of pg. */
export interface PgClient {
  query(query: PgQuery): Promise<{ readonly rows: unknown[][] }>;
  query(script: string): Promise<unknown>;
  connect(): Promise<unknown>;
  on(event: "error" | "end", listener: () => void): unknown;
  on(event: "notification", listener: (message: PgNotification) => void): unknown;
  removeListener(event: string, listener: (message: PgNotification) => void): unknown;
}

interface PgPoolClient extends Pick<PgClient, "query" | "on" | "removeListener"> {
  release(destroy?: boolean): void;
}

/** A `Pool` of pg. */
export interface PgPool {
  readonly totalCount: number;
  readonly options: { readonly query_timeout?: unknown; readonly max?: unknown };
  query(query: PgQuery): Promise<{ readonly rows: unknown[][] }>;
  query(script: string): Promise<unknown>;
  connect(): Promise<PgPoolClient>;
  on(event: "error", listener: () => void): unknown;
}

interface PostgresJsRows extends ReadonlyArray<(Uint8Array | null)[]> {
  /** The server's process, as it has named itself to the connection. */
  readonly state?: { readonly pid: number } | undefined;
}

/** The `sql` function of postgres.js. */
export interface PostgresJs {
  unsafe(
    text: string,
    values?: (string | null)[],
    options?: { prepare?: boolean | undefined },
  ): PromiseLike<unknown> & { raw(): PromiseLike<PostgresJsRows> };
  listen(
    channel: string,
    onnotify: (payload: string) => void,
    onlisten?: () => void,
  ): PromiseLike<{ unlisten(): Promise<void> }>;
}

/** A database of PGlite. */
export interface PGliteClient {
  query(text: string, values?: (string | null)[], options?: { rowMode?: "array" }): Promise<{ rows: unknown[] }>;
  exec(script: string): Promise<unknown>;
  listen(channel: string, callback: (payload: string) => void): Promise<() => Promise<void>>;
}

/** What {@link postgresStore} works with: pg's `Pool` or `Client`, the `sql` of postgres.js, or PGlite. */
export type PostgresClient = PgPool | PgClient | PostgresJs | PGliteClient;

export type Row = readonly (string | null)[];

/** Whom a connection that listens tells. */
export interface Ears {
  heard(payload: string): void;
  /** The connection is lost, or was, and something may have gone unheard. */
  lost(): void;
}

export interface Listening {
  /** Rejects where the connection is dead, or never answers. Where it is missing, only an echo can tell. */
  ping?(): Promise<unknown>;
  /** Whether the client reconnects and listens again by itself. */
  readonly heals: boolean;
  /** At once deaf; what it fulfils is that the client may be ended. */
  end(): Promise<void>;
}

/** Any of the clients. */
export interface PostgresConnection {
  /** Whether a connection may keep statements prepared, as far as the client can tell. */
  mayPrepare(): Promise<boolean>;
  /** One statement in a transaction of its own; all that goes in and comes out is text. */
  run(statement: Statement, values: readonly (string | null)[], prepare: boolean): Promise<readonly Row[]>;
  /** Statements without values, in one transaction. */
  script(text: string): Promise<void>;
  /**
   * Keeps room for one more who listens, until what it gives is called.
   *
   * @throws {TypeError} where nobody could ask any more beside them.
   */
  reserve(): () => void;
  listen(channel: string, ears: Ears): Promise<Listening>;
}

/** @param purpose - whether a store asks through the client, or listens through it alone. */
export function postgresConnection(
  maker: string,
  given: PostgresClient,
  purpose: "asking" | "listening" = "asking",
): PostgresConnection {
  const client: unknown = given;
  if (has(client, "unsafe") && has(client, "listen")) return overPostgresJs(given as PostgresJs);
  if (has(client, "query") && has(client, "exec") && has(client, "listen")) {
    return overPGlite(given as PGliteClient);
  }
  if (has(client, "query") && has(client, "connect") && has(client, "on")) {
    return overPg(given as PgPool | PgClient, purpose);
  }
  throw new TypeError(
    `${maker} takes a Pool of pg, the sql function of postgres.js, or a PGlite: not a connection string or its options`,
  );
}

function has(client: unknown, method: string): boolean {
  if ((typeof client !== "object" && typeof client !== "function") || client === null) return false;
  return typeof (client as Record<string, unknown>)[method] === "function";
}

const isPool = (client: PgPool | PgClient): client is PgPool => "totalCount" in client;

// Without a bound, a connection to a server that answers no more counts as lent for a quarter of an hour, and ten of
// them use up the pool. pg closes the connection of a query that takes longer.
const LONGEST_QUERY = 10_000;

const free = () => () => {};

const asText = { getTypeParser: () => (text: string) => text };
const guarded = new WeakSet<object>();

// pg tells of a connection that was lost by an event, and one that nobody listens to ends the process.
function guard(client: Pick<PgPool, "on">): void {
  if (!guarded.has(client)) client.on("error", () => {});
  guarded.add(client);
}

function overPg(client: PgPool | PgClient, purpose: "asking" | "listening"): PostgresConnection {
  if (purpose === "asking" && isPool(client)) askThrough(client);
  guard(client);
  const own = isPool(client) && client.options.query_timeout !== undefined ? {} : { query_timeout: LONGEST_QUERY };

  return {
    // A pooler that can't is found out by the server's error: pg sends a statement when the last is answered.
    mayPrepare: async () => true,
    async run({ name, text }, values, prepare) {
      const query: PgQuery = { text, values: [...values], rowMode: "array", types: asText, ...own };
      const { rows } = await client.query(prepare ? { ...query, name } : query);
      return rows as Row[];
    },
    async script(text) {
      await client.query(text);
    },
    reserve: isPool(client) ? () => reserveIn(client) : free,
    listen: (channel, ears) =>
      isPool(client) ? listenInPool(client, channel, ears) : listenOnClient(client, channel, ears),
  };
}

async function listenInPool(pool: PgPool, channel: string, ears: Ears): Promise<Listening> {
  const client = await pool.connect();
  // It is closed, not given back: it listens.
  return listenWith(client, channel, ears, () => client.release(true));
}

/** How many listen to a channel on one connection. */
const listening = new WeakMap<PgClient, Map<string, number>>();

async function listenOnClient(client: PgClient, channel: string, ears: Ears): Promise<Listening> {
  const counts = listening.get(client) ?? new Map<string, number>();
  listening.set(client, counts);
  const count = (change: number): number => {
    const left = (counts.get(channel) ?? 0) + change;
    counts.set(channel, left);
    return left;
  };
  count(1);
  return listenWith(client, channel, ears, () => {
    // UNLISTEN would make the others deaf, and none of them would notice: the connection lives.
    if (count(-1) === 0) client.query(`UNLISTEN "${channel}"`).catch(() => {});
  });
}

async function listenWith(
  client: Pick<PgClient, "query" | "on" | "removeListener">,
  channel: string,
  ears: Ears,
  letGo: () => void,
): Promise<Listening> {
  let ended = false;
  const lost = (): void => void (ended || ears.lost());
  const heard = (message: PgNotification): void => {
    if (!ended && message.channel === channel && message.payload !== undefined) ears.heard(message.payload);
  };
  const end = async (): Promise<void> => {
    if (ended) return;
    ended = true;
    client.removeListener("end", lost);
    client.removeListener("error", lost);
    client.removeListener("notification", heard);
    letGo();
  };
  client.on("notification", heard);
  client.on("end", lost);
  // A lost connection says both, and may have more to say while it is being closed.
  client.on("error", lost);
  guard(client);
  try {
    await client.query(`LISTEN "${channel}"`);
  } catch (error) {
    await end();
    throw error;
  }
  return { heals: false, ping: () => client.query("SELECT 1"), end };
}

function overPostgresJs(sql: PostgresJs): PostgresConnection {
  return {
    // It sends prepared statements ahead of the answers to earlier ones. Behind pgbouncer 1.18 that ended in sessions that
    // were read as missing. Where the server is another process than the one that greeted the connection, there is a
    // pooler in between.
    async mayPrepare() {
      const result = await sql.unsafe("SELECT pg_backend_pid()::text WHERE $1::text IS NULL", [null]).raw();
      const [pid] = rowsOf(result)[0] ?? [];
      return pid instanceof Uint8Array && asLatin(pid) === String(result.state?.pid);
    },
    async run({ text }, values, prepare) {
      const rows = rowsOf(await sql.unsafe(text, [...values], { prepare }).raw());
      return rows.map((row) => row.map((value) => (value === null ? null : asLatin(value))));
    },
    async script(text) {
      await sql.unsafe(text);
    },
    // It listens on a connection beside its pool.
    reserve: free,
    async listen(channel, ears) {
      const shared = sharedListening(sql, channel);
      await shared.began;
      shared.ears.add(ears);
      return {
        heals: true,
        async end() {
          if (shared.ears.delete(ears)) await shared.settled();
        },
      };
    },
  };
}

/**
 * Without the holes before them: where a connection was lost behind a row, postgres.js 3.4 counts on from there in the
 * first reply on the next one.
 */
function rowsOf(result: PostgresJsRows): (Uint8Array | null)[][] {
  return result.filter(() => true);
}

interface SharedListening {
  readonly ears: Set<Ears>;
  /** Fulfils after the first try, whatever became of it. */
  readonly began: Promise<void>;
  /** Fulfils when no connection is being made, as far as that can be told. */
  settled(): Promise<void>;
}

const sharedListenings = new WeakMap<PostgresJs, Map<string, SharedListening>>();

/**
 * postgres.js has a connection of its own for listening, and when that is lost makes another, for as long as it takes. Of
 * the loss it says nothing. Its function that ends a listening knows nothing of later connections: so there is one
 * listening per client and channel, which lasts as long as the client.
 */
function sharedListening(sql: PostgresJs, channel: string): SharedListening {
  const channels = sharedListenings.get(sql) ?? new Map<string, SharedListening>();
  sharedListenings.set(sql, channels);
  const known = channels.get(channel);
  if (known !== undefined) return known;

  const ears = new Set<Ears>();
  let settling: Promise<void> | undefined;
  let back: Promise<void> | undefined;
  let isBack = ignore;
  const hear = (payload: string): void => {
    for (const each of ears) each.heard(payload);
  };
  const listens = (): void => {
    isBack();
    back = undefined;
    for (const each of ears) each.lost();
  };
  const shared: SharedListening = {
    ears,
    began: Promise.resolve(sql.listen(channel, hear, listens)).then(ignore, ignore),
    // A client that is ended while the connection is being made leaves it behind. Another listening is there when that
    // connection is. One that fails can't be taken back: so there is one at a time, and none until the server is back.
    settled() {
      if (back !== undefined) return back;
      return (settling ??= Promise.resolve(sql.listen(channel, ignore))
        .then(
          ({ unlisten }) => unlisten(),
          () => void (back = new Promise((resolve) => (isBack = resolve))),
        )
        .finally(() => (settling = undefined)));
    },
  };
  channels.set(channel, shared);
  return shared;
}

const ignore = (): void => {};

// Every value is ASCII.
function asLatin(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("latin1");
}

function overPGlite(database: PGliteClient): PostgresConnection {
  return {
    mayPrepare: async () => false,
    async run({ text }, values) {
      const { rows } = await database.query(text, [...values], { rowMode: "array" });
      return rows as Row[];
    },
    async script(text) {
      await database.exec(text);
    },
    reserve: free,
    async listen(channel, ears) {
      let ended = false;
      // It quotes no name, and turns those that are not into lower case.
      const unlisten = await database.listen(`"${channel}"`, (payload) => void (ended || ears.heard(payload)));
      return {
        ping: async () => {},
        heals: false,
        async end() {
          if (ended) return;
          ended = true;
          await unlisten();
        },
      };
    },
  };
}
