import { createHash } from "node:crypto";
import type { TableNames } from "./schema.ts";

/** A statement, and the name under which a connection may keep it prepared. */
export interface Statement {
  readonly name: string;
  readonly text: string;
}

/** What a notification says: its first character, before the id. */
export const ENDED = "-";
export const CHANGED = "*";
export const ECHO = "?";

/** The longest id that fits into a notification, which has 8000 bytes. */
export const LONGEST_ANNOUNCED = 7900;

/*
 * All values go in and come out as text, so that no type parser that the application has given its client can bend them,
 * nor a serializer, unless it is one of postgres.js for text. In each, $1 is the clock's time, or NULL for the engine's.
 *
 * All columns of a result are text, in one collation: a prepared statement of which a column changes its type is refused.
 * The last says whose row it is: a client that mixes up replies must not be believed.
 *
 * The engine's is clock_timestamp(): now() is the time at which the statement began, and it may have waited for
 * somebody else's lock since. Only where an index is to be searched is it the latter.
 */
export function statementsFor({ quoted, channel }: TableNames, announceChanges: boolean) {
  const now = `coalesce($1::text::bigint, floor(date_part('epoch', clock_timestamp()) * 1000)::bigint)`;
  const began = `coalesce($1::text::bigint, floor(date_part('epoch', statement_timestamp()) * 1000)::bigint)`;
  const text = (column: string) => `${column}::text COLLATE "C"`;
  const announce = `pg_notify('${channel}', `;
  /*
   * A session is judged once its row is locked. PostgreSQL evaluates an UPDATE's condition before it waits for the lock,
   * and again only if the row was changed meanwhile: after a rollback, a session that has expired during the wait would
   * still count as live.
   */
  const sameVersion = " AND version = $7::text::bigint";
  const held = (more = "") => `WITH held AS (
SELECT id, expires_at FROM ${quoted} WHERE id = $2::text${more} AND expires_at > ${now} FOR NO KEY UPDATE
)`;
  const isHeld = `FROM held WHERE kept.id = held.id AND held.expires_at > ${now}`;
  // An expiry with a + may only extend.
  const update = `UPDATE ${quoted} AS kept
SET version = $3::text::bigint, user_id = $5::text, payload = decode($6::text, 'base64'),
expires_at = greatest($4::text::bigint, CASE WHEN left($4::text, 1) = '+' THEN held.expires_at END)
${isHeld} RETURNING ${text("kept.id")} AS id`;

  return {
    read: statement(`SELECT version::text, expires_at::text, ${text("user_id")}, encode(payload, 'base64'), ${text("id")}
FROM ${quoted} WHERE id = $2::text AND expires_at > ${now}`),

    create: statement(`INSERT INTO ${quoted} AS kept (id, version, expires_at, user_id, payload, long_id)
VALUES ($2::text, $3::text::bigint, $4::text::bigint, $5::text, decode($6::text, 'base64'), $7::text)
ON CONFLICT (id) DO UPDATE SET version = excluded.version, expires_at = excluded.expires_at, user_id = excluded.user_id,
payload = excluded.payload WHERE kept.expires_at <= ${now} RETURNING ${text("kept.id")}`),

    // $8: what to announce, or NULL.
    update: announceChanges
      ? statement(`${held(sameVersion)}, changed AS (${update})
SELECT CASE WHEN $8::text IS NOT NULL THEN ${announce}$8::text) END::text, id FROM changed`)
      : statement(`${held(sameVersion)} ${update}`),

    touch: statement(`${held()} UPDATE ${quoted} AS kept SET expires_at = greatest(kept.expires_at, $3::text::bigint)
${isHeld} RETURNING ${text("kept.id")}`),

    // $3: what to announce, or NULL.
    delete: statement(`WITH ended AS (
DELETE FROM ${quoted} WHERE id = $2::text
RETURNING CASE WHEN expires_at > ${now} THEN 'live' ELSE 'expired' END AS state, ${text("id")} AS id
) SELECT state, CASE WHEN state = 'live' AND $3::text IS NOT NULL THEN ${announce}$3::text) END::text, id FROM ended`),

    idsOfUser: statement(`SELECT ${text("coalesce(long_id, id)")}, ${text("user_id")} FROM ${quoted}
WHERE left(user_id, 255) = left($2::text, 255) AND user_id = $2::text AND expires_at > ${now}`),

    // $2: where the batch begins. Ordered by the column that the index is on, and not by what the result calls so.
    all: statement(`SELECT ${text("id")}, ${text("coalesce(long_id, id)")} FROM ${quoted} AS kept
WHERE id >= $2::text AND expires_at > ${now} ORDER BY kept.id LIMIT $3::text::bigint`),

    // Rows that somebody is writing to are left for the next round: nobody waits for the collector, nor it for them.
    deleteExpired: statement(`WITH gone AS (
DELETE FROM ${quoted} WHERE expires_at <= ${began} AND ctid = ANY (ARRAY (
SELECT ctid FROM ${quoted} WHERE expires_at <= ${began} ORDER BY expires_at LIMIT $2::text::bigint FOR UPDATE SKIP LOCKED
)) RETURNING 1) SELECT count(*)::text FROM gone`),

    echo: statement(`SELECT ${announce}$1::text)`),
  } as const;
}

// Named after its text: who finds the name on a connection that a pooler shares finds the same statement.
function statement(text: string): Statement {
  return { name: `sojourn_${createHash("md5").update(text).digest("hex").slice(0, 20)}`, text };
}
