import { once } from "node:events";
import { chmodSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { createClient } from "redis";
import { freePort, HUNG_MS, type Program, removeFolder, startProgram, throwawayFolder, until } from "./throwaway.ts";

/** Where redis-server is; tests that need it skip without. */
export const REDIS_SERVER = process.env["REDIS_SERVER_PATH"] ?? "";

/** A real Redis of a test's own. */
export interface RedisServer extends Program {
  readonly port: number;
  readonly folder: string;
  /** Asks as nobody else does: over a connection of its own, which is gone afterwards. */
  ask(...words: string[]): Promise<string>;
  end(): Promise<void>;
}

/**
 * Starts a server that keeps what it acknowledges when it is killed: an append-only file, as the documentation tells.
 * `appendfsync no`, because under the default a busy disk may put off writing for two seconds, and replies do not wait.
 */
export async function startRedis(settings: readonly string[] = []): Promise<RedisServer> {
  const port = await freePort();
  const folder = throwawayFolder("sojourn-redis-");
  const program = await startProgram({
    name: `redis on ${port}`,
    command: REDIS_SERVER,
    args: `--port ${port} --bind 127.0.0.1 --dir ${folder} --appendonly yes --appendfsync no --repl-diskless-sync-delay 0`
      .split(" ")
      .concat(["--save", ""], settings),
    ready: async () => /PONG|NOAUTH/.test(await ask(port, "PING")),
  });
  return extended(program, port, folder);
}

/** A Sentinel that watches the primary under the name `main`. */
export async function startSentinel(primary: RedisServer): Promise<RedisServer> {
  const port = await freePort();
  const folder = throwawayFolder("sojourn-sentinel-");
  const path = join(folder, "sentinel.conf");
  writeFileSync(
    path,
    [
      `port ${port}`,
      "bind 127.0.0.1",
      `dir ${folder}`,
      `sentinel monitor main 127.0.0.1 ${primary.port} 1`,
      // Longer than a busy machine keeps a server from the processor: nobody is to fail over before its time.
      "sentinel down-after-milliseconds main 3000",
      "sentinel failover-timeout main 5000",
    ].join("\n"),
  );
  chmodSync(path, 0o666);
  const program = await startProgram({
    name: `sentinel on ${port}`,
    command: REDIS_SERVER,
    args: [path, "--sentinel"],
    ready: async () => (await ask(port, "PING")).includes("PONG"),
  });
  return extended(program, port, folder);
}

/** Six nodes: three primaries, and behind them a replica for each. `extra` has settings for the node of an index. */
export async function startCluster(
  extra: (index: number) => readonly string[] = () => [],
): Promise<{ readonly nodes: readonly RedisServer[]; end(): Promise<void> }> {
  // The timeout is longer than a busy machine keeps a node from the processor.
  const settings =
    "--cluster-enabled yes --cluster-node-timeout 3000 --cluster-replica-validity-factor 0 --cluster-config-file nodes.conf";
  const nodes = await Promise.all(
    Array.from({ length: 6 }, async (_, index) => startRedis([...settings.split(" "), ...extra(index)])),
  );
  // As redis-cli does: nodes that begin with the same epoch settle by their ids' order who is right about a slot.
  for (const [index, node] of nodes.entries()) await node.ask("CLUSTER", "SET-CONFIG-EPOCH", `${index + 1}`);
  const [first, ...others] = nodes as [RedisServer, ...RedisServer[]];
  for (const { port } of others) await first.ask("CLUSTER", "MEET", "127.0.0.1", `${port}`);
  const bounds = [0, 5461, 10_923, 16_384];
  for (let index = 0; index < 3; index += 1) {
    await nodes[index]!.ask("CLUSTER", "ADDSLOTSRANGE", `${bounds[index]}`, `${bounds[index + 1]! - 1}`);
  }
  await until("every node knows every other", async () => {
    const known = await Promise.all(nodes.map((node) => node.ask("CLUSTER", "INFO")));
    return known.every((info) => info.includes("cluster_known_nodes:6"));
  });
  for (let index = 0; index < 3; index += 1) {
    const id = await nodes[index]!.ask("CLUSTER", "MYID");
    await until("the replica follows", async () =>
      (await nodes[index + 3]!.ask("CLUSTER", "REPLICATE", id)).includes("OK"),
    );
  }
  await serving(nodes);
  await until("the replicas follow, as every node knows", async () => {
    const links = await Promise.all(nodes.slice(3).map((node) => node.ask("INFO", "replication")));
    const maps = await Promise.all(nodes.map((node) => node.ask("CLUSTER", "NODES")));
    return (
      links.every((info) => info.includes("master_link_status:up")) &&
      maps.every((map) => map.split("\n").filter((line) => / slave /.test(line.replace("myself,", ""))).length === 3)
    );
  });
  return { nodes, end: async () => void (await Promise.all(nodes.map((node) => node.end()))) };
}

/** Waits until each of these nodes serves: for a while after a failover one still may say that the cluster is down. */
export async function serving(nodes: readonly RedisServer[]): Promise<void> {
  await until("every node says that the cluster works", async () => {
    const states = await Promise.all(nodes.map((node) => node.ask("CLUSTER", "INFO")));
    return states.every((info) => info.includes("cluster_state:ok"));
  });
}

/** Gives the slots, none of which has a key, to another primary, and waits until every node knows. */
export async function moveSlots(
  nodes: readonly RedisServer[],
  slots: readonly number[],
  source: RedisServer,
  target: RedisServer,
): Promise<void> {
  const id = await target.ask("CLUSTER", "MYID");
  // The others believe whom they have heard the greatest epoch from.
  await target.ask("CLUSTER", "BUMPEPOCH");
  const epoch = Number(/cluster_my_epoch:(\d+)/.exec(await target.ask("CLUSTER", "INFO"))?.[1]);
  for (const slot of slots) {
    for (const node of [target, source]) {
      const reply = await node.ask("CLUSTER", "SETSLOT", `${slot}`, "NODE", id);
      if (!reply.includes("OK")) throw new Error(reply);
    }
  }
  await until("every node knows whose the slots are", async () => {
    const maps = await Promise.all(nodes.map((node) => node.ask("CLUSTER", "NODES")));
    return maps.every((map) => {
      const line = map.split("\n").find((one) => one.startsWith(id)) ?? "";
      const ranges = line
        .split(" ")
        .slice(8)
        .filter((word) => !word.startsWith("["));
      const bounds = ranges.map((range) => range.split("-").map(Number));
      // Who has been told of the slots alone could take as great an epoch for the next move, and nobody would believe it.
      if (Number(line.split(" ")[6]) < epoch) return false;
      return slots.every((slot) => bounds.some(([low, high = low]) => slot >= low! && slot <= high!));
    });
  });
}

/** Moves a slot with the keys that are in it, as redis-cli does. */
export async function migrateSlot(
  nodes: readonly RedisServer[],
  slot: number,
  source: RedisServer,
  target: RedisServer,
): Promise<void> {
  await beginMigration(slot, source, target);
  for (let keys = await keysIn(source, slot); keys.length > 0; keys = await keysIn(source, slot)) {
    await source.ask("MIGRATE", "127.0.0.1", `${target.port}`, "", "0", "5000", "KEYS", ...keys);
  }
  await moveSlots(nodes, [slot], source, target);
}

/** Opens a slot, so that its keys may go from one node to the other. */
export async function beginMigration(slot: number, source: RedisServer, target: RedisServer): Promise<void> {
  const [from, to] = await Promise.all([source, target].map((node) => node.ask("CLUSTER", "MYID")));
  await target.ask("CLUSTER", "SETSLOT", `${slot}`, "IMPORTING", from!);
  await source.ask("CLUSTER", "SETSLOT", `${slot}`, "MIGRATING", to!);
}

async function keysIn(node: RedisServer, slot: number): Promise<string[]> {
  const reply = await node.ask("CLUSTER", "GETKEYSINSLOT", `${slot}`, "100");
  return reply.split("\r\n").filter((line) => !/^[*$]/.test(line));
}

function extended(program: Program, port: number, folder: string): RedisServer {
  return Object.assign(Object.create(program) as Program, {
    port,
    folder,
    ask: (...words: string[]) => ask(port, ...words),
    async end() {
      await program.kill();
      removeFolder(folder);
    },
  });
}

/**
 * One command over one connection; the reply as RESP2 has it, a text without its length. A server that becomes a primary
 * or a replica may cut whoever asks meanwhile (a Sentinel has it do so): it is asked once more.
 */
async function ask(port: number, ...words: string[]): Promise<string> {
  return askOnce(port, words).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== "ECONNRESET") throw error;
    return askOnce(port, words);
  });
}

async function askOnce(port: number, words: readonly string[]): Promise<string> {
  const socket = connect(port, "127.0.0.1");
  socket.setTimeout(HUNG_MS, () => socket.destroy(new Error("no answer")));
  const chunks: Buffer[] = [];
  socket.on("data", (chunk) => chunks.push(chunk));
  const command = `*${words.length}\r\n${words.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`).join("")}`;
  // Not QUIT, which a Sentinel does not know: a server answers what came before the end.
  socket.end(command);
  await once(socket, "close");
  const reply = Buffer.concat(chunks).toString();
  return reply.replace(/^\$\d+\r\n/, "").replace(/\r\n$/, "");
}

/** A client of the package redis for a server, whose errors nobody needs to hear. */
export async function nodeRedis(port: number) {
  const client = createClient({ url: `redis://127.0.0.1:${port}` });
  client.on("error", () => {});
  await client.connect();
  return client;
}

/**
 * Waits until so many replicas confirm what the primary writes. One whose link is up may say nothing for another second,
 * and the primary sends it nothing until then.
 */
export async function confirming(primary: RedisServer, replicas = 1): Promise<void> {
  const client = await nodeRedis(primary.port);
  try {
    await until(`${replicas} replicas confirm`, async () => {
      await client.set("confirming", "");
      return Number(await client.sendCommand(["WAIT", `${replicas}`, "100"])) >= replicas;
    });
    await client.del("confirming");
  } finally {
    client.destroy();
  }
}
