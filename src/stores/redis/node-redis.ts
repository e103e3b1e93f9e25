import { Buffer } from "node:buffer";
import { setMaxListeners } from "node:events";
import type { NodeRedisClient, NodeRedisCluster, NodeRedisSentinel, RedisDriver, SendCommand } from "./client.ts";
import { clusterListenerOpener, type NodeRedisDuplicate, nodeRedisListenerOpener } from "./listener-connections.ts";
import { findClusterPrimaries, singlePrimary } from "./primaries.ts";
import { slotOf } from "./slots.ts";

// The drivers for clients of the package redis.

const BLOB_STRING = 36;
const BUFFERS = { typeMapping: { [BLOB_STRING]: Buffer } };
/** A signal serves the commands of this part of their timeout: they wait for 0.9 to 1 of it. */
const SIGNAL_LIFETIME = 0.1;

/**
 * Returns a function that returns the options of the next command. A client gives each command that has a timeout a signal
 * and a timer of its own, which takes longer than the command. Here all commands of a short time share a signal with the
 * same timeout: it removes commands that still wait for the connection.
 *
 * Clients of a cluster and of Sentinels keep their own signals: they send a command again after a failover, and its timeout
 * then begins anew.
 */
function commandOptions(client: NodeRedisClient): () => typeof BUFFERS {
  let current = BUFFERS;
  let renewAt = 0;
  return () => {
    // Not by a timer: it would be late after the event loop was blocked, and commands would get a signal that is over.
    const now = performance.now();
    if (now < renewAt) return current;
    const timeout = timeoutOf(client);
    if (!timeout) return BUFFERS;
    const abortSignal = AbortSignal.timeout(timeout);
    setMaxListeners(0, abortSignal);
    // With one listener that stays, Node keeps the list of listeners, and does not make another for each lone command.
    abortSignal.addEventListener("abort", ignore);
    renewAt = now + timeout * SIGNAL_LIFETIME;
    return (current = { ...BUFFERS, timeout: undefined, abortSignal } as typeof BUFFERS);
  };
}

function ignore(): void {}

/** The client's timeout of commands: its default, or a setting. */
function timeoutOf(client: object): number | undefined {
  return (client as { readonly ["_commandOptions"]?: { timeout?: number } })["_commandOptions"]?.timeout;
}

export function nodeRedisDriver(client: NodeRedisClient): RedisDriver {
  const options = commandOptions(client);
  const send: SendCommand = (command) => client.sendCommand(command, options());
  return {
    send: (_key, command) => send(command),
    connectionFor: async () => ({ identity: client, send }),
    findPrimaries: () => singlePrimary(send),
    openListener: nodeRedisListenerOpener(async () => duplicateWithoutReconnect(client)),
    // `close()` waits for replies, and leaves a client ready that the application has closed.
    isConnected: () => client.isOpen === true && client.isReady === true,
    reconnect: () => reconnect(client),
    isCluster: false,
  };
}

/**
 * The client takes what it sends for a sign of life. So `socketTimeout` does not end a connection that gives no replies while
 * requests come.
 */
function reconnect(client: NodeRedisClient): void {
  client.destroy?.();
  client.connect?.().catch(ignore);
}

export function nodeRedisSentinelDriver(client: NodeRedisSentinel): RedisDriver {
  const send: SendCommand = (command) => client.sendCommand(false, [...command], BUFFERS);
  return {
    send: (_key, command) => send(command),
    connectionFor: async () => ({ identity: client, send }),
    findPrimaries: () => singlePrimary(send),
    openListener: nodeRedisListenerOpener(async () => client.duplicate()),
    isCluster: false,
  };
}

export function nodeRedisClusterDriver(cluster: NodeRedisCluster): RedisDriver {
  const sendTo =
    (node: NodeRedisClient): SendCommand =>
    (command) =>
      node.sendCommand(command, BUFFERS);
  const nodeOf = (key: string) => cluster.nodeClient(cluster.slots[slotOf(key)]!.master as never);
  // Reads go to primaries too, so they are not marked as read-only: replicas may be behind.
  const send: RedisDriver["send"] = (key, command) => cluster.sendCommand(key, false, [...command], BUFFERS);
  return {
    send,
    async connectionFor(key) {
      const node = await nodeOf(key);
      return { identity: node, send: sendTo(node) };
    },
    findPrimaries: (keyPrefix) =>
      findClusterPrimaries(
        {
          primaryOf: (slot) => cluster.slots[slot]?.master,
          sendTo: async (slot) => sendTo(await cluster.nodeClient(cluster.slots[slot]!.master as never)),
          refreshSlotOf: (key) => send(key, ["GET", key]),
        },
        keyPrefix,
      ),
    openListener: clusterListenerOpener({
      nodeOf: async (channel) => nodeOf(channel),
      openerFor: (node) => nodeRedisListenerOpener(async () => duplicateWithoutReconnect(node)),
      sendTo,
      refreshSlotOf: (channel) => send(channel, ["GET", channel]),
    }),
    isCluster: true,
  };
}

function duplicateWithoutReconnect(client: NodeRedisClient): NodeRedisDuplicate {
  const { socket } = (client.options ?? {}) as { socket?: object };
  return client.duplicate({ socket: { ...socket, reconnectStrategy: false } });
}
