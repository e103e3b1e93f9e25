// Sessions in Redis: the layer in process with 16 requests under way, what the server does for each, and the layer over HTTP.
import { CONTENDERS, isHere, usesRedis } from "../contenders.mjs";
import { startContender } from "../lib/processes.mjs";
import { withRedis } from "../lib/servers.mjs";
import { measureHttp } from "./http.mjs";
import { measureLayers } from "./layer.mjs";

export const title = "Sessions in Redis";
export const nodes = "both";
export const budget = 50;

/** A write takes long to compile. */
const WARM_UP_SECONDS = 2;
const SIDE_BY_SIDE = 16;
/** Commands are counted, not timed: that takes few sessions and requests. */
const COUNTED = { sessions: 100, requests: 200 };
/**
 * Where Sojourn and a peer meet, without the slower form of a peer and without the drop-in, which the memory store has. That
 * leaves time to compile and to repeat the others.
 */
const FRAMEWORKS = ["express", "fastify", "koa"];
const LEFT_OUT = ["@fastify/session, connect-redis"];
const OVER_HTTP = ["express", "fastify"];

function isMeasured(row) {
  const { framework, library } = row;
  const isLeftOut = library.startsWith("sojourn/") || LEFT_OUT.includes(library);
  return usesRedis(row) && FRAMEWORKS.includes(framework) && !isLeftOut && isHere(row);
}

export async function run({ node, missing, rounds = 9, budget: seconds = budget, only, log }) {
  if (missing.includes("Redis")) return { skipped: "Redis is missing." };
  const rows = CONTENDERS.filter((row) => isMeasured(row) && only(row));
  return withRedis(async ({ port, pid }) => {
    const place = { redis: { port } };
    const shared = { node, rounds, log, place, databasePid: pid };
    const inProcess = await measureLayers(rows, {
      ...shared,
      seconds: seconds * 0.4,
      sideBySide: SIDE_BY_SIDE,
      warmUpSeconds: WARM_UP_SECONDS,
    });
    const served = rows.filter(({ framework }) => OVER_HTTP.includes(framework));
    const http = await measureHttp(served, { ...shared, seconds: seconds * 0.6, paths: ["read", "write"] });
    return { ...inProcess, http, commands: await commandsOf(rows, place, node) };
  });
}

/** The commands that the server executes for a request. The commands that a script calls count too. */
async function commandsOf(rows, place, node) {
  const { createClient } = await import("redis");
  const admin = await createClient({ socket: { host: "127.0.0.1", port: place.redis.port } }).connect();
  const commands = {};
  for (const row of rows) {
    const { ask, stop } = await startContender(row, place, { node });
    await ask("seed", { count: COUNTED.sessions });
    commands[row.name] = {};
    for (const path of ["untouched", "read", "write", "sign-in"]) {
      const order = { path, sideBySide: SIDE_BY_SIDE, anonymous: path === "untouched" || path === "sign-in" };
      await ask("round", { ...order, count: COUNTED.requests });
      await admin.configResetStat();
      await ask("round", { ...order, count: COUNTED.requests });
      const stats = (await admin.info("commandstats")).matchAll(/cmdstat_(\S+?):calls=(\d+)/g);
      const calls = Array.from(stats, ([, command, number]) => [command, Number(number) / COUNTED.requests]);
      const sent = calls.filter(([command, each]) => !/config|info|client|hello/.test(command) && each > 0.01);
      commands[row.name][path] = Object.fromEntries(sent.map(([command, each]) => [command, Number(each.toFixed(2))]));
    }
    await stop();
  }
  await admin.close();
  return commands;
}
