// Bytes a session: of heap in this process, of memory in Redis, of disk in PostgreSQL.
import { CONTENDERS, contender, isBare, isHere, usesRedis } from "../contenders.mjs";
import { startContender, twoAtOnce } from "../lib/processes.mjs";
import { withPostgres, withRedis } from "../lib/servers.mjs";

export const title = "Bytes a session";
export const nodes = "one";

const MILLION = 1_000_000;
/** Hash tables are as full as with a million. */
const SIXTEENTH = MILLION / 16;
const IN_SERVERS = 2000;
const HEAPS = [
  ["node:http · sojourn · memory", MILLION],
  ["node:http · sojourn · memory", SIXTEENTH],
  ["express · express-session, MemoryStore · memory", SIXTEENTH],
  ["express · express-session, memorystore · memory", SIXTEENTH],
  ["fastify · @fastify/session · memory", SIXTEENTH],
  ["hono · hono-sessions, no key · memory", SIXTEENTH],
  ["koa · koa-session, Map · memory", SIXTEENTH],
  ["node:http · floor: one HMAC and a Map · memory", SIXTEENTH],
];
const HEAP_FLAGS = ["--expose-gc", "--max-old-space-size=6144", "--max-semi-space-size=64"];

/** `rounds` is only for a quick look: with 1, there are a hundredth of the sessions. */
export async function run({ node, missing, rounds, only, log }) {
  const scale = rounds === undefined ? 1 : 0.01;
  const heap = [];
  const servers = {};
  const heaps = HEAPS.filter(([name]) => only(contender(name))).map(([name, count]) => async () => {
    const app = await startContender(contender(name), {}, { node, execArgv: HEAP_FLAGS });
    heap.push({ name, sessions: count * scale, bytes: Math.round(await app.ask("heap", { count: count * scale })) });
    log(name);
    await app.stop();
  });
  const inServers = Object.entries({ Redis: redisBytes, PostgreSQL: postgresBytes })
    .filter(([name]) => !missing.includes(name))
    .map(([name, bytesOf]) => async () => {
      servers[name] = await bytesOf(node, only);
      log(name);
    });
  await twoAtOnce([...heaps, ...inServers], (measure) => measure());
  heap.sort((a, b) => b.sessions - a.sessions || a.bytes - b.bytes);
  return { heap, redis: servers.Redis, postgres: servers.PostgreSQL };
}

/** A store keeps the same for every framework: the first row of each library. */
function rowsWith(isStore, only) {
  const rows = CONTENDERS.filter((row) => !isBare(row) && isStore(row) && isHere(row) && only(row));
  return rows.filter((row) => rows.find(({ library }) => library === row.library) === row);
}

/** MEMORY USAGE of all keys, for each session. */
async function redisBytes(node, only) {
  const { createClient } = await import("redis");
  return withRedis(async ({ port }) => {
    const admin = await createClient({ socket: { host: "127.0.0.1", port } }).connect();
    const sizes = [];
    for (const row of rowsWith(usesRedis, only)) {
      await admin.flushAll();
      await fill(row, { redis: { port } }, node);
      let bytes = 0;
      for await (const keys of admin.scanIterator({ COUNT: 1000 })) {
        const usages = await Promise.all(keys.map((key) => admin.memoryUsage(key, { SAMPLES: 0 })));
        bytes += usages.reduce((sum, usage) => sum + usage, 0);
      }
      sizes.push({ name: row.name, bytes: Math.round(bytes / IN_SERVERS) });
    }
    await admin.close();
    return sizes;
  });
}

/** The growth of all tables with their indexes, for each session. */
async function postgresBytes(node, only) {
  const { default: pg } = await import("pg");
  return withPostgres(async ({ pid: _pid, ...address }) => {
    const client = new pg.Client(address);
    await client.connect();
    const total = async () => {
      const { rows } = await client.query(
        "SELECT sum(pg_total_relation_size(oid))::float8 AS bytes FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace",
      );
      return rows[0].bytes ?? 0;
    };
    const sizes = [];
    for (const row of rowsWith(({ store }) => store === "PostgreSQL", only)) {
      const before = await total();
      await fill(row, { postgres: address }, node);
      sizes.push({ name: row.name, bytes: Math.round(((await total()) - before) / IN_SERVERS) });
      // A second contender with the same table would find it grown already.
      await client.query("DROP TABLE IF EXISTS sojourn_sessions");
    }
    await client.end();
    return sizes;
  });
}

async function fill(row, place, node) {
  const app = await startContender(row, place, { node });
  await app.ask("seed", { count: IN_SERVERS });
  await app.stop();
}
