// The cost of each way to change data, where a container is read, and where requests change one session at the same time.
import { contender } from "../contenders.mjs";
import { startContender } from "../lib/processes.mjs";
import { inRounds } from "../lib/rounds.mjs";
import { withRedis } from "../lib/servers.mjs";
import { summary } from "../lib/stats.mjs";

export const title = "What merging costs";
export const nodes = "one";
export const budget = 40;

const NAMES = ["node:http · sojourn · memory", "node:http · sojourn · Redis (node-redis)"];
const COUNT = 1000;
const ROWS = {
  "read a string": { path: "read" },
  "read within a container": { path: "read-container" },
  "assign a number": { path: "write" },
  "assign a container": { path: "assign" },
  "change a container in place": { path: "in-place" },
  "session.update": { path: "update-now" },
};
const APPENDS = { "two at once append": 2, "200 at once append": 200 };

export async function run({ node, missing, rounds = 11, budget: seconds = budget, only, log }) {
  const rows = NAMES.map(contender).filter(
    (row) => only(row) && (row.store === "memory" || !missing.includes("Redis")),
  );
  const measure = async (place) => {
    const apps = [];
    try {
      const groups = [];
      for (const row of rows) {
        const app = await startContender(row, place, { node });
        apps.push(app);
        await app.ask("seed");
        groups.push(cellsOf(row, app));
      }
      const { values, machine } = await inRounds(groups, { count: rounds, budget: seconds, warmUp: 2, log });
      const costs = Object.fromEntries(
        rows.map(({ name }) => {
          const cells = [...Object.keys(ROWS), ...Object.keys(APPENDS)];
          return [name, Object.fromEntries(cells.map((cell) => [cell, summary(values.get(`${name}: ${cell}`))]))];
        }),
      );
      return { machine, costs };
    } finally {
      await Promise.all(apps.map(({ stop }) => stop()));
    }
  };
  return missing.includes("Redis") ? measure({}) : withRedis(({ port }) => measure({ redis: { port } }));
}

const cellsOf = ({ name }, { ask }) => [
  ...Object.entries(ROWS).map(([cell, { path }]) => ({
    key: `${name}: ${cell}`,
    measure: () => ask("round", { path, count: COUNT }),
  })),
  ...Object.entries(APPENDS).map(([cell, sideBySide]) => ({
    key: `${name}: ${cell}`,
    measure: () => ask("appends", { sideBySide, count: 200 }),
  })),
];
