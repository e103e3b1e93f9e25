import type { SessionStore } from "../../store.ts";
import {
  openFile,
  openMysql,
  openPostgres,
  openRedis,
  openRedisCluster,
  openSqlite,
  type StoreUrl,
} from "./clients.ts";
import type { MysqlStoreOptions } from "../mysql/store.ts";
import type { PostgresStoreOptions } from "../postgres/store.ts";
import type { RedisStoreOptions } from "../redis/store.ts";
import type { SqliteStoreOptions } from "../sqlite/store.ts";
import { unreadableUrlError } from "./urls.ts";
import { checkOptions, unknownOption } from "../../checks.ts";

/** Options of {@link openStore}. */
export interface OpenStoreOptions {
  /** Whether to make the table of PostgreSQL or MySQL if it is missing. Other stores need no preparation. Default `false`. */
  migrate?: boolean | undefined;
}

/** A store with its own client. `close` closes both. */
export type OpenedStore = SessionStore & Required<Pick<SessionStore, "close">>;

interface Scheme {
  /** The options of the store that the URL's query may set. */
  readonly options: readonly string[];
  /** Whether the query may also set options of the client. */
  readonly hasClientOptions: boolean;
  open(url: StoreUrl): Promise<OpenedStore>;
}

const SQLITE = ["table", "announceChanges"] as const satisfies readonly (keyof SqliteStoreOptions)[];
const REDIS = ["prefix", "announceChanges"] as const satisfies readonly (keyof RedisStoreOptions)[];
const POSTGRES = ["table", "announceChanges"] as const satisfies readonly (keyof PostgresStoreOptions)[];
const MYSQL = ["table"] as const satisfies readonly (keyof MysqlStoreOptions)[];

const SCHEMES: Readonly<Record<string, Scheme>> = {
  file: { options: [], hasClientOptions: false, open: openFile },
  sqlite: { options: SQLITE, hasClientOptions: false, open: openSqlite },
  redis: { options: REDIS, hasClientOptions: false, open: openRedis },
  rediss: { options: REDIS, hasClientOptions: false, open: openRedis },
  "redis+cluster": { options: REDIS, hasClientOptions: false, open: openRedisCluster },
  "rediss+cluster": { options: REDIS, hasClientOptions: false, open: openRedisCluster },
  postgres: { options: POSTGRES, hasClientOptions: true, open: openPostgres },
  postgresql: { options: POSTGRES, hasClientOptions: true, open: openPostgres },
  mysql: { options: MYSQL, hasClientOptions: true, open: openMysql },
  mariadb: { options: MYSQL, hasClientOptions: true, open: openMysql },
};

/**
 * Opens the store that a URL names, and makes a client for it. Use it in tools, or if the store is a matter of configuration.
 *
 * | URL | store | client: the first of these packages that is installed |
 * | --- | --- | --- |
 * | `file:`, `file:/var/lib/app/sessions` | fileStore, in the temporary directory or in this one | |
 * | `sqlite:/var/lib/app/sessions.db` | sqliteStore | better-sqlite3, or node:sqlite |
 * | `redis://host:6379/0`, `rediss://…` | redisStore | redis, ioredis, iovalkey |
 * | `redis+cluster://host:7000,host:7001` | redisStore | redis, ioredis, iovalkey |
 * | `postgres://user:password@host/database` | postgresStore | pg, postgres |
 * | `mysql://user:password@host/database` | mysqlStore | mysql2 |
 *
 * The query may set `table` (SQL), `prefix` (Redis) and `announceChanges=true` (for a near cache). For PostgreSQL and MySQL it
 * may also set options of the client.
 *
 * With a database server, the promise is fulfilled after a first read. The client has at most 5 seconds to connect.
 *
 * @throws TypeError if the URL can't be read, for an option that it does not know, and if the client's package is too old.
 * @throws Error if the server or the table can't be reached, or if no client's package is installed. The message then
 *   contains the command that installs it.
 *
 * @example
 * ```ts
 * const store = await openStore(process.env.SESSION_STORE ?? "file:");
 * const sessions = createSessions({ secretKey: process.env.SECRET_KEY, store });
 * ```
 */
export async function openStore(url: string, options: OpenStoreOptions = {}): Promise<OpenedStore> {
  checkOptions("openStore", options, { migrate: true });
  const parts = /^([a-z][a-z+]*):([^?]*)(?:\?(.*))?$/s.exec(url);
  // Checks own properties only, because every object has a "constructor".
  const scheme = parts && Object.hasOwn(SCHEMES, parts[1]!) ? SCHEMES[parts[1]!] : undefined;
  if (!parts || !scheme) {
    throw new TypeError(
      `openStore takes a URL that begins with ${Object.keys(SCHEMES).join(":, ")}:, such as redis://localhost:6379`,
    );
  }
  const [, name, rest = "", query = ""] = parts;
  // If a password contains a question mark, its rest looks like options. An error must not show it.
  if (query.includes("@") && !(scheme.hasClientOptions && rest.includes("@"))) throw unreadableUrlError(name!);
  const [storeOptions, clientOptions] = [{} as Record<string, string | boolean>, new URLSearchParams()];
  for (const [key, value] of new URLSearchParams(query)) {
    if (scheme.options.includes(key)) storeOptions[key] = key === "announceChanges" ? parseBoolean(key, value) : value;
    else if (scheme.hasClientOptions) clientOptions.append(key, value);
    else throw unknownOption(`A ${name}: URL`, key, scheme.options);
  }
  return scheme.open({
    scheme: name!,
    rest,
    url: `${name}:${rest}${clientOptions.size > 0 ? `?${clientOptions.toString()}` : ""}`,
    options: storeOptions,
    migrate: options.migrate === true,
  });
}

function parseBoolean(key: string, value: string): boolean {
  if (value !== "true" && value !== "false") throw new TypeError(`${key} must be true or false`);
  return value === "true";
}
