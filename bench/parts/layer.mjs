// The session layer in process: what a library costs a request over the bare application of the same round.
import { CONTENDERS, isBare, isHere, withBare } from "../contenders.mjs";
import { cpuOf } from "../lib/cpu.mjs";
import { startContender } from "../lib/processes.mjs";
import { inRounds } from "../lib/rounds.mjs";
import { layersOf } from "../lib/layers.mjs";

export const title = "The session layer, in process";
export const nodes = "both";
/** Seconds for the rounds of one version of Node. */
export const budget = 90;

const PATHS = ["untouched", "read", "write", "sign-in"];
const CELL_US = 60_000;
const WARM_UP_US = 300_000;
const WARM_UP_BATCH = 1000;
const MOST = 1000;

export const memoryOrCookie = ({ store, library }) => library === "bare" || store === "memory" || store === "cookie";

export async function run({ node, rounds = 15, budget: seconds = budget, only, log }) {
  const rows = CONTENDERS.filter((row) => memoryOrCookie(row) && isHere(row) && only(row));
  return measureLayers(rows, { node, rounds, seconds, log });
}

/** Starts these contenders, and measures each path of each in interleaved rounds. */
export async function measureLayers(
  rows,
  { node, rounds, seconds, log, place, databasePid, paths = PATHS, sideBySide = 1 },
) {
  const started = new Map();
  try {
    for (const row of withBare(rows)) started.set(row, await startContender(row, place, { node }));
    const groups = new Map();
    for (const [row, { ask }] of started) {
      const cells = groups.get(row.framework) ?? [];
      groups.set(row.framework, cells);
      if (!isBare(row)) await ask("seed");
      for (const path of isBare(row) ? ["untouched"] : paths) {
        const order = { path, sideBySide, anonymous: path === "untouched" || path === "sign-in" };
        const count = await countFor(ask, order);
        const measure = () => spentFor(count, databasePid, () => ask("round", { ...order, count }));
        cells.push({ key: `${row.name}: ${path}`, measure });
      }
    }
    const { values, machine } = await inRounds([...groups.values()], {
      count: rounds,
      budget: seconds,
      warmUp: 2,
      log,
    });
    return { machine, sideBySide, contenders: layersOf([...started.keys()], values) };
  } finally {
    await Promise.all([...started.values()].map(({ stop }) => stop()));
  }
}

/** µs of CPU a request: of the application, as `work` returns it, and of its database. */
async function spentFor(count, databasePid, work) {
  const before = databasePid && cpuOf(databasePid);
  const cpu = await work();
  return databasePid ? { cpu, database: ((cpuOf(databasePid) - before) * 1e6) / count } : { cpu };
}

/**
 * Warms a path up until V8 has compiled it, then says how many requests take some tens of milliseconds: a slow library does not
 * get all of the time.
 */
async function countFor(ask, order) {
  let us = await ask("round", { ...order, count: 10 });
  for (let spent = 0; spent < WARM_UP_US;) {
    const count = Math.max(10, Math.min(WARM_UP_BATCH, Math.round((WARM_UP_US - spent) / us)));
    us = await ask("round", { ...order, count });
    spent += us * count;
  }
  return Math.max(10, Math.min(MOST, Math.round(CELL_US / us)));
}
