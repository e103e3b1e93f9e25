import type { Connection, RedisClient } from "./client.ts";

interface Queue {
  /** Asked, and not answered yet: which connection it is. */
  asked: Promise<string> | undefined;
  last: Promise<unknown>;
  next: Promise<Reached> | undefined;
}

interface Reached {
  readonly replicas: number;
  readonly connection: string;
}

/**
 * Waits until replicas have what was written. WAIT holds up everything else on its connection, so there is one at a
 * time: it speaks for all writes before it, and those that come meanwhile share the next.
 *
 * It speaks for those on its own connection only. Clients send it again over another one, after a failover to a server
 * that may not have the write: so the server is asked which connection it is, before the write and after WAIT.
 */
export function replicaWait(client: Pick<RedisClient, "connectionOf" | "send">, wait: number, milliseconds: number) {
  const queues = new WeakMap<object, Queue>();

  function queueOf({ identity }: Connection): Queue {
    let queue = queues.get(identity);
    if (!queue) queues.set(identity, (queue = { asked: undefined, last: Promise.resolve(), next: undefined }));
    return queue;
  }

  /** One answer serves all whose writes come after it. */
  function before(connection: Connection): Promise<string> {
    const queue = queueOf(connection);
    queue.asked ??= nameOf(connection).finally(() => (queue.asked = undefined));
    return queue.asked;
  }

  async function waited(connection: Connection): Promise<Reached> {
    const replicas = Number(await connection.send(["WAIT", `${wait}`, `${milliseconds}`]));
    // Not before the reply: it would not be sure to speak for that.
    return { replicas, connection: await nameOf(connection) };
  }

  function reached(connection: Connection): Promise<Reached> {
    const queue = queueOf(connection);
    queue.next ??= (async () => {
      await queue.last;
      const replied = waited(connection);
      queue.last = replied.catch(() => {});
      queue.next = undefined;
      return replied;
    })();
    return queue.next;
  }

  /** A cluster's client may have let go of a connection, until there is something to ask. */
  async function connected(key: string): Promise<Connection> {
    try {
      return await client.connectionOf(key);
    } catch {
      // Whatever the answer: the key may be an index.
      await client.send(key, ["GET", key]).catch(() => {});
      return client.connectionOf(key);
    }
  }

  /** @throws {Error} where too few have what `write` has written, or that can't be known. */
  return async <T>(key: string, write: () => Promise<T>, counts: (reply: T) => boolean): Promise<T> => {
    // Sent one after the other, without a pause: it is the connection that the write goes over, or an earlier one.
    const name = before(await connected(key));
    name.catch(() => {});
    const reply = await write();
    if (!counts(reply)) return reply;
    const { replicas, connection } = await reached(await client.connectionOf(key));
    if (connection !== (await name))
      throw new Error("the connection was lost before the replicas had confirmed the write");
    if (replicas >= wait) return reply;
    throw new Error(
      `the write is on the primary, but only ${replicas} of ${wait} replicas have confirmed it within ${milliseconds} ms`,
    );
  };
}

/** What the server calls this connection. With both addresses, for another server may have the same number for one. */
async function nameOf({ send }: Connection): Promise<string> {
  const name = /\bid=\d+ addr=\S+(?: laddr=\S+)?/.exec(String(await send(["CLIENT", "INFO"])));
  if (!name) throw new Error("the server does not tell which connection this is, as replicas need it");
  return name[0];
}
