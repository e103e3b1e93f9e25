import { OPERATIONS } from "./capabilities.ts";
import { hasMethods, isRedisClient } from "./methods.ts";

/** Refuses what is no store of Sojourn. @throws TypeError naming what it is instead, where that can be told. */
export function checkStore(store: unknown): void {
  if (typeof store === "function") throw new TypeError("store must be called: fileStore(), not fileStore");
  if (typeof store === "string")
    throw new TypeError('store is a text: for an address, give await openStore(address) of "sojourn/open"');
  if (typeof store !== "object" || store === null) {
    throw new TypeError(
      'store is missing; give one, such as fileStore() of "sojourn/file" or memoryStore() of "sojourn/memory"',
    );
  }
  const missing = OPERATIONS.filter((method) => !hasMethods(store, method));
  if (missing.length > 0) throw new TypeError(otherThing(store) ?? lacks(missing));
}

function otherThing(store: object): string | undefined {
  if (hasMethods(store, "then")) return "store is a promise: await it, as in store: await openStore(address)";
  if (isRedisClient(store)) return 'store is a client of Redis: give redisStore(client) of "sojourn/redis"';
  // Bun's database has `query` too, and a connection of mysql2 has `prepare`.
  if (hasMethods(store, "prepare", "exec"))
    return 'store is a database: give sqliteStore(database) of "sojourn/sqlite"';
  if (hasMethods(store, "query"))
    return "store is a connection to a database: give postgresStore(pool) or mysqlStore(pool)";
  if (hasMethods(store, "get") && "destroy" in store)
    return 'store is one of express-session: wrap it by expressStore(store) of "sojourn/express-session"';
  return undefined;
}

const lacks = (missing: readonly string[]) => `store lacks ${missing.join(", ")}; see SessionStore for the contract`;
