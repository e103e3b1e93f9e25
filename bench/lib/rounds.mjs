// Interleaved rounds. The contenders of a group are measured in turn (A B C A B C …), so that whatever else the machine does
// meets all of them alike. A round in which other processes used the CPU is repeated, up to a bound.
import { CONTAMINATED, watchOthers } from "./cpu.mjs";

const MOST_REPETITIONS = 0.5;
const FEWEST_ROUNDS = 3;

/**
 * Measures the cells of each group until there are `count` rounds of every group, or `budget` seconds are over; at least
 * 3 rounds, unless `count` is less. A cell is `{ key, measure }`. In a round each cell has `turns`, and its value is their mean.
 * Returns, for each key, the values round by round, and what others have used of the CPU.
 */
export async function inRounds(groups, { count, budget, warmUp = 1, turns = 1, log = () => {} }) {
  const ends = performance.now() + budget * 1000;
  const states = groups.map((cells) => ({ cells, rounds: [], repeated: 0 }));
  for (let n = 0; n < warmUp; n += 1) for (const { cells } of states) await one(cells, turns);

  for (;;) {
    const open = states.filter(({ rounds, repeated }) => rounds.length < count + repeated);
    const fewest = Math.min(...states.map(({ rounds }) => rounds.length));
    if (open.length === 0 || (performance.now() > ends && fewest >= Math.min(FEWEST_ROUNDS, count))) break;
    for (const state of open) {
      const round = await one(state.cells, turns);
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

/** Short turns instead of one long one: a machine whose speed changes within seconds meets all cells of a round alike. */
async function one(cells, turns) {
  const othersSince = watchOthers();
  const measured = new Map(cells.map(({ key }) => [key, []]));
  for (let turn = 0; turn < turns; turn += 1)
    for (const { key, measure } of cells) measured.get(key).push(await measure());
  const values = new Map(Array.from(measured, ([key, each]) => [key, meanOf(each)]));
  return { values, others: othersSince() };
}

/** The mean of numbers, or of objects of numbers. */
function meanOf(values) {
  const mean = (numbers) => numbers.reduce((sum, number) => sum + number, 0) / numbers.length;
  if (typeof values[0] === "number") return mean(values);
  return Object.fromEntries(Object.keys(values[0]).map((key) => [key, mean(values.map((value) => value[key]))]));
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
