import { Buffer } from "node:buffer";
import type { NotificationHandler, PostgresDriver } from "./driver.ts";

interface PostgresJsRows extends ReadonlyArray<(Uint8Array | null)[]> {
  /** The process id that the server sent when the connection was opened. */
  readonly state?: { readonly pid: number } | undefined;
}

/** The `sql` function of postgres.js. */
export interface PostgresJs {
  unsafe(
    text: string,
    parameters?: (string | null)[],
    options?: { prepare?: boolean | undefined },
  ): PromiseLike<unknown> & { raw(): PromiseLike<PostgresJsRows> };
  listen(
    channel: string,
    onnotify: (payload: string) => void,
    onlisten?: () => void,
  ): PromiseLike<{ unlisten(): Promise<void> }>;
}

export function postgresJsDriver(sql: PostgresJs): PostgresDriver {
  return {
    // postgres.js sends prepared statements before the replies to earlier ones. Behind pgbouncer 1.18, sessions were then
    // read as missing. A pooler is in between if the process that answers is not the one that opened the connection.
    async canPrepare() {
      const result = await sql.unsafe("SELECT pg_backend_pid()::text WHERE $1::text IS NULL", [null]).raw();
      const [pid] = withoutHoles(result)[0] ?? [];
      return pid instanceof Uint8Array && decodeAscii(pid) === String(result.state?.pid);
    },
    async query({ text }, parameters, prepare) {
      const rows = withoutHoles(await sql.unsafe(text, [...parameters], { prepare }).raw());
      return rows.map((row) => row.map((column) => (column === null ? null : decodeAscii(column))));
    },
    async runScript(text) {
      await sql.unsafe(text);
    },
    // postgres.js listens on a connection outside its pool.
    reserveConnection: () => () => {},
    async listen(channel, handler) {
      const shared = sharedSubscription(sql, channel);
      await shared.started;
      shared.handlers.add(handler);
      return {
        reconnects: true,
        async close() {
          if (shared.handlers.delete(handler)) await shared.untilConnected();
        },
      };
    },
  };
}

/**
 * The rows of a result. After a connection was lost in the middle of a reply, postgres.js 3.4 leaves holes before the rows
 * of the first reply on the next one.
 */
function withoutHoles(result: PostgresJsRows): (Uint8Array | null)[][] {
  return result.filter(() => true);
}

/** The subscription of one client to one channel. It lasts as long as the client. */
interface SharedSubscription {
  readonly handlers: Set<NotificationHandler>;
  /** Fulfilled after the first attempt to listen, whether it succeeded or not. */
  readonly started: Promise<void>;
  /** Fulfilled when no connection is being opened, as far as that can be known. */
  untilConnected(): Promise<void>;
}

const sharedSubscriptions = new WeakMap<PostgresJs, Map<string, SharedSubscription>>();

/**
 * postgres.js listens on a connection of its own, and reconnects when that is lost, without reporting the loss. Its
 * `unlisten` does nothing for connections opened later. Therefore a client subscribes to a channel only once.
 */
function sharedSubscription(sql: PostgresJs, channel: string): SharedSubscription {
  const subscriptions = sharedSubscriptions.get(sql) ?? new Map<string, SharedSubscription>();
  sharedSubscriptions.set(sql, subscriptions);
  const existing = subscriptions.get(channel);
  if (existing !== undefined) return existing;

  const handlers = new Set<NotificationHandler>();
  let probing: Promise<void> | undefined;
  let reconnected: Promise<void> | undefined;
  let onReconnected = ignore;
  const onNotify = (payload: string): void => {
    for (const handler of handlers) handler.onNotification(payload);
  };
  const onListen = (): void => {
    onReconnected();
    reconnected = undefined;
    for (const handler of handlers) handler.onLost();
  };
  const shared: SharedSubscription = {
    handlers,
    started: Promise.resolve(sql.listen(channel, onNotify, onListen)).then(ignore, ignore),
    // An application that ends the client while it opens a connection leaves that connection behind. A second `listen`
    // succeeds when the connection is open. One that fails cannot be undone, so there is one at a time, and none until the
    // client has reconnected.
    untilConnected() {
      if (reconnected !== undefined) return reconnected;
      return (probing ??= Promise.resolve(sql.listen(channel, ignore))
        .then(
          ({ unlisten }) => unlisten(),
          () => void (reconnected = new Promise((resolve) => (onReconnected = resolve))),
        )
        .finally(() => (probing = undefined)));
    },
  };
  subscriptions.set(channel, shared);
  return shared;
}

const ignore = (): void => {};

// Every column is ASCII.
function decodeAscii(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("latin1");
}
