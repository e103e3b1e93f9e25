import { checkOptions, checkPositiveInteger } from "../../checks.ts";
import { type Duration, milliseconds } from "../../duration.ts";
import type { NodeConnection, RedisDriver } from "./client.ts";

/** The replicas that a write waits for. */
export interface ReplicaOptions {
  /** How many replicas must have the write, from 1. */
  readonly wait: number;
  /** How long a write waits for them. A write with fewer replicas rejects. Default `"200ms"`. */
  readonly timeout?: Duration | undefined;
}

/** The commands of one connection that are under way or waiting. */
interface ConnectionState {
  /** The connection's name, while the server has not answered yet. */
  pendingName: Promise<string> | undefined;
  lastWait: Promise<unknown>;
  nextWait: Promise<WaitResult> | undefined;
}

interface WaitResult {
  readonly replicas: number;
  readonly connectionName: string;
}

/**
 * Returns a function that sends a write and waits until replicas have it.
 *
 * WAIT blocks everything else on its connection, so one is sent at a time. It covers all writes before it; the writes that
 * come meanwhile share the next one. It covers only writes of its own connection. A client may send it again over another
 * connection, after a failover to a server that lacks the write. Therefore the server is asked for the connection's name
 * before the write and after WAIT.
 */
export function replicaConfirmation(driver: Pick<RedisDriver, "connectionFor" | "send">, options: ReplicaOptions) {
  checkOptions("redisStore: replicas", options, { wait: true, timeout: true });
  checkPositiveInteger("redisStore: replicas.wait", options.wait);
  const { wait: replicaCount, timeout = "200ms" } = options;
  const timeoutMs = milliseconds(timeout, "redisStore: replicas.timeout");
  const states = new WeakMap<object, ConnectionState>();

  function stateOf({ identity }: NodeConnection): ConnectionState {
    let state = states.get(identity);
    if (!state)
      states.set(identity, (state = { pendingName: undefined, lastWait: Promise.resolve(), nextWait: undefined }));
    return state;
  }

  /** One reply serves all writes that are sent after the question. */
  function requestName(connection: NodeConnection): Promise<string> {
    const state = stateOf(connection);
    state.pendingName ??= readConnectionName(connection).finally(() => (state.pendingName = undefined));
    return state.pendingName;
  }

  async function sendWait(connection: NodeConnection): Promise<WaitResult> {
    const replicas = Number(await connection.send(["WAIT", `${replicaCount}`, `${timeoutMs}`]));
    // Asked only now: before the reply to WAIT, the answer might be about another connection.
    return { replicas, connectionName: await readConnectionName(connection) };
  }

  function waitForReplicas(connection: NodeConnection): Promise<WaitResult> {
    const state = stateOf(connection);
    state.nextWait ??= (async () => {
      await state.lastWait;
      const wait = sendWait(connection);
      state.lastWait = wait.catch(() => {});
      state.nextWait = undefined;
      return wait;
    })();
    return state.nextWait;
  }

  /** The connection for a key. A cluster's client may have closed an idle one: a command makes it connect again. */
  async function connect(key: string): Promise<NodeConnection> {
    try {
      return await driver.connectionFor(key);
    } catch {
      // The reply does not matter, nor does an error: the key may be an index, which GET refuses.
      await driver.send(key, ["GET", key]).catch(() => {});
      return driver.connectionFor(key);
    }
  }

  /**
   * @param isWrite - whether, by its reply, the command has written anything
   * @throws Error if too few replicas have the write, or if that can't be known.
   */
  return async <T>(key: string, sendWrite: () => Promise<T>, isWrite: (reply: T) => boolean): Promise<T> => {
    // Sent without a pause before the write, so that both use the same connection, or the write a later one.
    const name = requestName(await connect(key));
    name.catch(() => {});
    const reply = await sendWrite();
    if (!isWrite(reply)) return reply;
    const { replicas, connectionName } = await waitForReplicas(await driver.connectionFor(key));
    if (connectionName !== (await name)) {
      throw new Error("the connection was lost before the replicas had confirmed the write");
    }
    if (replicas >= replicaCount) return reply;
    throw new Error(
      `the write is on the primary, but only ${replicas} of ${replicaCount} replicas have confirmed it within ${timeoutMs} ms`,
    );
  };
}

/** The server's name for a connection. It includes both addresses, because another server may use the same number. */
async function readConnectionName({ send }: NodeConnection): Promise<string> {
  const name = /\bid=\d+ addr=\S+(?: laddr=\S+)?/.exec(String(await send(["CLIENT", "INFO"])));
  if (!name) throw new Error("the option replicas needs CLIENT INFO, and the server's reply names no connection");
  return name[0];
}
