import type { NotificationHandler, PostgresDriver, PostgresListenerConnection, PostgresRow } from "./driver.ts";
import { reserveListener, useForQueries } from "./pools.ts";

/** A query as pg takes it. */
interface PgQuery {
  readonly name: string | undefined;
  readonly text: string;
  readonly values: (string | null)[];
  readonly rowMode: "array";
  readonly types: { getTypeParser(): (text: string) => string };
  readonly query_timeout: number | undefined;
}

interface PgNotification {
  readonly channel: string;
  readonly payload?: string | undefined;
}

/** A `Client` of pg. */
export interface PgClient {
  // The state after the last reply: "I" outside a transaction. Before pg 8.21 there is no such method.
  getTransactionStatus?(): string | null;
  query(query: PgQuery): Promise<{ readonly rows: unknown[][] }>;
  query(script: string): Promise<unknown>;
  connect(): Promise<unknown>;
  on(event: "error" | "end", listener: () => void): unknown;
  on(event: "notification", listener: (notification: PgNotification) => void): unknown;
  removeListener(event: string, listener: (notification: PgNotification) => void): unknown;
}

interface PgPoolClient extends Pick<PgClient, "query" | "on" | "removeListener"> {
  release(destroy?: boolean): void;
}

type PgResult = { readonly rows: unknown[][] };

/** A connection of a pool, as the pool lends it to a callback. */
interface BorrowedClient {
  getTransactionStatus(): string | null;
  query(query: PgQuery | string | typeof ROLLBACK, callback: (error: unknown, result?: PgResult) => void): void;
  once(event: "error", listener: (error: unknown) => void): unknown;
  removeListener(event: "error", listener: (error: unknown) => void): unknown;
}

type Borrow = (
  callback: (error: unknown, client?: BorrowedClient, release?: (error?: unknown) => void) => void,
) => void;

/** A `Pool` of pg. */
export interface PgPool {
  readonly totalCount: number;
  readonly options: { readonly query_timeout?: unknown; readonly max?: unknown };
  query(query: PgQuery): Promise<{ readonly rows: unknown[][] }>;
  query(script: string): Promise<unknown>;
  connect(): Promise<PgPoolClient>;
  on(event: "error", listener: () => void): unknown;
}

/** The purpose of a client: the store's queries, or notifications alone. */
export type PostgresPurpose = "queries" | "notifications";

// Without a timeout, a query to a server that no longer answers keeps its connection for a quarter of an hour, and ten such
// queries use up the pool. pg closes the connection of a query that takes longer.
const QUERY_TIMEOUT_MS = 10_000;
const ROLLBACK = { text: "ROLLBACK", query_timeout: QUERY_TIMEOUT_MS } as const;

const TEXT_PARSERS = { getTypeParser: () => (text: string) => text };

const isPool = (client: PgPool | PgClient): client is PgPool => "totalCount" in client;

export function pgDriver(client: PgPool | PgClient, purpose: PostgresPurpose): PostgresDriver {
  if (purpose === "queries" && isPool(client)) useForQueries(client);
  ignoreErrorEvents(client);
  const hasOwnTimeout = isPool(client) && client.options.query_timeout !== undefined;
  const constant = {
    rowMode: "array",
    types: TEXT_PARSERS,
    query_timeout: hasOwnTimeout ? undefined : QUERY_TIMEOUT_MS,
  } as const;

  return {
    // pg sends a statement only after the reply to the last. So the server's error tells of a pooler that breaks prepared
    // statements before anything is done.
    canPrepare: async () => true,
    async query({ name, text }, parameters, prepare) {
      const query = { name: prepare ? name : undefined, text, values: [...parameters], ...constant };
      if (!isPool(client)) expectConnected(client);
      const { rows } = await (isPool(client) ? queryInPool(client, query) : client.query(query));
      if (!isPool(client)) refuseTransaction(client.getTransactionStatus?.());
      return rows as PostgresRow[];
    },
    async runScript(text) {
      await (isPool(client) ? queryInPool(client, text) : client.query(text));
    },
    reserveConnection: isPool(client) ? () => reserveListener(client) : () => () => {},
    listen: (channel, handler) =>
      isPool(client) ? listenInPool(client, channel, handler) : listenOnClient(client, channel, handler),
  };
}

/**
 * As `pool.query`, but outside a transaction: the server would undo with it what the store has written in it and acknowledged. The
 * pool's own method does not tell on which connection. Connections that the application takes are left alone.
 */
function queryInPool(pool: PgPool, query: PgQuery | string): Promise<PgResult> {
  if (!tellsStatus(pool)) return pool.query(query as PgQuery);
  return new Promise((resolve, reject) => {
    (pool.connect as Borrow).call(pool, (failure, client, release) => {
      if (!client || !release) return reject(failure);
      let isDone = false;
      const finish = (error: unknown, result?: PgResult): void => {
        if (isDone) return;
        isDone = true;
        client.removeListener("error", finish);
        // A connection that is released with an error is closed.
        release(error);
        if (error) reject(error);
        else resolve(result!);
      };
      const send = (): void =>
        client.query(query, (error, result) => finish(error ?? leftTransaction(client.getTransactionStatus()), result));
      client.once("error", finish);
      if ((client.getTransactionStatus() ?? "I") === "I") return send();
      warnOfLeftTransaction(pool);
      client.query({ ...ROLLBACK }, (error) => (error ? finish(error) : send()));
    });
  });
}

/** Whether its connections tell whether they are in a transaction. */
function tellsStatus(pool: PgPool): boolean {
  const { Client } = pool as { readonly Client?: { readonly prototype?: Partial<PgClient> } };
  return typeof Client?.prototype?.getTransactionStatus === "function";
}

const warned = new WeakSet<PgPool>();

function warnOfLeftTransaction(pool: PgPool): void {
  if (warned.has(pool)) return;
  warned.add(pool);
  process.emitWarning(
    "a connection of postgresStore's pool was inside a transaction, which is now rolled back: " +
      "end a transaction before you release its connection",
    { code: "SOJOURN_OPEN_TRANSACTION" },
  );
}

/** A statement outside a transaction has committed when the reply is there. */
function refuseTransaction(status: string | null | undefined): void {
  const error = leftTransaction(status);
  if (error) throw error;
}

function leftTransaction(status: string | null | undefined): Error | undefined {
  if (status !== "T") return undefined;
  return new Error(
    "the connection is in a transaction of the application's, which could undo what the session store writes: " +
      "end it before its connection is released, or give postgresStore a connection of its own",
  );
}

/** pg keeps the queries of a client that nobody connects, and never tells. */
function expectConnected(client: PgClient): void {
  const state = client as { readonly ["_connected"]?: unknown; readonly ["_connecting"]?: unknown };
  if (state["_connected"] !== false || state["_connecting"] !== false) return;
  throw new Error("the client of pg is not connected: call await client.connect() before the server listens");
}

const withIgnoredErrors = new WeakSet<object>();

// pg emits an `error` event when it loses a connection. Without a listener that event ends the process.
function ignoreErrorEvents(client: { on(event: "error", listener: () => void): unknown }): void {
  if (!withIgnoredErrors.has(client)) client.on("error", () => {});
  withIgnoredErrors.add(client);
}

async function listenInPool(
  pool: PgPool,
  channel: string,
  handler: NotificationHandler,
): Promise<PostgresListenerConnection> {
  const client = await pool.connect();
  // The pool closes the connection instead of using it again, because it still listens.
  return listenOnConnection(client, channel, handler, () => client.release(true));
}

/** For each client, the number of listeners of each channel. */
const channelCounts = new WeakMap<PgClient, Map<string, number>>();

async function listenOnClient(
  client: PgClient,
  channel: string,
  handler: NotificationHandler,
): Promise<PostgresListenerConnection> {
  const counts = channelCounts.get(client) ?? new Map<string, number>();
  channelCounts.set(client, counts);
  const changeCount = (change: number): number => {
    const count = (counts.get(channel) ?? 0) + change;
    counts.set(channel, count);
    return count;
  };
  changeCount(1);
  return listenOnConnection(client, channel, handler, () => {
    // UNLISTEN would end the notifications of other listeners, which would not notice: the connection is still there.
    if (changeCount(-1) === 0) client.query(`UNLISTEN "${channel}"`).catch(() => {});
  });
}

async function listenOnConnection(
  client: Pick<PgClient, "query" | "on" | "removeListener">,
  channel: string,
  handler: NotificationHandler,
  release: () => void,
): Promise<PostgresListenerConnection> {
  let isClosed = false;
  const reportLoss = (): void => void (isClosed || handler.onLost());
  const receive = (notification: PgNotification): void => {
    if (isClosed || notification.channel !== channel || notification.payload === undefined) return;
    handler.onNotification(notification.payload);
  };
  const close = async (): Promise<void> => {
    if (isClosed) return;
    isClosed = true;
    client.removeListener("end", reportLoss);
    client.removeListener("error", reportLoss);
    client.removeListener("notification", receive);
    release();
  };
  client.on("notification", receive);
  // A lost connection emits both events, and may emit more errors while it is being closed.
  client.on("end", reportLoss);
  client.on("error", reportLoss);
  ignoreErrorEvents(client);
  try {
    await client.query(`LISTEN "${channel}"`);
  } catch (error) {
    await close();
    throw error;
  }
  return { reconnects: false, ping: () => client.query("SELECT 1"), close };
}
