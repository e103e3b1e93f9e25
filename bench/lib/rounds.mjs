// Interleaved rounds. The contenders of a group are measured in turn (A B C A B C …), so that whatever else the machine does
// meets all of them alike. A round in which other processes used the CPU is repeated, up to a bound.
import { CONTAMINATED, watchOthers } from "./cpu.mjs";

const MOST_REPETITIONS = 0.5;
const FEWEST_ROUNDS = 3;

/**
 * Measures the cells of each group until there are `count` rounds of every group, or `budget` seconds are over; at least
 * 3 rounds, unless `count` is less. A cell is `{ key, measure }`. Returns, for each key, the values round by round, and
 * what others have used of the CPU.
 */
export async function inRounds(groups, { count, budget, warmUp = 1, log = () => {} }) {
  const ends = performance.now() + budget * 1000;
  const states = groups.map((cells) => ({ cells, rounds: [], repeated: 0 }));
  for (let n = 0; n < warmUp; n += 1) for (const { cells } of states) await one(cells);

  for (;;) {
    const open = states.filter(({ rounds, repeated }) => rounds.length < count + repeated);
    const fewest = Math.min(...states.map(({ rounds }) => rounds.length));
    if (open.length === 0 || (performance.now() > ends && fewest >= Math.min(FEWEST_ROUNDS, count))) break;
    for (const state of open) {
      const round = await one(state.cells);
      state.rounds.push(round);
      if (round.others > CONTAMINATED && state.repeated < Math.ceil(count * MOST_REPETITIONS)) state.repeated += 1;
    }
    log(`round ${Math.max(...states.map(({ rounds }) => rounds.length))}`);
  }

  const values = new Map();
  const others = [];
  for (const { cells, rounds } of states) {
    const kept = cleanest(rounds, count);
    others.push(...kept.map((round) => round.others));
    for (const { key } of cells)
      values.set(
        key,
        kept.map((round) => round.values.get(key)),
      );
  }
  return { values, machine: machineOf(others) };
}

/** The rounds with the least CPU of others, in the order in which they were measured. */
function cleanest(rounds, count) {
  const chosen = new Set(rounds.toSorted((a, b) => (a.others ?? 0) - (b.others ?? 0)).slice(0, count));
  return rounds.filter((round) => chosen.has(round));
}

async function one(cells) {
  const othersSince = watchOthers();
  const values = new Map();
  for (const { key, measure } of cells) values.set(key, await measure());
  return { values, others: othersSince() };
}

/** How busy others kept the machine in the rounds that were kept: in cores, and how many rounds that contaminated. */
export function machineOf(others) {
  const known = others.filter((value) => value !== undefined);
  if (known.length === 0) return { others: null, rounds: others.length, contaminated: null };
  const mean = known.reduce((sum, value) => sum + value, 0) / known.length;
  return {
    others: Number(mean.toFixed(3)),
    rounds: others.length,
    contaminated: known.filter((value) => value > CONTAMINATED).length,
  };
}
