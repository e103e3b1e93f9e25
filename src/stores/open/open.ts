import type { SessionStore } from "../../store.ts";
import { openFile, openMysql, openPostgres, openRedis, openRedisCluster, openSqlite, type Place } from "./clients.ts";
import type { MysqlStoreOptions } from "../mysql/store.ts";
import type { PostgresStoreOptions } from "../postgres/store.ts";
import type { RedisStoreOptions } from "../redis/store.ts";
import type { SqliteStoreOptions } from "../sqlite/store.ts";
import { unreadable } from "./urls.ts";
import { checkOptions, unknownOption } from "../../checks.ts";

/** How {@link openStore} opens a store. */
export interface OpenStoreOptions {
  /** Makes the table where it is missing, in PostgreSQL and MySQL. The others need no preparation. Default `false`. */
  migrate?: boolean | undefined;
}

/** A store with the client that was made for it: `close` closes both. */
export type OpenedStore = SessionStore & Required<Pick<SessionStore, "close">>;

interface Scheme {
  /** What the query may say to the store; what else it says is the client's, where `hasClientOptions`. */
  readonly options: readonly string[];
  readonly hasClientOptions: boolean;
  open(place: Place): Promise<OpenedStore>;
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
 * The store that a URL names, with a client of its own: for tools and for configuration.
 *
 * | URL | store | client, the first that is installed |
 * | --- | --- | --- |
 * | `file:`, `file:/var/lib/app/sessions` | fileStore, in the temporary directory or in that | |
 * | `sqlite:/var/lib/app/sessions.db` | sqliteStore | better-sqlite3, or what Node itself has |
 * | `redis://host:6379/0`, `rediss://…` | redisStore | redis, ioredis, iovalkey |
 * | `redis+cluster://host:7000,host:7001` | redisStore | redis, ioredis, iovalkey |
 * | `postgres://user:password@host/database` | postgresStore | pg, postgres |
 * | `mysql://user:password@host/database` | mysqlStore | mysql2 |
 *
 * The query takes `table` (SQL), `prefix` (Redis) and `announceChanges=true` (where a near cache is to stand before
 * it); what else it says goes to the clients of PostgreSQL and MySQL.
 *
 * @throws {TypeError} for a URL it can't read. Rejects where the client's package is not installed, with the command
 * that installs it.
 */
export async function openStore(url: string, options: OpenStoreOptions = {}): Promise<OpenedStore> {
  checkOptions("openStore", options, { migrate: true });
  const parts = /^([a-z][a-z+]*):([^?]*)(?:\?(.*))?$/s.exec(url);
  // By its own names only: "constructor" is one of every object.
  const scheme = parts && Object.hasOwn(SCHEMES, parts[1]!) ? SCHEMES[parts[1]!] : undefined;
  if (!parts || !scheme) {
    throw new TypeError(
      `openStore takes a URL that begins with ${Object.keys(SCHEMES).join(":, ")}:, such as redis://localhost:6379`,
    );
  }
  const [, name, rest = "", query = ""] = parts;
  // What follows a question mark in a password looks like options, and must not be shown.
  if (query.includes("@") && !(scheme.hasClientOptions && rest.includes("@"))) throw unreadable(name!);
  const [own, others] = [{} as Record<string, string | boolean>, new URLSearchParams()];
  for (const [key, value] of new URLSearchParams(query)) {
    if (scheme.options.includes(key)) own[key] = key === "announceChanges" ? isTrue(key, value) : value;
    else if (scheme.hasClientOptions) others.append(key, value);
    else throw unknownOption(`A ${name}: URL`, key, scheme.options);
  }
  return scheme.open({
    scheme: name!,
    rest,
    url: `${name}:${rest}${others.size > 0 ? `?${others.toString()}` : ""}`,
    options: own,
    migrate: options.migrate === true,
  });
}

function isTrue(key: string, value: string): boolean {
  if (value !== "true" && value !== "false") throw new TypeError(`${key} must be true or false`);
  return value === "true";
}
