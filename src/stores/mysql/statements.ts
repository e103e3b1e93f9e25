/*
 * What runs on MySQL 8 and MariaDB 10.5 alike, one statement for each operation.
 *
 * How many rows a statement has affected depends on a flag of the connection (CLIENT_FOUND_ROWS: found, or changed).
 * Where that would matter a statement says more by LAST_INSERT_ID(expression), which is worked out for each row that is
 * written and nowhere else, and comes back with the result.
 */

/** How many ids one statement deletes: it locks their rows, and no others, for about a millisecond. */
export const BATCH = 100;
/** How many rows a page of all sessions has, expired ones included. */
export const PAGE = 500;

const EXPIRED_REPLACED = 1;
export const LIVE_KEPT = 2;

const WRITTEN = 1;
/** Nothing was written: the session may have expired while the statement waited for its row. */
export const NEAR_END = 2;

// The server notices within a second that a client has gone. In milliseconds, and as long again.
const SLACK = 2000;

// Neither NOW() nor UNIX_TIMESTAMP() of it: in the hour that a change of time zone repeats, they are an hour off.
const SERVER_NOW = "(TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(3)) DIV 1000)";
const CLIENT_NOW = "CAST(? AS SIGNED)";

/** The given expiry; with a 1 behind it the one that the session has, where that is later. */
const LATER = "GREATEST(CAST(? AS SIGNED), IF(?, expires_at, 0))";

/**
 * The last row of whatever is asked for, in its first column: whether the connection shows what is committed by now. In a
 * transaction that somebody has left open, or without autocommit, it shows an old state, where what has been revoked
 * lives on. Only MariaDB can tell of a transaction, and only it reads that comment.
 */
export const SETTLED = "1";
const CONNECTION = "IF(@@autocommit /*M! AND NOT @@in_transaction */, _binary'1', _binary'0')";
const told = (rows: string, columns: number) =>
  `${rows} UNION ALL SELECT ${[CONNECTION, ...Array<string>(columns - 1).fill("NULL")].join(", ")}`;

/**
 * The servers have no time for an expression but the one at which its statement began. A statement may wait for a lock
 * on the table, until the client gives up, and then for one on the row, until the server gives up. A session that
 * outlives both waits is live when it is written. Any other is written in a transaction (`held`), by a statement that
 * begins once the row is locked.
 *
 * @param table - quoted
 * @param hasClock - whether the time comes as a value, at each place where it is compared with
 * @param timeout - in milliseconds, after which the client gives an operation up
 */
export function statementsFor(table: string, hasClock: boolean, timeout: number) {
  const now = hasClock ? CLIENT_NOW : SERVER_NOW;
  const isNear = `expires_at <= ${now} + CAST(@@innodb_lock_wait_timeout AS SIGNED) * 1000 + ${timeout + SLACK}`;
  const unlessNear = (column: string, value = "?") => `${column} = IF(${isNear}, ${column}, ${value})`;
  const said = `LAST_INSERT_ID(IF(${isNear}, ${NEAR_END}, ${WRITTEN}))`;
  const replaced = (column: string) => `${column} = IF(expires_at <= ${now}, VALUES(${column}), ${column})`;

  return {
    read: told(`SELECT payload, version, expires_at, user_id FROM ${table} WHERE id = ? AND expires_at > ${now}`, 4),

    // Assignments see those before them: the expiry, by which they decide, comes last.
    create: `INSERT INTO ${table} (id, long_id, payload, version, user_id, expires_at) VALUES (?, ?, ?, ?, ?, ?)
ON DUPLICATE KEY UPDATE
  version = IF(LAST_INSERT_ID(IF(expires_at <= ${now}, ${EXPIRED_REPLACED}, ${LIVE_KEPT})) = ${EXPIRED_REPLACED},
    VALUES(version), version),
  ${replaced("payload")}, ${replaced("user_id")}, ${replaced("expires_at")}`,
    /** How often the time is compared with when creating. */
    createTimes: 4,

    // The expiry, by which the others decide, comes last.
    update: `UPDATE ${table} SET ${unlessNear("payload")}, ${unlessNear("user_id")}, version = IF(${said} = ${NEAR_END}, version, ?),
  ${unlessNear("expires_at", LATER)} WHERE id = ? AND version = ? AND expires_at > ${now}`,

    touch: `UPDATE ${table} SET version = IF(${said} > 0, version, version),
  ${unlessNear("expires_at", "GREATEST(expires_at, CAST(? AS SIGNED))")} WHERE id = ? AND expires_at > ${now}`,

    held: {
      lock: `SELECT id FROM ${table} WHERE id = ? FOR UPDATE`,

      update: `UPDATE ${table} SET payload = ?, user_id = ?, expires_at = ${LATER}, version = IF(LAST_INSERT_ID(version) > 0, ?, version)
WHERE id = ? AND version = ? AND expires_at > ${now}`,

      touch: `UPDATE ${table} SET version = LAST_INSERT_ID(version), expires_at = GREATEST(expires_at, CAST(? AS SIGNED))
WHERE id = ? AND expires_at > ${now}`,
    },

    delete: `DELETE FROM ${table} WHERE id = ? AND expires_at > ${now}`,

    idsOfUser: told(`SELECT id, long_id FROM ${table} WHERE user_id = ? AND expires_at > ${now}`, 2),

    firstPage: told(`(SELECT id, long_id, expires_at > ${now} FROM ${table} ORDER BY id LIMIT ${PAGE})`, 3),
    nextPage: told(`(SELECT id, long_id, expires_at > ${now} FROM ${table} WHERE id > ? ORDER BY id LIMIT ${PAGE})`, 3),

    /** Nothing but an error, if the table is another's. */
    columns: told(`(SELECT id, long_id, payload, version, expires_at, user_id FROM ${table} LIMIT 0)`, 6),

    expired: told(`(SELECT id FROM ${table} WHERE expires_at <= ${now} ORDER BY expires_at LIMIT ${BATCH})`, 1),

    // The sum keeps the server from looking along the index of expiries, where it would lock what lies beside.
    forget: `DELETE FROM ${table} WHERE id IN (${Array.from({ length: BATCH }, () => "?").join(", ")}) AND expires_at + 0 <= ${now}`,
  };
}
