import { createHash } from "node:crypto";
import type { TableNames } from "./schema.ts";

/** A statement, and the name under which a connection may keep it prepared. */
export interface PostgresStatement {
  readonly name: string;
  readonly text: string;
}

/** The first character of a notification, before the escaped id. */
export const ENDED = "-";
export const CHANGED = "*";
/** A probe has a random text instead of an id: it shows that notifications arrive. */
export const PROBE = "?";

/** The longest escaped id that fits into a notification, which has less than 8000 bytes. */
export const MAX_NOTIFIED_ID_LENGTH = 7900;

/*
 * All parameters and columns are text. So the application's type parsers and serializers do not change them; only a
 * serializer of postgres.js for text would. Parameter $1 is the time of the option `clock`, or NULL for the server's time.
 *
 * All columns of a result have the same type and collation, because the server refuses a prepared statement if the type of
 * a column changes. The last column is the session or user that the row belongs to: a client that gave a reply to the
 * wrong statement is noticed by it.
 *
 * The server's time is clock_timestamp(), which goes on while the statement waits for a lock. Only `deleteExpired` uses
 * the time at which the statement started, because an index can be searched for that alone.
 */
export function postgresStatements({ quoted, channel }: TableNames, announceChanges: boolean) {
  const now = `coalesce($1::text::bigint, floor(date_part('epoch', clock_timestamp()) * 1000)::bigint)`;
  const startedAt = `coalesce($1::text::bigint, floor(date_part('epoch', statement_timestamp()) * 1000)::bigint)`;
  const textColumn = (column: string) => `${column}::text COLLATE "C"`;
  const notify = `pg_notify('${channel}', `;
  /*
   * The row is locked before its expiry is checked. PostgreSQL checks the condition of an UPDATE before it waits for the
   * lock, and again only if the row has changed. After a rollback, a session that expired during the wait would still count
   * as live.
   */
  const sameVersion = " AND version = $7::text::bigint";
  const lock = (condition = "") => `WITH locked AS (
SELECT id, expires_at FROM ${quoted} WHERE id = $2::text${condition} AND expires_at > ${now} FOR NO KEY UPDATE
)`;
  const ifLive = `FROM locked WHERE stored.id = locked.id AND locked.expires_at > ${now}`;
  // With a + before it, an expiry may only extend.
  const update = `UPDATE ${quoted} AS stored
SET version = $3::text::bigint, user_id = $5::text, payload = decode($6::text, 'base64'),
expires_at = greatest($4::text::bigint, CASE WHEN left($4::text, 1) = '+' THEN locked.expires_at END)
${ifLive} RETURNING ${textColumn("stored.id")} AS id`;

  return {
    read: defineStatement(`SELECT version::text, expires_at::text, ${textColumn("user_id")}, encode(payload, 'base64'), ${textColumn("id")}
FROM ${quoted} WHERE id = $2::text AND expires_at > ${now}`),

    // $2: the keys. The subquery is planned for one row, whatever the planner believes of the table's size.
    readGroup: defineStatement(`SELECT stored.* FROM unnest($2::text::text[]) AS wanted (id) CROSS JOIN LATERAL (
SELECT version::text, expires_at::text, ${textColumn("user_id")}, encode(payload, 'base64'), ${textColumn("id")}
FROM ${quoted} WHERE id = wanted.id AND expires_at > ${now} OFFSET 0) AS stored`),

    create: defineStatement(`INSERT INTO ${quoted} AS stored (id, version, expires_at, user_id, payload, long_id)
VALUES ($2::text, $3::text::bigint, $4::text::bigint, $5::text, decode($6::text, 'base64'), $7::text)
ON CONFLICT (id) DO UPDATE SET version = excluded.version, expires_at = excluded.expires_at, user_id = excluded.user_id,
payload = excluded.payload WHERE stored.expires_at <= ${now} RETURNING ${textColumn("stored.id")}`),

    // $8: the notification, or NULL.
    update: announceChanges
      ? defineStatement(`${lock(sameVersion)}, changed AS (${update})
SELECT CASE WHEN $8::text IS NOT NULL THEN ${notify}$8::text) END::text, id FROM changed`)
      : defineStatement(`${lock(sameVersion)} ${update}`),

    /*
     * Each parameter is an array. A row that another transaction has locked is left out instead of waited for, so that
     * groups never lock each other out. ON CONFLICT finds a row by the primary key, where the planner might choose to join
     * with the whole table. It never inserts: its rows are locked, so they exist.
     */
    updateGroup: defineStatement(`WITH locked AS (
SELECT wanted.*, stored.expires_at FROM unnest($2::text::text[], $3::text::bigint[], $4::text::text[], $5::text::text[],
$6::text::text[], $7::text::bigint[]) AS wanted (id, version, expiry, user_id, payload, expected) CROSS JOIN LATERAL (
SELECT expires_at FROM ${quoted} WHERE id = wanted.id AND version = wanted.expected AND expires_at > ${now}
FOR NO KEY UPDATE SKIP LOCKED) AS stored
) INSERT INTO ${quoted} AS stored (id, version, expires_at, user_id, payload)
SELECT id, version, greatest(expiry::bigint, CASE WHEN left(expiry, 1) = '+' THEN expires_at END), user_id, decode(payload, 'base64')
FROM locked WHERE expires_at > ${now}
ON CONFLICT (id) DO UPDATE SET version = excluded.version, expires_at = excluded.expires_at, user_id = excluded.user_id,
payload = excluded.payload RETURNING ${textColumn("stored.id")}`),

    touch:
      defineStatement(`${lock()} UPDATE ${quoted} AS stored SET expires_at = greatest(stored.expires_at, $3::text::bigint)
${ifLive} RETURNING ${textColumn("stored.id")}`),

    // $3: the notification, or NULL.
    delete: defineStatement(`WITH ended AS (
DELETE FROM ${quoted} WHERE id = $2::text
RETURNING CASE WHEN expires_at > ${now} THEN 'live' ELSE 'expired' END AS state, ${textColumn("id")} AS id
) SELECT state, CASE WHEN state = 'live' AND $3::text IS NOT NULL THEN ${notify}$3::text) END::text, id FROM ended`),

    idsOfUser: defineStatement(`SELECT ${textColumn("coalesce(long_id, id)")}, ${textColumn("user_id")} FROM ${quoted}
WHERE left(user_id, 255) = left($2::text, 255) AND user_id = $2::text AND expires_at > ${now}`),

    // $2: the first key of the batch. The order is by the table's column, which has the index, not by the result's.
    all: defineStatement(`SELECT ${textColumn("id")}, ${textColumn("coalesce(long_id, id)")} FROM ${quoted} AS stored
WHERE id >= $2::text AND expires_at > ${now} ORDER BY stored.id LIMIT $3::text::bigint`),

    // Rows that another transaction has locked are skipped until the next round, so that neither waits for the other.
    deleteExpired: defineStatement(`WITH expired AS (
DELETE FROM ${quoted} WHERE expires_at <= ${startedAt} AND ctid = ANY (ARRAY (
SELECT ctid FROM ${quoted} WHERE expires_at <= ${startedAt} ORDER BY expires_at LIMIT $2::text::bigint FOR UPDATE SKIP LOCKED
)) RETURNING 1) SELECT count(*)::text FROM expired`),

    notify: defineStatement(`SELECT ${notify}$1::text)`),
  } as const;
}

// The name is a hash of the text: if a connection that a pooler shares has a statement of that name, it is the same one.
function defineStatement(text: string): PostgresStatement {
  return { name: `sojourn_${createHash("md5").update(text).digest("hex").slice(0, 20)}`, text };
}
