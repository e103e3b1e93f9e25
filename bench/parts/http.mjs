// The session layer over HTTP: keep-alive connections of autocannon, server and load on different cores.
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { CONTENDERS, isBare, isHere, withBare } from "../contenders.mjs";
import { cpuOf } from "../lib/cpu.mjs";
import { layersOf } from "../lib/layers.mjs";
import { bindToCore, startContender, startProcess, twoAtOnce } from "../lib/processes.mjs";
import { inRounds } from "../lib/rounds.mjs";

export const title = "The session layer, over HTTP";
export const nodes = "both";
export const budget = 40;

const PATHS = ["untouched", "read", "write", "sign-in"];
const CONNECTIONS = 64;
const SIDE_BY_SIDE = 16;
const CELL_SECONDS = 0.2;
/**
 * Requests over HTTP to a path before it is measured, after those in process, and in each measurement, at least. A contender
 * that is slow gets fewer: a warm-up has limits in seconds, and a measurement one of a second.
 */
const WARM_UP = 3000;
const WARM_UP_SECONDS = { inProcess: 0.8, overHttp: 0.5 };
const FEWEST = 500;

/** Variants that cost as much over HTTP as in process are left out, and so are frameworks where there is nothing to compare. */
const FRAMEWORKS = {
  express: ["memory"],
  fastify: ["memory", "cookie"],
  koa: ["memory"],
  hono: ["memory"],
  "node:http": ["memory"],
};
const LEFT_OUT = ["express-session, memorystore", "sojourn/express-session", "@fastify/session", "hono-sessions"];

export async function run({ node, rounds = 7, budget: seconds = budget, only, log }) {
  const rows = CONTENDERS.filter(
    (row) =>
      FRAMEWORKS[row.framework]?.includes(row.store) && !LEFT_OUT.includes(row.library) && isHere(row) && only(row),
  );
  return measureHttp(rows, { node, rounds, seconds, log });
}

/** Starts these contenders as servers, and measures each path of each in interleaved rounds. */
export async function measureHttp(
  rows,
  {
    node,
    rounds,
    seconds,
    log,
    place = {},
    paths = PATHS,
    connections = CONNECTIONS,
    databasePid,
    warmUpSeconds = WARM_UP_SECONDS,
  },
) {
  const load = await startProcess("load.mjs", [], { core: "load" });
  const started = new Map(withBare(rows).map((row) => [row, undefined]));
  try {
    await twoAtOnce(started.keys(), async (row) => {
      started.set(row, await startServer(row, { node, place, paths, warmUpSeconds }));
    });
    const groups = new Map();
    for (const [row, server] of started) {
      const cells = groups.get(row.framework) ?? [];
      groups.set(row.framework, cells);
      for (const path of isBare(row) ? ["untouched"] : paths) {
        const cookies = isAnonymous(path) ? [] : server.cookies;
        const order = { port: server.port, path, cookies, connections };
        let rate = await warmUpOverHttp(load, order, warmUpSeconds);
        // The one path of a bare application answers as many requests as all paths of a library.
        if (isBare(row))
          for (let n = 1; n < paths.length; n += 1) rate = await warmUpOverHttp(load, order, warmUpSeconds);
        const amount = Math.round(Math.max(Math.min(FEWEST, rate), rate * CELL_SECONDS));
        const measure = () => measureLoad(load, server, { ...order, amount }, databasePid);
        cells.push({ key: `${row.name}: ${path}`, measure });
      }
    }
    const { values, machine } = await inRounds([...groups.values()], { count: rounds, budget: seconds, log });
    return { machine, connections, contenders: layersOf([...started.keys()], values) };
  } finally {
    await Promise.all([load, ...started.values()].filter(Boolean).map(({ stop }) => stop()));
  }
}

const isAnonymous = (path) => path === "untouched" || path === "sign-in";

/** Lets V8 compile what only HTTP uses. Returns how many requests a second were answered. */
export async function warmUpOverHttp(load, order, { overHttp } = WARM_UP_SECONDS) {
  const answer = await load.ask("load", { ...order, amount: FEWEST });
  const rate = answer.answered / answer.seconds;
  const rest = Math.min(WARM_UP - FEWEST, Math.round(rate * overHttp));
  if (rest < FEWEST) return rate;
  const { answered, seconds } = await load.ask("load", { ...order, amount: rest });
  return answered / seconds;
}

/** A contender that listens, with 1000 sessions, and whose library V8 has compiled. It then has the servers' core. */
export async function startServer(row, { node, place = {}, bytes, paths = PATHS, warmUpSeconds = WARM_UP_SECONDS }) {
  const own = {
    ...place,
    ...(place.directory && { directory: join(place.directory, row.name.replaceAll(/\W+/g, "-")) }),
  };
  if (own.directory) mkdirSync(own.directory, { recursive: true });
  const server = await startContender(row, own, { node });
  const cookies = isBare(row) ? [] : await server.ask("seed", { bytes });
  for (const each of paths) {
    const path = isBare(row) ? "untouched" : each;
    const seconds = warmUpSeconds.inProcess;
    await server.ask("warmUp", { path, anonymous: isAnonymous(path), sideBySide: SIDE_BY_SIDE, seconds });
  }
  bindToCore(server.pid, "server");
  return { ...server, cookies, port: await server.ask("listen") };
}

/** µs of CPU a request at the server and at its database, and how long the client waited. */
async function measureLoad(load, server, order, databasePid) {
  const database = databasePid && cpuOf(databasePid);
  const before = await server.ask("cpu");
  const { answered, seconds, p50, p99 } = await load.ask("load", order);
  const cpu = ((await server.ask("cpu")) - before) / answered;
  const spent = databasePid && ((cpuOf(databasePid) - database) * 1e6) / answered;
  return { cpu, rate: answered / seconds, p50, p99, ...(databasePid && { database: spent }) };
}
