import { bareOf, isBare } from "../contenders.mjs";
import { summary } from "./stats.mjs";

/**
 * For each contender and path: the CPU of a request, its layer, which is what it costs over the bare application of the same
 * round, and whatever else was measured. `values` has the rounds of `<name>: <path>`, as objects with `cpu`.
 */
export function layersOf(rows, values) {
  return rows.map((row) => {
    const { name, framework, library, store } = row;
    const bare = values.get(`${bareOf(row).name}: untouched`);
    const cells = {};
    for (const [key, cell] of values) {
      if (!key.startsWith(`${name}: `)) continue;
      const { cpu: total, ...others } = Object.fromEntries(
        Object.keys(cell[0]).map((what) => [what, summary(cell.map((one) => one[what]))]),
      );
      const layer = isBare(row) ? {} : { layer: summary(cell.map(({ cpu }, round) => cpu - bare[round].cpu)) };
      cells[key.slice(name.length + 2)] = { total, ...layer, ...others };
    }
    return { name, framework, library, store, cells };
  });
}
