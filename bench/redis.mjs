// What a session layer costs a request when its sessions are in Redis, over the bare framework, without HTTP.
//
//   node redis.mjs [rounds] [only]
//
// Contenders take turns, round by round, on one Redis server, each with 16 requests under way, as a server has them.
// Figures are microseconds of the application's CPU time, medians over the rounds; what the server spends, and how many
// commands it is sent, beside them.
import { createClient } from "redis";
import { APPS, DATA_BYTES } from "./apps.mjs";
import { withRedis } from "./redis-server.mjs";
import { isBare, median, printLayers, printTable, start, us } from "./run.mjs";

const ROUNDS = Number(process.argv[2] ?? 15);
const ONLY = process.argv[3] ?? "";
const COUNT = 1000;
const SIDE_BY_SIDE = 16;
const WARM_UP = 5;

const names = Object.keys(APPS).filter(
  (name) => name.includes(ONLY) && (/redis/.test(name) || /^(express|fastify|node:http) bare/.test(name)),
);

await withRedis(async (port) => {
  const admin = createClient({ socket: { host: "127.0.0.1", port: Number(port) } });
  await admin.connect();
  const contenders = await Promise.all(names.map((name) => start(name, { place: port })));
  const samples = new Map(
    names.map((name) => [name, { untouched: [], ...(isBare(name) ? {} : { read: [], write: [] }) }]),
  );
  const server = new Map();
  for (const { name, ask } of contenders) if (!isBare(name)) await ask("seed");
  for (let round = -WARM_UP; round < ROUNDS; round += 1) {
    for (const { name, ask } of contenders) {
      for (const [path, values] of Object.entries(samples.get(name))) {
        await admin.configResetStat();
        const value = await ask("round", { path, count: COUNT, sideBySide: SIDE_BY_SIDE });
        if (round < 0) continue;
        values.push(value);
        const key = `${name}: ${path}`;
        if (!isBare(name)) server.set(key, [...(server.get(key) ?? []), await spent(admin)]);
      }
    }
  }
  for (const { stop } of contenders) stop();

  console.log(`Sessions of ${DATA_BYTES} bytes in Redis, µs of the application's CPU a request, ${ROUNDS} rounds\n`);
  printLayers(samples, contenders, "sojourn redisStore");
  printTable(
    ["at the server, a request", "µs", "commands"],
    [...server].map(([key, values]) => [
      key,
      us(median(values.map(({ time }) => time))),
      [...values[0].commands].map(([command, calls]) => `${command} ${calls}`).join(", "),
    ]),
  );
  await admin.close();
});

/** What the server has done since its statistics were reset, for each request. What a script calls counts too. */
async function spent(admin) {
  const commands = new Map();
  let time = 0;
  for (const [, command, calls, usec] of (await admin.info("commandstats")).matchAll(
    /cmdstat_(\S+?):calls=(\d+),usec=(\d+)/g,
  )) {
    if (/config|info|client|hello/.test(command)) continue;
    commands.set(command, (Number(calls) / COUNT).toFixed(2));
    time += Number(usec);
  }
  return { time: time / COUNT, commands };
}
