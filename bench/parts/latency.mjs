// How long a client waits at a fixed rate of half of what the slowest contender of its group can serve.
import { CONTENDERS, isBare, usesRedis } from "../contenders.mjs";
import { startProcess, twoAtOnce } from "../lib/processes.mjs";
import { inRounds } from "../lib/rounds.mjs";
import { withRedis } from "../lib/servers.mjs";
import { summary } from "../lib/stats.mjs";
import { startServer, warmUpOverHttp } from "./http.mjs";

export const title = "Latency at a fixed rate";
export const nodes = "one";
export const budget = 55;

const PATHS = ["read", "write"];
const CONNECTIONS = 32;
const SECONDS = 1;
const SATURATION_REQUESTS = 3000;
const SHARE = 0.5;

/** The groups whose contenders get the same rate. */
const GROUPS = [
  ["express", "memory", ["sojourn", "express-session, MemoryStore"]],
  ["express", "Redis (node-redis)", ["sojourn", "express-session, connect-redis"]],
  ["fastify", "memory", ["sojourn", "@fastify/session", "@fastify/session, not rolling"]],
  ["fastify", "Redis (node-redis)", ["sojourn", "@fastify/session, not rolling, connect-redis"]],
];

export async function run({ node, missing, rounds = 9, budget: seconds = budget, only, log }) {
  const rowsOf = ([framework, store, libraries]) =>
    CONTENDERS.filter(
      (row) =>
        row.framework === framework &&
        ((row.store === store && libraries.includes(row.library) && only(row)) ||
          (isBare(row) && store === "memory")) &&
        !(usesRedis(row) && missing.includes("Redis")),
    );
  const groups = GROUPS.map(rowsOf).filter((rows) => rows.length > 1);
  const measure = (place) => measureGroups(groups, { node, rounds, seconds, log, place });
  return missing.includes("Redis") ? measure({}) : withRedis(({ port }) => measure({ redis: { port } }));
}

async function measureGroups(groups, { node, rounds, seconds, log, place }) {
  const load = await startProcess("load.mjs", [], { core: "load" });
  const servers = [load];
  const results = [];
  const cells = [];
  try {
    for (const rows of groups) {
      const group = [];
      const started = new Map(rows.map((row) => [row, undefined]));
      await twoAtOnce(rows, async (row) => {
        const server = await startServer(row, { node, place, paths: PATHS });
        servers.push(server);
        started.set(row, server);
      });
      for (const [row, server] of started) {
        for (const path of isBare(row) ? ["untouched"] : PATHS) {
          const order = { port: server.port, path, cookies: server.cookies, connections: CONNECTIONS };
          await warmUpOverHttp(load, order);
          const { answered, seconds: took } = await load.ask("load", { ...order, amount: SATURATION_REQUESTS });
          group.push({ row, path, order, saturation: answered / took });
        }
      }
      const rate = Math.round(Math.min(...group.map(({ saturation }) => saturation)) * SHARE);
      for (const { row, path, order } of group) {
        const key = `${results.length}`;
        results.push({ name: row.name, path, rate, group: rows.find((one) => !isBare(one)).store });
        cells.push({ key, measure: () => load.ask("load", { ...order, rate, seconds: SECONDS }) });
      }
    }
    const { values, machine } = await inRounds([cells], { count: rounds, budget: seconds, warmUp: 0, log });
    const latencies = results.map((result, index) => {
      const measured = values.get(`${index}`);
      const of = (what) => summary(measured.map((one) => one[what]));
      return { ...result, p50: of("p50"), p99: of("p99") };
    });
    return { machine, connections: CONNECTIONS, latencies };
  } finally {
    await Promise.all(servers.map(({ stop }) => stop()));
  }
}
