/*
 * The statements, one for each operation. They run on MySQL 8 and on MariaDB 10.5.
 *
 * The number of affected rows depends on a flag of the connection: CLIENT_FOUND_ROWS counts found rows instead of changed
 * ones. If that matters, a statement reports its result with LAST_INSERT_ID(expression). The server evaluates that
 * expression for each row that is written, and returns it with the result.
 */

/** The number of ids that one statement deletes. It locks only their rows, for about a millisecond. */
export const DELETE_BATCH_SIZE = 100;
/** The number of rows in a page of all sessions, including expired ones. */
export const PAGE_SIZE = 500;

const EXPIRED_REPLACED = 1;
export const LIVE_KEPT = 2;

const WRITTEN = 1;
/** Nothing was written, because the session may have expired while the statement waited for its row. */
export const NEAR_EXPIRY = 2;

// The server notices within a second that a client has gone. The margin is twice that.
const TIMEOUT_MARGIN_MS = 2000;

// NOW() and UNIX_TIMESTAMP(NOW()) are wrong by an hour in the hour that the end of summer time repeats.
const SERVER_NOW = "(TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(3)) DIV 1000)";
const CLIENT_NOW = "CAST(? AS SIGNED)";

/** The first parameter is the new expiry. If the second is 1, a later expiry of the session is kept. */
const LATER = "GREATEST(CAST(? AS SIGNED), IF(?, expires_at, 0))";

/**
 * The first column in the last row of every result, if the connection is outside a transaction and has autocommit. Otherwise
 * a query may show old data, in which revoked sessions still exist. Only MariaDB can report an open transaction, and only
 * MariaDB runs the SQL in the `M!` comment.
 */
export const OUTSIDE_TRANSACTION = "1";
const CONNECTION_STATE = "IF(@@autocommit /*M! AND NOT @@in_transaction */, _binary'1', _binary'0')";
const withConnectionState = (rows: string, columns: number) =>
  `${rows} UNION ALL SELECT ${[CONNECTION_STATE, ...Array<string>(columns - 1).fill("NULL")].join(", ")}`;

/**
 * Creates the statements for one table.
 *
 * The server's time in a statement is the time at which the statement began. After that, the statement may wait for a lock
 * on the table until the client gives up, and for a lock on the row until the server gives up. A session that expires
 * after both waits is certainly live when it is written. A session that may expire earlier is written in a transaction
 * (`locked`), by a statement that begins when the row is locked.
 *
 * @param table - the quoted name.
 * @param hasClock - whether the time is a parameter at each place that compares with it.
 * @param timeout - the milliseconds after which the client gives up an operation.
 */
export function statementsFor(table: string, hasClock: boolean, timeout: number) {
  const now = hasClock ? CLIENT_NOW : SERVER_NOW;
  const nearExpiryCondition = `expires_at <= ${now} + CAST(@@innodb_lock_wait_timeout AS SIGNED) * 1000 + ${timeout + TIMEOUT_MARGIN_MS}`;
  const setUnlessNear = (column: string, value = "?") => `${column} = IF(${nearExpiryCondition}, ${column}, ${value})`;
  const reportNearExpiry = `LAST_INSERT_ID(IF(${nearExpiryCondition}, ${NEAR_EXPIRY}, ${WRITTEN}))`;
  const replaceExpired = (column: string) => `${column} = IF(expires_at <= ${now}, VALUES(${column}), ${column})`;

  return {
    read: withConnectionState(
      `SELECT payload, version, expires_at, user_id FROM ${table} WHERE id = ? AND expires_at > ${now}`,
      4,
    ),

    // An assignment sees the ones before it. All of them test the expiry, so it is assigned last.
    create: `INSERT INTO ${table} (id, long_id, payload, version, user_id, expires_at) VALUES (?, ?, ?, ?, ?, ?)
ON DUPLICATE KEY UPDATE
  version = IF(LAST_INSERT_ID(IF(expires_at <= ${now}, ${EXPIRED_REPLACED}, ${LIVE_KEPT})) = ${EXPIRED_REPLACED},
    VALUES(version), version),
  ${replaceExpired("payload")}, ${replaceExpired("user_id")}, ${replaceExpired("expires_at")}`,
    /** The number of comparisons with the time in `create`. */
    createTimeCount: 4,

    // All assignments test the expiry, so it is assigned last.
    update: `UPDATE ${table} SET ${setUnlessNear("payload")}, ${setUnlessNear("user_id")}, version = IF(${reportNearExpiry} = ${NEAR_EXPIRY}, version, ?),
  ${setUnlessNear("expires_at", LATER)} WHERE id = ? AND version = ? AND expires_at > ${now}`,

    touch: `UPDATE ${table} SET version = IF(${reportNearExpiry} > 0, version, version),
  ${setUnlessNear("expires_at", "GREATEST(expires_at, CAST(? AS SIGNED))")} WHERE id = ? AND expires_at > ${now}`,

    locked: {
      lock: `SELECT id FROM ${table} WHERE id = ? FOR UPDATE`,

      update: `UPDATE ${table} SET payload = ?, user_id = ?, expires_at = ${LATER}, version = IF(LAST_INSERT_ID(version) > 0, ?, version)
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

    /** Returns no rows, and fails if the table has other columns. */
    columns: withConnectionState(
      `(SELECT id, long_id, payload, version, expires_at, user_id FROM ${table} LIMIT 0)`,
      6,
    ),

    findExpired: withConnectionState(
      `(SELECT id FROM ${table} WHERE expires_at <= ${now} ORDER BY expires_at LIMIT ${DELETE_BATCH_SIZE})`,
      1,
    ),

    // The sum keeps the server from using the index on expiries, in which it would lock neighbouring rows.
    deleteExpired: `DELETE FROM ${table} WHERE id IN (${Array.from({ length: DELETE_BATCH_SIZE }, () => "?").join(", ")}) AND expires_at + 0 <= ${now}`,
  };
}
