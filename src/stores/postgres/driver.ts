import type { PostgresStatement } from "./statements.ts";

/** The columns of a row, as text. */
export type PostgresRow = readonly (string | null)[];

/** The calls that the store makes, the same for every client. */
export interface PostgresDriver {
  /** Whether connections can keep statements prepared, as far as the client can tell. */
  canPrepare(): Promise<boolean>;
  /** Runs one statement in a transaction of its own. Parameters and columns are text. */
  query(
    statement: PostgresStatement,
    parameters: readonly (string | null)[],
    prepare: boolean,
  ): Promise<readonly PostgresRow[]>;
  /** Runs statements without parameters, in one transaction. */
  runScript(text: string): Promise<void>;
  /**
   * Reserves a connection for a listener, until the returned function is called.
   *
   * @throws TypeError if no connection would be left for queries.
   */
  reserveConnection(): () => void;
  listen(channel: string, handler: NotificationHandler): Promise<PostgresListenerConnection>;
}

/** The callbacks of a listener connection. */
export interface NotificationHandler {
  onNotification(payload: string): void;
  /** The connection is lost, or was lost for a while: notifications may be missing. */
  onLost(): void;
}

/** A connection that LISTENs to a channel. */
export interface PostgresListenerConnection {
  /**
   * Rejects, or never settles, if the connection is lost. Missing where the client cannot be asked: then only a probe
   * notification can tell.
   */
  ping?(): Promise<unknown>;
  /** Whether the client itself reconnects and listens again. */
  readonly reconnects: boolean;
  /** Calls no handler any more from now on. Fulfilled when the application may end the client. */
  close(): Promise<void>;
}
