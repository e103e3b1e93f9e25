import { setImmediate } from "node:timers";
import type {
  IoRedisClient,
  IoRedisCluster,
  PacketStream,
  RedisArguments,
  RedisDriver,
  SendCommand,
} from "./client.ts";
import { clusterListenerOpener, ioRedisListenerOpener } from "./listener-connections.ts";
import { findClusterPrimaries, singlePrimary } from "./primaries.ts";
import { slotOf } from "./slots.ts";

// The drivers for clients of ioredis and iovalkey.

export function ioRedisDriver(client: IoRedisClient): RedisDriver {
  const send = sendToIoRedis(client);
  return {
    send: (_key, command) => send(command),
    connectionFor: async () => ({ identity: client, send }),
    findPrimaries: () => singlePrimary(send),
    openListener: ioRedisListenerOpener(() => client),
    isCluster: false,
  };
}

export function ioRedisClusterDriver(cluster: IoRedisCluster): RedisDriver {
  const send = sendToIoRedis(cluster);
  // The client lists only the nodes that it has a connection to.
  function nodeAt(slot: number): IoRedisClient | undefined {
    const [address] = cluster.slots[slot] ?? [];
    return cluster.nodes("master").find(({ options }) => {
      const { host, port } = options as { host?: string; port?: number };
      return `${host}:${port}` === address;
    });
  }
  async function nodeOf(key: string): Promise<IoRedisClient> {
    const node = nodeAt(slotOf(key));
    if (!node) throw new Error("the node that has the key is not known at the moment");
    return node;
  }
  return {
    send: (_key, command) => send(command),
    async connectionFor(key) {
      const node = await nodeOf(key);
      return { identity: node, send: sendToIoRedis(node) };
    },
    findPrimaries: (keyPrefix) =>
      findClusterPrimaries(
        {
          primaryOf: (slot) => cluster.slots[slot]?.[0],
          async sendTo(slot) {
            const node = nodeAt(slot);
            return node && sendToIoRedis(node);
          },
          refreshSlotOf: (key) => send(["GET", key]),
        },
        keyPrefix,
      ),
    openListener: clusterListenerOpener<IoRedisClient>({
      nodeOf,
      openerFor: (node) => ioRedisListenerOpener(() => node),
      sendTo: sendToIoRedis,
      refreshSlotOf: (channel) => send(["GET", channel]),
    }),
    isCluster: true,
  };
}

function sendToIoRedis(client: IoRedisClient | IoRedisCluster): SendCommand {
  const holdPackets = packetHolder(() =>
    "nodes" in client ? client.nodes("master").map(({ stream }) => stream) : [client.stream],
  );
  const methods = client as unknown as Record<string, (...args: RedisArguments) => Promise<unknown>>;
  return ([name, ...args]) => {
    holdPackets();
    return methods[`${String(name).toLowerCase()}Buffer`]!(...args);
  };
}

/**
 * Returns a function that holds back what is written to sockets until the end of this turn of the event loop. ioredis and
 * iovalkey write each command by itself; the system calls for that take longer than the commands, at both ends. Held back,
 * the commands of a turn are one packet. Each is a command of its own still: it fails, is redirected and is sent again
 * alone, which the commands of a pipeline are not.
 */
function packetHolder(sockets: () => readonly (PacketStream | undefined)[]): () => void {
  let held: readonly (PacketStream | undefined)[] | undefined;
  function release(): void {
    for (const socket of held!) socket?.uncork();
    held = undefined;
  }
  return () => {
    if (held) return;
    held = sockets();
    for (const socket of held) socket?.cork();
    setImmediate(release);
  };
}
