import type { PostgresDriver, PostgresRow } from "./driver.ts";

/** A database of PGlite. */
export interface PGliteClient {
  query(text: string, parameters?: (string | null)[], options?: { rowMode?: "array" }): Promise<{ rows: unknown[] }>;
  exec(script: string): Promise<unknown>;
  listen(channel: string, callback: (payload: string) => void): Promise<() => Promise<void>>;
}

export function pgliteDriver(database: PGliteClient): PostgresDriver {
  return {
    canPrepare: async () => false,
    async query({ text }, parameters) {
      const { rows } = await database.query(text, [...parameters], { rowMode: "array" });
      return rows as PostgresRow[];
    },
    async runScript(text) {
      await database.exec(text);
    },
    reserveConnection: () => () => {},
    async listen(channel, handler) {
      let isClosed = false;
      // PGlite does not quote the name, and PostgreSQL turns an unquoted one into lower case.
      const unlisten = await database.listen(
        `"${channel}"`,
        (payload) => void (isClosed || handler.onNotification(payload)),
      );
      return {
        ping: async () => {},
        reconnects: false,
        async close() {
          if (isClosed) return;
          isClosed = true;
          await unlisten();
        },
      };
    },
  };
}
