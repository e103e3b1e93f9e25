import type { IoRedisClient, IoRedisCluster, RedisArguments, RedisDriver, SendCommand } from "./client.ts";
import { clusterListenerOpener, ioRedisListenerOpener } from "./listener-connections.ts";
import { packetHolder } from "./packets.ts";
import { findClusterPrimaries, singlePrimary } from "./primaries.ts";
import { slotOf } from "./slot.ts";

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
