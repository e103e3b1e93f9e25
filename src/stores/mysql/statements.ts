/*
 * The SQL statements of the store, for both MySQL 8 and MariaDB 10.5. Each operation is one statement.
 *
 * The number of affected rows depends on a flag of the connection (CLIENT_FOUND_ROWS): rows that were found, or rows that
 * were changed. Where the difference matters, a statement returns its outcome by LAST_INSERT_ID(expression). The server
 * evaluates that expression only for a row that it writes, and sends its value with the result.
 */

/** The number of sessions that one statement deletes. It locks only their rows, for about a millisecond. */
export const BATCH_SIZE = 100;
/** The number of rows in a page of all sessions, expired ones included. */
export const PAGE_SIZE = 500;

const EXPIRED_REPLACED = 1;
export const LIVE_KEPT = 2;

const WRITTEN = 1;
/** Nothing was written, because the session may have expired while the statement waited for its row. */
export const NEAR_EXPIRY = 2;

// The server detects within a second that a client has disconnected. This is twice as long.
const SLACK_MS = 2000;

// Not NOW() or UNIX_TIMESTAMP(NOW()): these are an hour off in the hour that a change of the time zone repeats.
const SERVER_NOW = "(TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(3)) DIV 1000)";
const CLIENT_NOW = "CAST(? AS SIGNED)";

/** The given expiry. If the second value is 1 and the session's own expiry is later, the session's own. */
const NEW_EXPIRY = "GREATEST(CAST(? AS SIGNED), IF(?, expires_at, 0))";

/**
 * The value in the last row of every SELECT if the connection sees the latest committed state. In a transaction that the
 * application has left open, or without autocommit, it sees an old state, in which a revoked session still exists. Only
 * MariaDB can say whether a transaction is open, and only MariaDB evaluates that comment.
 */
export const SEES_COMMITTED = "1";
const CONNECTION_STATE = "IF(@@autocommit /*M! AND NOT @@in_transaction */, _binary'1', _binary'0')";
const withConnectionState = (select: string, columns: number) =>
  `${select} UNION ALL SELECT ${[CONNECTION_STATE, ...Array<string>(columns - 1).fill("NULL")].join(", ")}`;

/**
 * Returns the statements for a table.
 *
 * In an expression, the servers only offer the time at which the statement began. A statement may then wait for a lock on the
 * table, until the client's timeout, and for a lock on the row, until the server's timeout. If the session's expiry is later
 * than both, it is live when it is written. Otherwise the statement writes nothing, and the session is written in a
 * transaction (`locked`) whose statement begins when the row is locked already.
 *
 * @param table - the quoted name.
 * @param usesClientClock - whether the time is passed as a value, once for each comparison with it.
 * @param timeout - the client's timeout for an operation, in milliseconds.
 */
export function statementsFor(table: string, usesClientClock: boolean, timeout: number) {
  const now = usesClientClock ? CLIENT_NOW : SERVER_NOW;
  const isNearExpiry = `expires_at <= ${now} + CAST(@@innodb_lock_wait_timeout AS SIGNED) * 1000 + ${timeout + SLACK_MS}`;
  const setUnlessNear = (column: string, value = "?") => `${column} = IF(${isNearExpiry}, ${column}, ${value})`;
  const outcome = `LAST_INSERT_ID(IF(${isNearExpiry}, ${NEAR_EXPIRY}, ${WRITTEN}))`;
  const setIfExpired = (column: string) => `${column} = IF(expires_at <= ${now}, VALUES(${column}), ${column})`;

  return {
    read: withConnectionState(
      `SELECT payload, version, expires_at, user_id FROM ${table} WHERE id = ? AND expires_at > ${now}`,
      4,
    ),

    // An assignment sees the result of those before it. All of them compare with the expiry, so that is assigned last.
    create: `INSERT INTO ${table} (id, long_id, payload, version, user_id, expires_at) VALUES (?, ?, ?, ?, ?, ?)
ON DUPLICATE KEY UPDATE
  version = IF(LAST_INSERT_ID(IF(expires_at <= ${now}, ${EXPIRED_REPLACED}, ${LIVE_KEPT})) = ${EXPIRED_REPLACED},
    VALUES(version), version),
  ${setIfExpired("payload")}, ${setIfExpired("user_id")}, ${setIfExpired("expires_at")}`,
    /** The number of comparisons with the time in `create`. */
    createComparisons: 4,

    // The other assignments compare with the expiry, so that is assigned last.
    update: `UPDATE ${table} SET ${setUnlessNear("payload")}, ${setUnlessNear("user_id")}, version = IF(${outcome} = ${NEAR_EXPIRY}, version, ?),
  ${setUnlessNear("expires_at", NEW_EXPIRY)} WHERE id = ? AND version = ? AND expires_at > ${now}`,

    touch: `UPDATE ${table} SET version = IF(${outcome} > 0, version, version),
  ${setUnlessNear("expires_at", "GREATEST(expires_at, CAST(? AS SIGNED))")} WHERE id = ? AND expires_at > ${now}`,

    locked: {
      lock: `SELECT id FROM ${table} WHERE id = ? FOR UPDATE`,

      update: `UPDATE ${table} SET payload = ?, user_id = ?, expires_at = ${NEW_EXPIRY}, version = IF(LAST_INSERT_ID(version) > 0, ?, version)
WHERE id = ? AND version = ? AND expires_at > ${now}`,

      touch: `UPDATE ${table} SET version = LAST_INSERT_ID(version), expires_at = GREATEST(expires_at, CAST(? AS SIGNED))
WHERE id = ? AND expires_at > ${now}`,
    },

    delete: `DELETE FROM ${table} WHERE id = ? AND expires_at > ${now}`,

    idsOfUser: withConnectionState(`SELECT id, long_id FROM ${table} WHERE user_id = ? AND expires_at > ${now}`, 2),

    firstPage: withConnectionState(
      `(SELECT id, long_id, expires_at > ${now} FROM ${table} ORDER BY id LIMIT ${PAGE_SIZE})`,
      3,
    ),
    nextPage: withConnectionState(
      `(SELECT id, long_id, expires_at > ${now} FROM ${table} WHERE id > ? ORDER BY id LIMIT ${PAGE_SIZE})`,
      3,
    ),

    /** Selects no row, and fails if the table has other columns. */
    checkColumns: withConnectionState(
      `(SELECT id, long_id, payload, version, expires_at, user_id FROM ${table} LIMIT 0)`,
      6,
    ),

    findExpired: withConnectionState(
      `(SELECT id FROM ${table} WHERE expires_at <= ${now} ORDER BY expires_at LIMIT ${BATCH_SIZE})`,
      1,
    ),

    // The sum prevents the server from using the index of expiries, in which it would also lock the neighbouring rows.
    deleteExpired: `DELETE FROM ${table} WHERE id IN (${Array.from({ length: BATCH_SIZE }, () => "?").join(", ")}) AND expires_at + 0 <= ${now}`,
  };
}
