// The tables of session layers: every library over the bare application of its framework.
import { conditions, figure, NONE, ratio, spread, table } from "./tables.mjs";

const isBare = ({ library }) => library === "bare";
const isOwn = ({ library }) => library === "sojourn";

/** The store that Sojourn is compared with on the same framework: of the same kind, or the memory store. */
export function ownRival(contenders, { framework, store }) {
  const own = contenders.filter((one) => isOwn(one) && one.framework === framework);
  return own.find((one) => one.store === store) ?? own.find((one) => one.store === "memory");
}

const labelOf = ({ framework, library, store }) =>
  library === "bare"
    ? `${framework}, bare`
    : `${framework}: ${library === "sojourn" ? `**sojourn**, ${store}` : library}`;

/** A table for each result, that is, for each version of Node. */
export function layerTables(results, paths) {
  return results
    .map((result) => `Node ${result.node}. ${conditions(result)}\n\n${layerTable(result.contenders, paths)}`)
    .join("\n\n");
}

function layerTable(contenders, wanted) {
  const paths = wanted.filter((path) => contenders.some(({ cells }) => cells[path]));
  const compared = paths.filter((path) => path !== "untouched");
  const head = ["", ...paths, ...compared.map((path) => `sojourn ÷ it, ${path}`)];
  const rows = contenders.map((row) => {
    if (isBare(row))
      return [labelOf(row), `(${figure(row.cells.untouched.total.median)})`, ...head.slice(2).map(() => "")];
    const own = isOwn(row) ? undefined : ownRival(contenders, row);
    const layers = paths.map((path) => spread(row.cells[path]?.layer));
    const ratios = compared.map((path) =>
      isOwn(row) ? "" : own ? ratio(own.cells[path].layer, row.cells[path].layer) : NONE,
    );
    return [labelOf(row), ...layers, ...ratios];
  });
  return table(head, rows);
}

/** Bytes over the bare application, which has its own in parentheses, and those of Sojourn for each of the library's. */
export function allocationTables(results, paths) {
  const compared = paths.filter((path) => path !== "untouched");
  const tables = results.map(({ node, date, contenders }) => {
    const rows = contenders.map((row) => {
      if (isBare(row))
        return [labelOf(row), `(${figure(row.cells.untouched.total)})`, ...compared.flatMap(() => ["", ""])];
      const own = isOwn(row) ? undefined : ownRival(contenders, row);
      const ratios = compared.map((path) => (own ? (own.cells[path].layer / row.cells[path].layer).toFixed(2) : ""));
      return [labelOf(row), ...paths.map((path) => figure(row.cells[path].layer)), ...ratios];
    });
    const head = [`bytes, Node ${node}`, ...paths, ...compared.map((path) => `sojourn ÷ it, ${path}`)];
    return `Measured on ${date}.\n\n${table(head, rows)}`;
  });
  return tables.join("\n\n");
}

/** Requests a second, latencies and the CPU of the database at saturation. */
export function saturationTable({ contenders }, paths = ["read", "write"]) {
  const hasDatabase = contenders.some(({ cells }) => cells.read?.database);
  /** Of other stores there is no server whose time could be meant. */
  const hasServer = (row) => /Redis|PostgreSQL|MySQL/.test(row.store);
  const head = paths.flatMap((path) => [
    `${path}: requests/s`,
    "p50, ms",
    "p99, ms",
    ...(hasDatabase ? ["database, µs"] : []),
  ]);
  const rows = contenders.map((row) => [
    labelOf(row),
    ...paths.flatMap((path) => {
      const cell = row.cells[path] ?? (path === "read" ? row.cells.untouched : undefined);
      const written = ["rate", "p50", "p99", ...(hasDatabase ? ["database"] : [])].map((name) =>
        name === "database" && !hasServer(row) ? NONE : figure(cell?.[name]?.median),
      );
      return written;
    }),
  ]);
  return table(["", ...head], rows);
}

/** µs of the server's CPU and the commands that it executed. */
export function commandsTable({ contenders, commands }) {
  const rows = Object.entries(commands).map(([name, paths]) => {
    const row = contenders.find((one) => one.name === name);
    const written = ["read", "write", "sign-in"].flatMap((path) => [
      Object.entries(paths[path])
        .map(([command, calls]) => (calls === 1 ? command.toUpperCase() : `${calls} ${command.toUpperCase()}`))
        .join(", "),
      figure(row.cells[path].database?.median),
    ]);
    return [labelOf(row), ...written];
  });
  return table(["", "read", "µs", "write", "µs", "sign-in", "µs"], rows);
}
