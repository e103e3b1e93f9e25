import { once } from "node:events";
import { chmodSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { createClient } from "redis";
import { freePort, HUNG_MS, type Program, removeFolder, startProgram, throwawayFolder, until } from "./throwaway.ts";

/** The path of redis-server; tests that need it are skipped if it is empty. */
export const REDIS_SERVER = process.env["REDIS_SERVER_PATH"] ?? "";

/** A real Redis server of one test. */
export interface RedisServer extends Program {
  readonly port: number;
  readonly folder: string;
  /** Sends one command over a connection of its own, and returns the reply. */
  command(...args: string[]): Promise<string>;
  end(): Promise<void>;
}

/**
 * Starts a server that keeps acknowledged writes when it is killed: it has an append-only file, as the documentation
 * recommends. `appendfsync no`: with the default, writes may come two seconds after replies while the disk is busy.
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
    ready: async () => /PONG|NOAUTH/.test(await sendCommand(port, "PING")),
  });
  return redisServer(program, port, folder);
}

/** Starts a Sentinel that watches the primary under the name `main`. */
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
      // Long enough that a busy machine causes no failover by itself.
      "sentinel down-after-milliseconds main 3000",
      "sentinel failover-timeout main 5000",
    ].join("\n"),
  );
  chmodSync(path, 0o666);
  const program = await startProgram({
    name: `sentinel on ${port}`,
    command: REDIS_SERVER,
    args: [path, "--sentinel"],
    ready: async () => (await sendCommand(port, "PING")).includes("PONG"),
  });
  return redisServer(program, port, folder);
}

/** Starts six nodes: three primaries, then a replica of each. `extra` gives more settings for the node of an index. */
export async function startCluster(
  extra: (index: number) => readonly string[] = () => [],
): Promise<{ readonly nodes: readonly RedisServer[]; end(): Promise<void> }> {
  // The timeout is long enough that a busy machine causes no failover by itself.
  const settings =
    "--cluster-enabled yes --cluster-node-timeout 3000 --cluster-replica-validity-factor 0 --cluster-config-file nodes.conf";
  const nodes = await Promise.all(
    Array.from({ length: 6 }, async (_, index) => startRedis([...settings.split(" "), ...extra(index)])),
  );
  // As redis-cli does. Nodes with the same epoch would resolve conflicts about slots by the order of their ids.
  for (const [index, node] of nodes.entries()) await node.command("CLUSTER", "SET-CONFIG-EPOCH", `${index + 1}`);
  const [first, ...others] = nodes as [RedisServer, ...RedisServer[]];
  for (const { port } of others) await first.command("CLUSTER", "MEET", "127.0.0.1", `${port}`);
  const bounds = [0, 5461, 10_923, 16_384];
  for (let index = 0; index < 3; index += 1) {
    await nodes[index]!.command("CLUSTER", "ADDSLOTSRANGE", `${bounds[index]}`, `${bounds[index + 1]! - 1}`);
  }
  await until("every node knows every other", async () => {
    const known = await Promise.all(nodes.map((node) => node.command("CLUSTER", "INFO")));
    return known.every((info) => info.includes("cluster_known_nodes:6"));
  });
  for (let index = 0; index < 3; index += 1) {
    const id = await nodes[index]!.command("CLUSTER", "MYID");
    await until("the replica follows", async () =>
      (await nodes[index + 3]!.command("CLUSTER", "REPLICATE", id)).includes("OK"),
    );
  }
  await waitUntilServing(nodes);
  await until("the replicas follow, as every node knows", async () => {
    const links = await Promise.all(nodes.slice(3).map((node) => node.command("INFO", "replication")));
    const maps = await Promise.all(nodes.map((node) => node.command("CLUSTER", "NODES")));
    return (
      links.every((info) => info.includes("master_link_status:up")) &&
      maps.every((map) => map.split("\n").filter((line) => / slave /.test(line.replace("myself,", ""))).length === 3)
    );
  });
  return { nodes, end: async () => void (await Promise.all(nodes.map((node) => node.end()))) };
}

/** Waits until each of these nodes serves. After a failover a node may report for a while that the cluster is down. */
export async function waitUntilServing(nodes: readonly RedisServer[]): Promise<void> {
  await until("every node says that the cluster works", async () => {
    const states = await Promise.all(nodes.map((node) => node.command("CLUSTER", "INFO")));
    return states.every((info) => info.includes("cluster_state:ok"));
  });
}

/** Moves slots without keys to another primary, and waits until every node knows. */
export async function moveSlots(
  nodes: readonly RedisServer[],
  slots: readonly number[],
  source: RedisServer,
  target: RedisServer,
): Promise<void> {
  const id = await target.command("CLUSTER", "MYID");
  // The other nodes believe the node with the greatest epoch.
  await target.command("CLUSTER", "BUMPEPOCH");
  const epoch = Number(/cluster_my_epoch:(\d+)/.exec(await target.command("CLUSTER", "INFO"))?.[1]);
  for (const slot of slots) {
    for (const node of [target, source]) {
      const reply = await node.command("CLUSTER", "SETSLOT", `${slot}`, "NODE", id);
      if (!reply.includes("OK")) throw new Error(reply);
    }
  }
  await until("every node knows the new primary of the slots", async () => {
    const maps = await Promise.all(nodes.map((node) => node.command("CLUSTER", "NODES")));
    return maps.every((map) => {
      const line = map.split("\n").find((one) => one.startsWith(id)) ?? "";
      const ranges = line
        .split(" ")
        .slice(8)
        .filter((word) => !word.startsWith("["));
      const bounds = ranges.map((range) => range.split("-").map(Number));
      // The greater epoch must have arrived too. Otherwise a node could choose the same one for the next move, and the others
      // would ignore that move.
      if (Number(line.split(" ")[6]) < epoch) return false;
      return slots.every((slot) => bounds.some(([low, high = low]) => slot >= low! && slot <= high!));
    });
  });
}

/** Moves a slot with its keys, as redis-cli does. */
export async function migrateSlot(
  nodes: readonly RedisServer[],
  slot: number,
  source: RedisServer,
  target: RedisServer,
): Promise<void> {
  await startMigration(slot, source, target);
  for (let keys = await listKeys(source, slot); keys.length > 0; keys = await listKeys(source, slot)) {
    await source.command("MIGRATE", "127.0.0.1", `${target.port}`, "", "0", "5000", "KEYS", ...keys);
  }
  await moveSlots(nodes, [slot], source, target);
}

/** Prepares a slot for moving its keys from one node to the other. */
export async function startMigration(slot: number, source: RedisServer, target: RedisServer): Promise<void> {
  const [from, to] = await Promise.all([source, target].map((node) => node.command("CLUSTER", "MYID")));
  await target.command("CLUSTER", "SETSLOT", `${slot}`, "IMPORTING", from!);
  await source.command("CLUSTER", "SETSLOT", `${slot}`, "MIGRATING", to!);
}

async function listKeys(node: RedisServer, slot: number): Promise<string[]> {
  const reply = await node.command("CLUSTER", "GETKEYSINSLOT", `${slot}`, "100");
  return reply.split("\r\n").filter((line) => !/^[*$]/.test(line));
}

function redisServer(program: Program, port: number, folder: string): RedisServer {
  return Object.assign(Object.create(program) as Program, {
    port,
    folder,
    command: (...args: string[]) => sendCommand(port, ...args),
    async end() {
      await program.kill();
      removeFolder(folder);
    },
  });
}

/**
 * Sends one command over one connection. Returns the reply in RESP2, a string without its length. A server that becomes a
 * primary or a replica may close the connection meanwhile (a Sentinel makes it do so): then the command is sent again.
 */
async function sendCommand(port: number, ...args: string[]): Promise<string> {
  return sendOnce(port, args).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== "ECONNRESET") throw error;
    return sendOnce(port, args);
  });
}

async function sendOnce(port: number, args: readonly string[]): Promise<string> {
  const socket = connect(port, "127.0.0.1");
  socket.setTimeout(HUNG_MS, () => socket.destroy(new Error("no answer")));
  const chunks: Buffer[] = [];
  socket.on("data", (chunk) => chunks.push(chunk));
  const command = `*${args.length}\r\n${args.map((arg) => `$${Buffer.byteLength(arg)}\r\n${arg}\r\n`).join("")}`;
  // The end of the stream, because a Sentinel does not know QUIT. The server still replies to the command.
  socket.end(command);
  await once(socket, "close");
  const reply = Buffer.concat(chunks).toString();
  return reply.replace(/^\$\d+\r\n/, "").replace(/\r\n$/, "");
}

/** Connects a client of the package redis. Its errors are ignored. */
export async function connectNodeRedis(port: number) {
  const client = createClient({ url: `redis://127.0.0.1:${port}` });
  client.on("error", () => {});
  await client.connect();
  return client;
}

/**
 * Waits until so many replicas confirm the writes of the primary. After its link is up, a replica may be silent for another
 * second, and gets no writes until then.
 */
export async function waitForReplicas(primary: RedisServer, replicas = 1): Promise<void> {
  const client = await connectNodeRedis(primary.port);
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
