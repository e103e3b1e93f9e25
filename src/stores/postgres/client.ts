import type { PostgresDriver } from "./driver.ts";
import { type PgClient, pgDriver, type PgPool, type PostgresPurpose } from "./pg.ts";
import { type PGliteClient, pgliteDriver } from "./pglite.ts";
import { type PostgresJs, postgresJsDriver } from "./postgres-js.ts";
import { hasMethods } from "../../methods.ts";

/** The clients that {@link postgresStore} takes: pg's `Pool` or `Client`, the `sql` function of postgres.js, or PGlite. */
export type PostgresClient = PgPool | PgClient | PostgresJs | PGliteClient;

/**
 * Recognises a client by its methods.
 *
 * @param caller - the function or option that an error names
 * @throws TypeError for anything that is no client.
 */
export function postgresDriver(
  caller: string,
  client: PostgresClient,
  purpose: PostgresPurpose = "queries",
): PostgresDriver {
  if (hasMethods(client, "unsafe", "listen")) return postgresJsDriver(client as PostgresJs);
  if (hasMethods(client, "query", "exec", "listen")) return pgliteDriver(client as PGliteClient);
  if (hasMethods(client, "query", "connect", "on")) return pgDriver(client as PgPool | PgClient, purpose);
  throw new TypeError(
    `${caller} takes a Pool of pg, the sql function of postgres.js, or a PGlite: not a connection string or its options`,
  );
}
