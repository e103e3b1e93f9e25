import { ownRival } from "./layers.mjs";

/** Whose row of a result it is. The drop-in for express-session is Sojourn as well. */
export const who = ({ library }) =>
  /^sojourn\b/.test(library) ? "sojourn" : library.startsWith("floor") ? "floor" : "peer";

/** The result of a part on the oldest Node. */
export const resultOf = (results, part) => results.get(part)?.find(({ skipped }) => skipped === undefined);

/** The part that a picture comes from. */
export const PICTURES = { "lost-updates": "correctness", cost: "layer", redis: "redis", size: "growth" };

/** What a picture shows, in words. */
export function altOf(name, results) {
  const { outcomes, requests } = resultOf(results, "correctness") ?? {};
  switch (name) {
    case "lost-updates": {
      const kept = (isIt) => outcomes.filter(isIt).map(({ keys }) => keys.kept);
      const own = kept(({ library }) => library === "sojourn");
      const peers = kept((row) => who(row) === "peer");
      return `Bars: of ${requests} parallel changes to one session Sojourn keeps ${Math.min(...own) === requests ? "all" : `at least ${Math.min(...own)}`}, some peers keep ${Math.min(...peers)}.`;
    }
    case "cost":
    case "redis": {
      const { contenders } = resultOf(results, name === "cost" ? "layer" : "redis");
      const compared = contenders.filter((row) => who(row) === "peer" && row.cells.read && ownRival(contenders, row));
      const cheaper = (path) =>
        compared.filter((row) => ownRival(contenders, row).cells[path].layer.median < row.cells[path].layer.median)
          .length;
      return `Points on a logarithmic scale: on the same framework, Sojourn is cheaper than ${cheaper("read")} of ${compared.length} peers for a read, and than ${cheaper("write")} for a write.`;
    }
    case "size":
      return "Lines on logarithmic scales: the cost of a write grows with the size of the session, for Sojourn and @fastify/session, in memory and in Redis.";
    default:
      throw new Error(`There is no picture ${name}.`);
  }
}
