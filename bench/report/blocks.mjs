// The generated blocks of docs/benchmarks.md and README.md: what stands between `<!-- bench:NAME -->` and `<!-- /bench:NAME -->`.
// They come from bench/results alone, so that a test can compare them with no package installed.
import { altOf, PICTURES, resultOf, who } from "./alt-texts.mjs";
import { allocationTables, commandsTable, layerTables, ownRival, saturationTable } from "./layers.mjs";
import { conditions, costs, figure, NONE, spread, table } from "./tables.mjs";

/** Documents with generated blocks, and the way from each to the pictures. */
export const DOCUMENTS = { "docs/benchmarks.md": "pictures", "README.md": "docs/pictures" };

const ALL_PATHS = ["untouched", "read", "write", "sign-in"];

const BLOCKS = {
  machine: "floors",
  floors: "floors",
  allocations: "allocations",
  layer: "layer",
  http: "http",
  saturation: "http",
  latency: "latency",
  redis: "redis",
  "redis-commands": "redis",
  "redis-http": "redis",
  stores: "stores",
  correctness: "correctness",
  merging: "merging",
  memory: "memory",
  expiry: "expiry",
  size: "size",
  growth: "growth",
  revocation: "revocation",
  cost: "layer",
  "lost-updates": "correctness",
};

const WRITERS = {
  machine(results) {
    const [{ hardware, date, versions = {} }] = results;
    const nodes = results.map(({ node }) => node).join(" and ");
    const packages = Object.entries(versions).map(([name, version]) => `${name} ${version}`);
    return `**Machine.** ${hardware.cpu}, ${hardware.cores} cores, ${hardware.memoryGiB} GiB, ${hardware.system}; Node ${nodes}; ${date}.

**Versions.** ${packages.join(", ")}.`;
  },

  floors(results) {
    const names = Object.keys(results[0].primitives);
    const rows = names.map((name) => [name, ...results.map(({ primitives }) => spread(primitives[name]))]);
    return table(["µs of CPU", ...results.map(({ node }) => `Node ${node}`)], rows);
  },

  allocations: (results) => allocationTables(results, ALL_PATHS),
  layer: (results) => layerTables(results, ALL_PATHS),
  http: (results) => layerTables(results, ALL_PATHS),
  saturation: ([result]) => saturationTable(result),
  redis: (results) => layerTables(results, ALL_PATHS),
  "redis-commands": ([result]) => commandsTable(result),
  "redis-http": (results) =>
    results
      .map(({ http, node, date }) => {
        const layers = layerTables([{ ...http, node, date }], ["read", "write"]);
        return `${layers}\n\n${saturationTable(http)}`;
      })
      .join("\n\n"),
  stores: ([result]) => `${layerTables([result], ["read", "write"])}\n\n${saturationTable(result)}`,

  latency([result]) {
    const rows = result.latencies.map(({ name, path, rate, p50, p99 }) => [
      name,
      path,
      figure(rate),
      spread(p50),
      spread(p99),
    ]);
    return `${conditions(result)}\n\n${table(["", "path", "requests/s", "p50, ms", "p99, ms"], rows)}`;
  },

  correctness([result]) {
    const kept = ({ kept: number, acknowledged } = {}) => {
      if (number === undefined) return NONE;
      const refused = result.requests - acknowledged;
      return refused > 0 ? `${number} (${refused} answered with an error)` : `${number}`;
    };
    const rows = result.outcomes.map(({ name, keys, counter, update, resurrected, stale }) => [
      name,
      kept(keys),
      kept(counter),
      kept(update),
      `${resurrected} of ${result.signOuts}`,
      stale === undefined ? NONE : `${stale} of ${result.redirects}`,
    ]);
    return table(
      ["", "a key each", "`data.n = data.n + 1`", '`session.update("n", …)`', "sign-outs undone", "stale redirects"],
      rows,
    );
  },

  merging([result]) {
    const names = Object.keys(result.costs);
    const rows = Object.keys(result.costs[names[0]]).map((row) => [
      row,
      ...names.map((name) => spread(result.costs[name][row])),
    ]);
    return `${conditions(result)}\n\n${table(["µs of CPU a request, framework included", ...names], rows)}`;
  },

  memory([{ heap, redis, postgres }]) {
    const heaps = heap.map(({ name, sessions, bytes }) => [name, sessions.toLocaleString("en"), figure(bytes)]);
    const parts = [table(["heap", "sessions", "bytes a session"], heaps)];
    const sizes = (rows) => rows.map(({ name, bytes }) => [name, figure(bytes)]);
    if (redis) parts.push(table(["Redis, all keys of a session", "bytes a session"], sizes(redis)));
    if (postgres) parts.push(table(["PostgreSQL, indexes included", "bytes a session"], sizes(postgres)));
    return parts.join("\n\n");
  },

  expiry([result]) {
    const rows = result.collections.map(({ name, sessions, ms, stall, stallCpu }) => [
      name,
      sessions.toLocaleString("en"),
      figure(ms / 1000),
      figure(stall),
      figure(stallCpu),
    ]);
    const head = ["a tenth of them expired", "sessions", "s in all", "longest stall, ms", "of CPU, ms"];
    return `${conditions(result)}\n\n${table(head, rows)}`;
  },

  size(results) {
    const rows = results[0].entries.map(({ name, bytes, gzip }) => [
      name,
      ...results.map(({ entries }) => spread(entries.find((one) => one.name === name).ms)),
      figure(bytes / 1000),
      figure(gzip / 1000),
    ]);
    return table(["", ...results.map(({ node }) => `import, ms, Node ${node}`), "kB minified", "kB gzip"], rows);
  },

  growth([result]) {
    const processes = result.processes.flatMap(({ name, steps }) =>
      steps.map((step) => [name, step.processes, figure(step.rate.median), spread(step.cpu), spread(step.redis)]),
    );
    const sizes = result.sizes.flatMap(({ name, steps }) =>
      steps.map(({ bytes, read, write }) => [name, bytes.toLocaleString("en"), spread(read), spread(write)]),
    );
    const numbers = result.numbers.flatMap(({ name, steps }) =>
      steps.map(({ sessions, read, write }) => [name, sessions.toLocaleString("en"), spread(read), spread(write)]),
    );
    return [
      conditions(result),
      table(["processes that write", "processes", "requests/s", "µs of CPU a request", "µs at Redis"], processes),
      table(["the layer by size", "bytes of JSON", "read, µs", "write, µs"], sizes),
      table(["a request by number of sessions", "sessions", "read, µs", "write, µs"], numbers),
    ].join("\n\n");
  },

  revocation([result]) {
    const rows = Object.entries(result.delays).map(([name, { count, median, p99, max }]) => [
      name,
      count,
      figure(median),
      figure(p99),
      figure(max),
    ]);
    return `${conditions(result)}\n\n${table(["", "revocations", "median, ms", "99 %", "longest"], rows)}`;
  },

  cost(results) {
    const compared = results[0].contenders.filter((row) => who(row) === "peer" && row.cells.read);
    const rows = compared
      .filter((row) => ownRival(results[0].contenders, row))
      .map((row) => [
        `${row.framework}: ${row.library}`,
        ...results.flatMap(({ contenders }) => {
          const it = contenders.find(({ name }) => name === row.name);
          const own = it && ownRival(contenders, it);
          return ["read", "write"].map((path) => (own ? costs(own.cells[path].layer, it.cells[path].layer) : NONE));
        }),
      ]);
    return table(
      [
        "sojourn ÷ it <sub>µs: sojourn / it</sub>",
        ...results.flatMap(({ node }) => [`read, Node ${node}`, `write, Node ${node}`]),
      ],
      rows,
    );
  },

  "lost-updates"([{ outcomes, requests, signOuts, redirects }]) {
    const own = outcomes.filter(({ library }) => library === "sojourn");
    const peers = outcomes.filter((row) => who(row) === "peer");
    const range = (numbers) => {
      const [least, most] = [Math.min(...numbers), Math.max(...numbers)];
      return least === most ? `${least}` : `${least} to ${most}`;
    };
    // One that hands out the object in its store itself has nothing to lose there, and nothing to keep on Redis.
    const losing = peers.filter(({ keys }) => keys.kept < requests / 2);
    const undoing = peers.filter(({ resurrected }) => resurrected > 0);
    const [stalest] = peers
      .filter(({ stale }) => stale !== undefined)
      .toSorted((one, other) => other.stale - one.stale);
    return [
      `- **Parallel requests.** ${requests} requests each add a key to one session. Sojourn keeps ${range(own.map(({ keys }) => keys.kept))} keys, on every store. ` +
        `Of ${peers.length} set-ups of other libraries, ${losing.length} keep ${range(losing.map(({ keys }) => keys.kept))}.`,
      `- **Sign-outs.** A user signs out while another request is under way. With Sojourn, that request brings the session back in ` +
        `${range(own.map(({ resurrected }) => resurrected))} of ${signOuts} cases. With ${undoing.length} of the ${peers.length} other set-ups, it does in ${range(undoing.map(({ resurrected }) => resurrected))}.`,
      `- **Redirects.** A browser follows a redirect to another process as soon as it sees the headers. It is shown the old state in ` +
        `${range(own.filter(({ stale }) => stale !== undefined).map(({ stale }) => stale))} of ${redirects} cases with Sojourn, and in ${stalest.stale} with ${stalest.library.replace(", ", " and ")}.`,
    ].join("\n");
  },
};

const PATTERN = /<!-- bench:([\w-]+) -->\n.*?<!-- \/bench:\1 -->/gs;

/** The text with its blocks written anew from the results. `pictures` is the way to docs/pictures from the document. */
export function fillBlocks(text, results, pictures) {
  const write = (name) =>
    name.startsWith("picture-") ? picture(name.slice(8), results, pictures) : block(name, results);
  return text.replaceAll(PATTERN, (_, name) => `<!-- bench:${name} -->\n${write(name)}\n<!-- /bench:${name} -->`);
}

function picture(name, results, folder) {
  if (!resultOf(results, PICTURES[name])) return "";
  return `\n![${altOf(name, results)}](${folder}/${name}.svg)\n`;
}

function block(name, results) {
  const part = BLOCKS[name];
  if (!part) throw new Error(`There is no block ${name}.`);
  const measured = (results.get(part) ?? []).filter(({ skipped }) => skipped === undefined);
  if (measured.length === 0) return `\nNot measured yet: \`npm run bench -- ${part}\`.\n`;
  return `\n${WRITERS[name](measured)}\n`;
}
