// Raw primitives: the least that a session can cost on this machine. They run in a process of the Node in question.
import { startProcess } from "../lib/processes.mjs";
import { inRounds } from "../lib/rounds.mjs";
import { withRedis } from "../lib/servers.mjs";
import { summary } from "../lib/stats.mjs";

export const title = "Raw primitives";
export const nodes = "both";
export const budget = 20;

export async function run({ node, missing, rounds = 15, budget: seconds = budget, log }) {
  const measured = async (place) => {
    const primitives = await startProcess("primitives.mjs", [JSON.stringify(place)], { node });
    try {
      const names = await primitives.ask("names");
      const cells = names.map((name) => ({ key: name, measure: () => primitives.ask("measure", { name }) }));
      const { values, machine } = await inRounds([cells], { count: rounds, budget: seconds, warmUp: 2, log });
      return { machine, primitives: Object.fromEntries([...values].map(([name, cell]) => [name, summary(cell)])) };
    } finally {
      await primitives.stop();
    }
  };
  return missing.includes("Redis") ? measured({}) : withRedis((redis) => measured({ redis }));
}
