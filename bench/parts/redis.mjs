// Sessions in Redis: the layer in process with 16 requests under way, what the server does for each, and the layer over HTTP.
import { CONTENDERS, isHere, usesRedis } from "../contenders.mjs";
import { startContender } from "../lib/processes.mjs";
import { withRedis } from "../lib/servers.mjs";
import { measureHttp } from "./http.mjs";
import { measureLayers } from "./layer.mjs";

export const title = "Sessions in Redis";
export const nodes = "both";
export const budget = 45;

/** Less than without a server: every contender has several paths, which share most of their code. */
const WARM_UP_SECONDS = 0.7;
const SIDE_BY_SIDE = 16;
const COUNT = 1000;
const OVER_HTTP = ["express", "fastify"];

export async function run({ node, missing, rounds = 9, budget: seconds = budget, only, log }) {
  if (missing.includes("Redis")) return { skipped: "Redis is missing." };
  const rows = CONTENDERS.filter((row) => usesRedis(row) && isHere(row) && only(row));
  return withRedis(async ({ port, pid }) => {
    const place = { redis: { port } };
    const shared = { node, rounds, log, place, databasePid: pid };
    const inProcess = await measureLayers(rows, {
      ...shared,
      seconds: seconds * 0.6,
      sideBySide: SIDE_BY_SIDE,
      warmUpSeconds: WARM_UP_SECONDS,
    });
    const served = rows.filter(({ framework }) => OVER_HTTP.includes(framework));
    const http = await measureHttp(served, { ...shared, seconds: seconds * 0.4, paths: ["read", "write"] });
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
    await ask("seed");
    commands[row.name] = {};
    for (const path of ["untouched", "read", "write", "sign-in"]) {
      const order = { path, sideBySide: SIDE_BY_SIDE, anonymous: path === "untouched" || path === "sign-in" };
      await ask("round", { ...order, count: COUNT });
      await admin.configResetStat();
      await ask("round", { ...order, count: COUNT });
      const stats = (await admin.info("commandstats")).matchAll(/cmdstat_(\S+?):calls=(\d+)/g);
      const calls = Array.from(stats, ([, command, number]) => [command, Number(number) / COUNT]);
      const sent = calls.filter(([command, each]) => !/config|info|client|hello/.test(command) && each > 0.01);
      commands[row.name][path] = Object.fromEntries(sent.map(([command, each]) => [command, Number(each.toFixed(2))]));
    }
    await stop();
  }
  await admin.close();
  return commands;
}
