import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { withTimeout } from "../../deadline.ts";
import type { SessionStore } from "../../store.ts";
import type { MysqlPool } from "../mysql/store.ts";
import { parseClusterUrl, parsePath, parseServerUrl, parseUrl } from "./urls.ts";
import type { PgPool, PostgresJs } from "../postgres/store.ts";
import type { IoRedisClient, IoRedisCluster, NodeRedisClient, NodeRedisCluster } from "../redis/store.ts";
import type { SqliteDatabase } from "../sqlite/store.ts";
import { checkVersion } from "../shared/oldest-clients.ts";

// Opens the store of each URL scheme of openStore. The clients have the options that docs/stores/ recommends.

/** The parts of a URL of openStore. */
export interface StoreUrl {
  readonly scheme: string;
  /** The URL without the options of the store. */
  readonly url: string;
  /** The part between the scheme and the query. */
  readonly rest: string;
  /** The options of the store. */
  readonly options: Readonly<Record<string, string | boolean>>;
  /** Whether to make the table if it is missing. */
  readonly migrate: boolean;
}

type ClosableStore = SessionStore & { close(): Promise<void> };

const CONNECT_TIMEOUT_MS = 5000;
/** Without this limit, commands of an outage would wait until its end. */
const COMMAND_TIMEOUT_MS = 5000;
const MAX_RECONNECT_PAUSE_MS = 2000;
/** The maximum number of operations that wait for a connection. Without it, those of a long outage would fill the memory. */
const MAX_QUEUE_LENGTH = 1000;

export async function openFile({ rest }: StoreUrl): Promise<ClosableStore> {
  const { fileStore } = await import("../file/store.ts");
  return fileStore(rest === "" ? {} : { directory: parsePath("file", rest) });
}

export async function openSqlite({ scheme, rest, options }: StoreUrl): Promise<ClosableStore> {
  if (rest === "") throw new TypeError("sqlite: URLs name a file, such as sqlite:/var/lib/app/sessions.db");
  const path = parsePath("sqlite", rest);
  const { sqliteStore } = await import("../sqlite/store.ts");
  const { name, module } = await importFirst(scheme, "better-sqlite3", "node:sqlite");
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

export async function openRedis({ scheme, url, options }: StoreUrl): Promise<ClosableStore> {
  const { host, port, username, password, database } = parseServerUrl(scheme, url);
  const { redisStore } = await import("../redis/store.ts");
  const { name, module } = await importFirst(scheme, "redis", "ioredis", "iovalkey");
  const tls = scheme === "rediss";
  const connection = { hasConnected: false };
  if (name === "redis") {
    const settings = nodeRedisOptions(connection);
    const socket = { ...settings.socket, host, port, ...(tls ? { tls } : {}) };
    const client = (module as NodeRedis).createClient({ ...settings, username, password, database, socket });
    const store = withClient(redisStore(client, options), () => client.destroy());
    return connect(scheme, client, store, connection);
  }
  const settings = { ...ioRedisOptions(connection), host, port, username, password, ...(tls ? { tls: {} } : {}) };
  const client = new (module as IoRedis).Redis({ ...settings, db: database });
  const store = withClient(redisStore(client, options), () => client.disconnect());
  return connect(scheme, client, store, connection);
}

export async function openRedisCluster({ scheme, rest, options }: StoreUrl): Promise<ClosableStore> {
  const { username, password, nodes } = parseClusterUrl(scheme, rest);
  const { redisStore } = await import("../redis/store.ts");
  const { name, module } = await importFirst(scheme, "redis", "ioredis", "iovalkey");
  const tls = scheme.startsWith("rediss");
  const connection = { hasConnected: false };
  if (name === "redis") {
    const settings = nodeRedisOptions(connection);
    const socket = { ...settings.socket, ...(tls ? { tls } : {}) };
    const client = (module as NodeRedis).createCluster({
      rootNodes: nodes.map((node) => ({ socket: node })),
      defaults: { username, password, ...settings, disableOfflineQueue: true, socket },
    });
    const store = withClient(redisStore(client, options), () => client.destroy());
    return connect(scheme, client, store, connection);
  }
  const client = new (module as IoRedis).Cluster(nodes, {
    lazyConnect: true,
    redisOptions: { username, password, ...ioRedisOptions(connection), ...(tls ? { tls: {} } : {}) },
  });
  const store = withClient(redisStore(client, options), () => client.disconnect());
  return connect(scheme, client, store, connection);
}

export async function openPostgres({ scheme, url, options, migrate }: StoreUrl): Promise<ClosableStore> {
  parseUrl(scheme, url);
  const { migratePostgres, postgresStore } = await import("../postgres/store.ts");
  const { name, module } = await importFirst(scheme, "pg", "postgres");
  const { table } = options as { table?: string };
  if (name === "pg") {
    const { Pool } = (module as { default: { Pool: new (options: object) => PgPool & HasEnd & EmitsErrors } }).default;
    const pool = new Pool({
      connectionString: url,
      connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
      query_timeout: COMMAND_TIMEOUT_MS,
      statement_timeout: COMMAND_TIMEOUT_MS,
      keepAlive: true,
    });
    pool.on("error", ignoreError);
    return checkReady(
      postgresStore(pool, options),
      () => pool.end(),
      migrate && (() => migratePostgres(pool, { table })),
    );
  }
  type Connect = (url: string, options: object) => PostgresJs & { end(options: object): Promise<unknown> };
  const sql = (module as { default: Connect }).default(url, {
    connect_timeout: CONNECT_TIMEOUT_MS / 1000,
    // The client queries the types by itself and does not handle the error if that fails. The store does not need them.
    fetch_types: false,
    keep_alive: 10,
    backoff: (attempt: number) => reconnectPause(attempt) / 1000,
    onnotice: ignoreError,
  });
  // Without a limit, the client waits forever for the answers of a lost connection.
  const end = () => sql.end({ timeout: COMMAND_TIMEOUT_MS / 1000 });
  return checkReady(postgresStore(sql, options), end, migrate && (() => migratePostgres(sql, { table })));
}

export async function openMysql({ scheme, url, options, migrate }: StoreUrl): Promise<ClosableStore> {
  parseUrl(scheme, url);
  const { migrateMysql, mysqlStore } = await import("../mysql/store.ts");
  const { module } = await importFirst(scheme, "mysql2/promise");
  type Create = (options: object) => MysqlPool & HasEnd;
  const pool = (module as { createPool: Create }).createPool({
    uri: url.replace(/^mariadb:/, "mysql:"),
    connectTimeout: CONNECT_TIMEOUT_MS,
    queueLimit: MAX_QUEUE_LENGTH,
  });
  const { table } = options as { table?: string };
  return checkReady(mysqlStore(pool, options), () => pool.end(), migrate && (() => migrateMysql(pool, { table })));
}

// Clients

interface EmitsErrors {
  on(event: "error" | "node error", listener: (error: unknown) => void): unknown;
}
interface HasEnd {
  end(): Promise<unknown>;
}
interface HasConnect extends EmitsErrors {
  connect(): Promise<unknown>;
}
interface NodeRedis {
  createClient(options: object): NodeRedisClient & HasConnect & { destroy(): void };
  createCluster(options: object): NodeRedisCluster & HasConnect & { destroy(): void };
}
interface IoRedis {
  readonly Redis: new (options: object) => IoRedisClient & HasConnect & { disconnect(): void };
  readonly Cluster: new (nodes: object[], options: object) => IoRedisCluster & HasConnect & { disconnect(): void };
}

const reconnectPause = (attempt: number): number => Math.min(50 * 2 ** Math.min(attempt, 10), MAX_RECONNECT_PAUSE_MS);

/** Until it has connected once, a client does not reconnect. So openStore rejects at once if the server can't be reached. */
interface ConnectionState {
  hasConnected: boolean;
}

const nodeRedisOptions = (connection: ConnectionState) => ({
  pingInterval: COMMAND_TIMEOUT_MS,
  commandOptions: { timeout: COMMAND_TIMEOUT_MS },
  socket: {
    connectTimeout: CONNECT_TIMEOUT_MS,
    socketTimeout: 2 * COMMAND_TIMEOUT_MS,
    reconnectStrategy: (attempt: number, cause: Error) => (connection.hasConnected ? reconnectPause(attempt) : cause),
  },
});
const ioRedisOptions = (connection: ConnectionState) => ({
  lazyConnect: true,
  maxRetriesPerRequest: 1,
  connectTimeout: CONNECT_TIMEOUT_MS,
  socketTimeout: COMMAND_TIMEOUT_MS,
  retryStrategy: (attempt: number) => (connection.hasConnected ? reconnectPause(attempt) : null),
});

/** The operation that fails rejects with the error, and the client reconnects by itself. */
const ignoreError = (): void => {};

async function connect(
  scheme: string,
  client: HasConnect,
  store: ClosableStore,
  connection: ConnectionState,
): Promise<ClosableStore> {
  let cause: unknown;
  client.on("error", (error) => (cause = error));
  // iovalkey may try the nodes of a cluster again for ever, and report nothing else.
  client.on("node error", (error) => (cause ??= error));
  try {
    // ioredis is connected before the server has confirmed the database. The reply to a read comes after that. In a cluster, one
    // of the nodes may be down.
    await withTimeout(() => client.connect().then(() => store.read("sojourn")), CONNECT_TIMEOUT_MS);
    if (cause !== undefined && !scheme.endsWith("+cluster")) throw cause;
    connection.hasConnected = true;
    return store;
  } catch (error) {
    await store.close();
    throw new Error(`${scheme}: can't connect: ${connectionErrorMessage(cause ?? error)}`, { cause: error });
  }
}

/** Returns the error of the last node if there is one. The message of ioredis itself only says that no node was usable. */
function connectionErrorMessage(error: unknown): string {
  const { lastNodeError = error } = error as { lastNodeError?: unknown };
  return lastNodeError instanceof Error ? lastNodeError.message : String(lastNodeError);
}

/**
 * Imports the first of these packages that is installed.
 *
 * @throws TypeError if it is too old for the store.
 */
async function importFirst<Name extends string>(
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
    checkVersion(`${scheme}: URLs of openStore`, packageName, readInstalledVersion(packageName));
    return { name, module };
  }
  const packages = names.filter((name) => !name.startsWith("node:")).map(packageOf);
  const orElse = packages.length < names.length ? " (or Node 22.13 or later, which has SQLite in it)" : "";
  throw new Error(`${scheme}: URLs need the package ${packages.join(" or ")}: npm install ${packages[0]}${orElse}`);
}

/** Returns the name of the package of a specifier such as `mysql2/promise`. */
function packageOf(specifier: string): string {
  return specifier.split("/", 1)[0]!;
}

/**
 * Returns the version of a package, from the package.json nearest to its entry. Returns `undefined` if there is none, as in a
 * bundle.
 */
function readInstalledVersion(name: string): string | undefined {
  try {
    let folder = dirname(createRequire(import.meta.url).resolve(name));
    for (;;) {
      const manifest = readManifest(folder);
      if (manifest?.name === name) return manifest.version;
      const parent = dirname(folder);
      if (parent === folder) return undefined;
      folder = parent;
    }
  } catch {
    return undefined;
  }
}

function readManifest(folder: string): { name?: string; version?: string } | undefined {
  try {
    return JSON.parse(readFileSync(join(folder, "package.json"), "utf8")) as { name?: string; version?: string };
  } catch {
    return undefined;
  }
}

/** Returns whether this package is missing, and not a package that it imports. */
function isMissing(error: unknown, name: string): boolean {
  if (!(error instanceof Error) || !("code" in error)) return false;
  if (error.code === "ERR_UNKNOWN_BUILTIN_MODULE") return true;
  return error.code === "ERR_MODULE_NOT_FOUND" && error.message.includes(`'${packageOf(name)}'`);
}

// Stores

/** Makes the store's `close` close its client too. */
function withClient(store: SessionStore, end: () => unknown): ClosableStore {
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

async function checkReady(
  store: SessionStore,
  end: () => unknown,
  migrate: false | (() => Promise<void>),
): Promise<ClosableStore> {
  const opened = withClient(store, end);
  try {
    if (migrate) await migrate();
    // Rejects now if the address, the password or the table is wrong.
    await opened.read("sojourn");
    return opened;
  } catch (error) {
    await opened.close();
    throw error;
  }
}
