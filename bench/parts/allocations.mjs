// Heap allocated a request: how much work a library leaves to the garbage collector. A figure without noise.
import { bareOf, CONTENDERS, isBare, isHere, withBare } from "../contenders.mjs";
import { startContender, twoAtOnce } from "../lib/processes.mjs";

export const title = "Heap allocated a request";
export const nodes = "both";

const FRAMEWORKS = ["express", "fastify", "koa", "hono", "node:http"];
/** Slower forms of other contenders. */
const LEFT_OUT = ["express-session, memorystore", "hono-sessions"];
const PATHS = ["untouched", "read", "write", "sign-in"];
const COUNT = 500;
/** The young generation holds all that these requests allocate, so that nothing is collected while they are counted. */
const FLAGS = ["--expose-gc", "--min-semi-space-size=64", "--max-semi-space-size=64"];

export async function run({ node, only, log }) {
  const isMeasured = (row) =>
    row.store === "memory" &&
    FRAMEWORKS.includes(row.framework) &&
    !LEFT_OUT.includes(row.library) &&
    isHere(row) &&
    only(row);
  return { contenders: await measureAllocations(CONTENDERS.filter(isMeasured), { node, log }) };
}

/** Bytes a request, for each path of these contenders: in all, and over the bare application. */
export async function measureAllocations(rows, { node, log = () => {} }) {
  const totals = new Map();
  await twoAtOnce(withBare(rows), async (row) => {
    totals.set(row.name, await allocationsOf(row, node));
    log(row.name);
  });
  return withBare(rows).map((row) => {
    const bare = totals.get(bareOf(row).name).untouched;
    const { name, framework, library, store } = row;
    const cellOf = ([path, total]) => [path, isBare(row) ? { total } : { total, layer: total - bare }];
    return { name, framework, library, store, cells: Object.fromEntries(Object.entries(totals.get(name)).map(cellOf)) };
  });
}

async function allocationsOf(row, node) {
  const app = await startContender(row, {}, { node, execArgv: FLAGS });
  if (!isBare(row)) await app.ask("seed");
  const paths = isBare(row) ? PATHS.slice(0, 1) : PATHS;
  const orders = paths.map((path) => ({ path, anonymous: path === "untouched" || path === "sign-in" }));
  // The one path of a bare application answers as many requests as all paths of a contender.
  for (let n = 0; n < PATHS.length; n += 1) await app.ask("warmUp", orders[n % orders.length]);
  const bytes = {};
  for (const order of orders) bytes[order.path] = await app.ask("allocated", { ...order, count: COUNT });
  await app.stop();
  return bytes;
}
