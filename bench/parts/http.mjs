// The session layer over HTTP: keep-alive connections of autocannon, server and load on different cores.
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { CONTENDERS, isBare, isHere, withBare } from "../contenders.mjs";
import { cpuOf } from "../lib/cpu.mjs";
import { layersOf } from "../lib/layers.mjs";
import { startContender, startProcess } from "../lib/processes.mjs";
import { inRounds } from "../lib/rounds.mjs";
import { memoryOrCookie } from "./layer.mjs";

export const title = "The session layer, over HTTP";
export const nodes = "both";
export const budget = 140;

const PATHS = ["untouched", "read", "write"];
const CONNECTIONS = 64;
const CELL_SECONDS = 0.3;
/**
 * Requests to a path before it is measured, and in each measurement, at least. By time alone a slow machine measured V8's
 * compiler: the fewer requests, the larger its share, and of a quick contender more than of a slow one. A contender that is
 * slow for another reason gets fewer: a warm-up has a limit in seconds, and a measurement one of a second.
 */
const WARM_UP = 3000;
const WARM_UP_SECONDS = 1.5;
const FEWEST = 500;

export async function run({ node, rounds = 7, budget: seconds = budget, only, log }) {
  const rows = CONTENDERS.filter((row) => memoryOrCookie(row) && isHere(row) && only(row));
  return measureHttp(rows, { node, rounds, seconds, log });
}

/** Starts these contenders as servers, and measures each path of each in interleaved rounds. */
export async function measureHttp(
  rows,
  { node, rounds, seconds, log, place = {}, paths = PATHS, connections = CONNECTIONS, databasePid },
) {
  const load = await startProcess("load.mjs", [], { core: "load" });
  const started = new Map();
  try {
    const groups = new Map();
    for (const row of withBare(rows)) {
      const server = await startServer(row, { node, place });
      started.set(row, server);
      const cells = groups.get(row.framework) ?? [];
      groups.set(row.framework, cells);
      for (const path of isBare(row) ? ["untouched"] : paths) {
        const cookies = path === "untouched" || path === "sign-in" ? [] : server.cookies;
        const order = { port: server.port, path, cookies, connections };
        const amountFor = ({ answered, seconds: took }) => {
          const rate = answered / took;
          return Math.round(Math.max(Math.min(FEWEST, rate), rate * CELL_SECONDS));
        };
        // The first one lets V8 compile; the second one finds out how slow it is.
        await warmUp(load, order, isBare(row) ? paths.length : 1);
        const amount = amountFor(await load.ask("load", { ...order, amount: FEWEST }));
        const measure = () => measureLoad(load, server, { ...order, amount }, databasePid);
        cells.push({ key: `${row.name}: ${path}`, measure });
      }
    }
    const { values, machine } = await inRounds([...groups.values()], { count: rounds, budget: seconds, log });
    return { machine, connections, contenders: layersOf([...started.keys()], values) };
  } finally {
    await Promise.all([load, ...started.values()].map(({ stop }) => stop()));
  }
}

async function warmUp(load, order, share) {
  let seconds = 0;
  for (let sent = 0; sent < share * WARM_UP && seconds < share * WARM_UP_SECONDS; sent += FEWEST) {
    const answer = await load.ask("load", { ...order, amount: FEWEST });
    seconds += answer.seconds;
  }
}

/** A contender that listens, with 1000 sessions. */
export async function startServer(row, { node, place = {}, bytes }) {
  const own = {
    ...place,
    ...(place.directory && { directory: join(place.directory, row.name.replaceAll(/\W+/g, "-")) }),
  };
  if (own.directory) mkdirSync(own.directory, { recursive: true });
  const server = await startContender(row, own, { node, core: "server" });
  const cookies = isBare(row) ? [] : await server.ask("seed", { bytes });
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
