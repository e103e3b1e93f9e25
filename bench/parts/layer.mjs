// The session layer in process: what a library costs a request over the bare application of the same round.
import { CONTENDERS, isBare, isHere, withBare } from "../contenders.mjs";
import { cpuOf } from "../lib/cpu.mjs";
import { startContender, twoAtOnce } from "../lib/processes.mjs";
import { inRounds } from "../lib/rounds.mjs";
import { layersOf } from "../lib/layers.mjs";

export const title = "The session layer, in process";
export const nodes = "both";
/** Seconds for the rounds of one version of Node. */
export const budget = 45;

const PATHS = ["untouched", "read", "write", "sign-in"];
/** In a round a cell has so many turns, each so long: shorter ones would mostly fill the caches of the processor anew. */
const TURNS = 2;
const TURN_US = 30_000;
const FEWEST = 2;

const memoryOrCookie = ({ store, library }) => library === "bare" || store === "memory" || store === "cookie";

export async function run({ node, rounds = 15, budget: seconds = budget, only, log }) {
  const rows = CONTENDERS.filter((row) => memoryOrCookie(row) && isHere(row) && only(row));
  return measureLayers(rows, { node, rounds, seconds, log });
}

/** Starts these contenders, and measures each path of each in interleaved rounds. */
export async function measureLayers(
  rows,
  { node, rounds, seconds, log, place, databasePid, paths = PATHS, sideBySide = 1, warmUpSeconds },
) {
  const started = new Map();
  try {
    const groups = new Map();
    for (const row of withBare(rows)) {
      started.set(row, await startContender(row, place, { node }));
      groups.set(row.framework, []);
    }
    await twoAtOnce(started, async ([row, { ask }]) => {
      const cells = groups.get(row.framework);
      if (!isBare(row)) await ask("seed");
      for (const path of isBare(row) ? ["untouched"] : paths) {
        const order = { path, sideBySide, anonymous: path === "untouched" || path === "sign-in" };
        const us = await ask("warmUp", { ...order, seconds: warmUpSeconds });
        const count = Math.max(FEWEST * sideBySide, Math.round(TURN_US / us));
        const measure = () => spentFor(count, databasePid, () => ask("round", { ...order, count }));
        cells.push({ key: `${row.name}: ${path}`, measure });
      }
    });
    const { values, machine } = await inRounds([...groups.values()], {
      count: rounds,
      budget: seconds,
      turns: TURNS,
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
