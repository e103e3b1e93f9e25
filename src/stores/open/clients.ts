import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { withTimeout } from "../../deadline.ts";
import type { SessionStore } from "../../store.ts";
import type { MysqlPool } from "../mysql/store.ts";
import { checkUrl, clusterOf, pathOf, serverOf } from "./urls.ts";
import type { PgPool, PostgresJs } from "../postgres/store.ts";
import type { IoRedisClient, IoRedisCluster, NodeRedisClient, NodeRedisCluster } from "../redis/store.ts";
import type { SqliteDatabase } from "../sqlite/store.ts";
import { checkVersion } from "../shared/oldest-clients.ts";

// A store for each scheme of openStore, with a client as the guide to the stores sets it up.

/** What a URL says, once taken apart. */
export interface Place {
  readonly scheme: string;
  /** The URL, without what is meant for the store. */
  readonly url: string;
  /** What lies between the scheme and the query. */
  readonly rest: string;
  /** What is meant for the store. */
  readonly options: Readonly<Record<string, string | boolean>>;
  /** Whether to make the table. */
  readonly migrate: boolean;
}

type Opened = SessionStore & { close(): Promise<void> };

const CONNECT_TIMEOUT_MS = 5000;
/** A client that is never told to end a wait would keep every request of an outage. */
const COMMAND_TIMEOUT_MS = 5000;
const LONGEST_PAUSE_MS = 2000;
/** Operations that wait for a connection; those of a long outage would otherwise stay in memory until its end. */
const LONGEST_QUEUE = 1000;

export async function openFile({ rest }: Place): Promise<Opened> {
  const { fileStore } = await import("../file/store.ts");
  return fileStore(rest === "" ? {} : { directory: pathOf("file", rest) });
}

export async function openSqlite({ scheme, rest, options }: Place): Promise<Opened> {
  if (rest === "") throw new TypeError("sqlite: URLs name a file, such as sqlite:/var/lib/app/sessions.db");
  const path = pathOf("sqlite", rest);
  const { sqliteStore } = await import("../sqlite/store.ts");
  const { name, module } = await installed(scheme, "better-sqlite3", "node:sqlite");
  type Database = SqliteDatabase & { close(): void };
  const db =
    name === "node:sqlite"
      ? new (module as { DatabaseSync: new (path: string) => Database }).DatabaseSync(path)
      : new (module as { default: new (path: string) => Database }).default(path);
  try {
    db.exec("PRAGMA synchronous = NORMAL");
    return withClient(sqliteStore(db, options), () => db.close());
  } catch (error) {
    db.close();
    throw error;
  }
}

export async function openRedis({ scheme, url, options }: Place): Promise<Opened> {
  const { host, port, username, password, database } = serverOf(scheme, url);
  const { redisStore } = await import("../redis/store.ts");
  const { name, module } = await installed(scheme, "redis", "ioredis", "iovalkey");
  const tls = scheme === "rediss";
  const connection = { opened: false };
  if (name === "redis") {
    const settings = nodeRedis(connection);
    const socket = { ...settings.socket, host, port, ...(tls ? { tls } : {}) };
    const client = (module as NodeRedis).createClient({ ...settings, username, password, database, socket });
    const store = withClient(redisStore(client, options), () => client.destroy());
    return connected(scheme, client, store, connection);
  }
  const settings = { ...ioRedis(connection), host, port, username, password, ...(tls ? { tls: {} } : {}) };
  const client = new (module as IoRedis).Redis({ ...settings, db: database });
  const store = withClient(redisStore(client, options), () => client.disconnect());
  return connected(scheme, client, store, connection);
}

export async function openRedisCluster({ scheme, rest, options }: Place): Promise<Opened> {
  const { username, password, nodes } = clusterOf(scheme, rest);
  const { redisStore } = await import("../redis/store.ts");
  const { name, module } = await installed(scheme, "redis", "ioredis", "iovalkey");
  const tls = scheme.startsWith("rediss");
  const connection = { opened: false };
  if (name === "redis") {
    const settings = nodeRedis(connection);
    const socket = { ...settings.socket, ...(tls ? { tls } : {}) };
    const client = (module as NodeRedis).createCluster({
      rootNodes: nodes.map((node) => ({ socket: node })),
      defaults: { username, password, ...settings, disableOfflineQueue: true, socket },
    });
    const store = withClient(redisStore(client, options), () => client.destroy());
    return connected(scheme, client, store, connection);
  }
  const client = new (module as IoRedis).Cluster(nodes, {
    lazyConnect: true,
    redisOptions: { username, password, ...ioRedis(connection), ...(tls ? { tls: {} } : {}) },
  });
  const store = withClient(redisStore(client, options), () => client.disconnect());
  return connected(scheme, client, store, connection);
}

export async function openPostgres({ scheme, url, options, migrate }: Place): Promise<Opened> {
  checkUrl(scheme, url);
  const { migratePostgres, postgresStore } = await import("../postgres/store.ts");
  const { name, module } = await installed(scheme, "pg", "postgres");
  const { table } = options as { table?: string };
  if (name === "pg") {
    const { Pool } = (module as { default: { Pool: new (options: object) => PgPool & Ends & Listens } }).default;
    const pool = new Pool({
      connectionString: url,
      connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
      query_timeout: COMMAND_TIMEOUT_MS,
      statement_timeout: COMMAND_TIMEOUT_MS,
      keepAlive: true,
    });
    pool.on("error", ignore);
    return ready(postgresStore(pool, options), () => pool.end(), migrate && (() => migratePostgres(pool, { table })));
  }
  type Connect = (url: string, options: object) => PostgresJs & { end(options: object): Promise<unknown> };
  const sql = (module as { default: Connect }).default(url, {
    connect_timeout: CONNECT_TIMEOUT_MS / 1000,
    // What it asks for by itself it does not handle the failure of; the store needs none of it.
    fetch_types: false,
    keep_alive: 10,
    backoff: (attempt: number) => pause(attempt) / 1000,
    onnotice: ignore,
  });
  // Without a limit, it waits forever for the answers that a lost connection still owes.
  const end = () => sql.end({ timeout: COMMAND_TIMEOUT_MS / 1000 });
  return ready(postgresStore(sql, options), end, migrate && (() => migratePostgres(sql, { table })));
}

export async function openMysql({ scheme, url, options, migrate }: Place): Promise<Opened> {
  checkUrl(scheme, url);
  const { migrateMysql, mysqlStore } = await import("../mysql/store.ts");
  const { module } = await installed(scheme, "mysql2/promise");
  type Create = (options: object) => MysqlPool & Ends;
  const pool = (module as { createPool: Create }).createPool({
    uri: url.replace(/^mariadb:/, "mysql:"),
    connectTimeout: CONNECT_TIMEOUT_MS,
    queueLimit: LONGEST_QUEUE,
  });
  const { table } = options as { table?: string };
  return ready(mysqlStore(pool, options), () => pool.end(), migrate && (() => migrateMysql(pool, { table })));
}

// Clients

interface Listens {
  on(event: "error", listener: (error: unknown) => void): unknown;
}
interface Ends {
  end(): Promise<unknown>;
}
interface Connects extends Listens {
  connect(): Promise<unknown>;
}
interface NodeRedis {
  createClient(options: object): NodeRedisClient & Connects & { destroy(): void };
  createCluster(options: object): NodeRedisCluster & Connects & { destroy(): void };
}
interface IoRedis {
  readonly Redis: new (options: object) => IoRedisClient & Connects & { disconnect(): void };
  readonly Cluster: new (nodes: object[], options: object) => IoRedisCluster & Connects & { disconnect(): void };
}

const pause = (attempt: number): number => Math.min(50 * 2 ** Math.min(attempt, 10), LONGEST_PAUSE_MS);

/** Whether a client has been connected: whoever opens a store wants to know at once that it can't be. */
interface Connection {
  opened: boolean;
}

const nodeRedis = (connection: Connection) => ({
  pingInterval: COMMAND_TIMEOUT_MS,
  commandOptions: { timeout: COMMAND_TIMEOUT_MS },
  socket: {
    connectTimeout: CONNECT_TIMEOUT_MS,
    socketTimeout: 2 * COMMAND_TIMEOUT_MS,
    reconnectStrategy: (attempt: number, cause: Error) => (connection.opened ? pause(attempt) : cause),
  },
});
const ioRedis = (connection: Connection) => ({
  lazyConnect: true,
  maxRetriesPerRequest: 1,
  connectTimeout: CONNECT_TIMEOUT_MS,
  socketTimeout: COMMAND_TIMEOUT_MS,
  retryStrategy: (attempt: number) => (connection.opened ? pause(attempt) : null),
});

/** Whatever fails is told to whoever asked, and what reconnects by itself need not be told of. */
const ignore = (): void => {};

async function connected(scheme: string, client: Connects, store: Opened, connection: Connection): Promise<Opened> {
  let cause: unknown;
  client.on("error", (error) => (cause = error));
  try {
    // ioredis is connected before it knows whether the server has that database: a reply comes after that answer. Of a
    // cluster some node may be away.
    await withTimeout(() => client.connect().then(() => store.read("sojourn")), CONNECT_TIMEOUT_MS);
    if (cause !== undefined && !scheme.endsWith("+cluster")) throw cause;
    connection.opened = true;
    return store;
  } catch (error) {
    await store.close();
    throw new Error(`${scheme}: can't connect: ${messageOf(cause ?? error)}`, { cause: error });
  }
}

/** ioredis says of a cluster only that no node would do; what the last of them said is more to the point. */
function messageOf(error: unknown): string {
  const { lastNodeError = error } = error as { lastNodeError?: unknown };
  return lastNodeError instanceof Error ? lastNodeError.message : String(lastNodeError);
}

/**
 * The first of these packages that is installed.
 *
 * @throws {TypeError} where that is too old for the store.
 */
async function installed<Name extends string>(
  scheme: string,
  ...names: readonly Name[]
): Promise<{ name: Name; module: unknown }> {
  for (const name of names) {
    let module: unknown;
    try {
      module = await import(name);
    } catch (error) {
      if (!isMissing(error, name)) throw error;
      continue;
    }
    const packageName = packageOf(name);
    checkVersion(`${scheme}: URLs of openStore`, packageName, installedVersion(packageName));
    return { name, module };
  }
  const packages = names.filter((name) => !name.startsWith("node:")).map(packageOf);
  const orElse = packages.length < names.length ? " (or Node 22.13 or later, which has SQLite in it)" : "";
  throw new Error(`${scheme}: URLs need the package ${packages.join(" or ")}: npm install ${packages[0]}${orElse}`);
}

/** The package that a specifier such as `mysql2/promise` belongs to. */
function packageOf(specifier: string): string {
  return specifier.split("/", 1)[0]!;
}

/** The version of a package, from the package.json nearest to its entry; `undefined` where none can be read (a bundle). */
function installedVersion(name: string): string | undefined {
  try {
    let folder = dirname(createRequire(import.meta.url).resolve(name));
    for (;;) {
      const found = manifestIn(folder);
      if (found?.name === name) return found.version;
      const parent = dirname(folder);
      if (parent === folder) return undefined;
      folder = parent;
    }
  } catch {
    return undefined;
  }
}

function manifestIn(folder: string): { name?: string; version?: string } | undefined {
  try {
    return JSON.parse(readFileSync(join(folder, "package.json"), "utf8")) as { name?: string; version?: string };
  } catch {
    return undefined;
  }
}

/** Whether it is this very package that is missing, and not one that it needs itself. */
function isMissing(error: unknown, name: string): boolean {
  if (!(error instanceof Error) || !("code" in error)) return false;
  if (error.code === "ERR_UNKNOWN_BUILTIN_MODULE") return true;
  return error.code === "ERR_MODULE_NOT_FOUND" && error.message.includes(`'${packageOf(name)}'`);
}

// Stores

/** The store, whose end is its client's too. */
function withClient(store: SessionStore, end: () => unknown): Opened {
  const close = store.close?.bind(store);
  let ending: Promise<void> | undefined;
  return Object.assign(store, {
    close: () =>
      (ending ??= (async () => {
        await close?.();
        await end();
      })()),
  });
}

async function ready(store: SessionStore, end: () => unknown, migrate: false | (() => Promise<void>)): Promise<Opened> {
  const opened = withClient(store, end);
  try {
    if (migrate) await migrate();
    // Whatever is wrong is to show now: the address, the password, the table.
    await opened.read("sojourn");
    return opened;
  } catch (error) {
    await opened.close();
    throw error;
  }
}
