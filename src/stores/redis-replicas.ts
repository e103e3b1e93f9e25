import type { Connection, RedisClient } from "./redis-client.ts";

/**
 * Waits until replicas have what was written. WAIT holds up everything else on its connection, so there is one at a
 * time: it speaks for all writes before it, and those that come meanwhile share the next.
 */
export function replicaWait(client: Pick<RedisClient, "connectionOf">, wait: number, milliseconds: number) {
  const queues = new WeakMap<object, { last: Promise<unknown>; next: Promise<number> | undefined }>();

  function reached({ identity, send }: Connection): Promise<number> {
    let queue = queues.get(identity);
    if (!queue) queues.set(identity, (queue = { last: Promise.resolve(), next: undefined }));
    const held = queue;
    held.next ??= (async () => {
      await held.last;
      const asked = send(["WAIT", `${wait}`, `${milliseconds}`]);
      held.last = asked.catch(() => {});
      held.next = undefined;
      return Number(await asked);
    })();
    return held.next;
  }

  /** @throws {Error} where too few have it. */
  return async (key: string): Promise<void> => {
    const count = await reached(await client.connectionOf(key));
    if (count >= wait) return;
    throw new Error(
      `the write is on the primary, but only ${count} of ${wait} replicas have confirmed it within ${milliseconds} ms`,
    );
  };
}
