// How costs grow: with processes, with the size of a session, with the number of sessions.
import { contender } from "../contenders.mjs";
import { cpuOf, watchOthers } from "../lib/cpu.mjs";
import { startContender } from "../lib/processes.mjs";
import { machineOf } from "../lib/rounds.mjs";
import { withDirectory, withRedis } from "../lib/servers.mjs";
import { median, summary } from "../lib/stats.mjs";

export const title = "Growth: processes, size, number of sessions";
export const nodes = "one";

const PROCESSES = [1, 2, 4];
const SIZES = [100, 1024, 4096, 16_384, 65_536];
const OWN = "fastify · sojourn · memory";
const OWN_FILES = "fastify · sojourn · files";
const OWN_REDIS = "fastify · sojourn · Redis (node-redis)";
const PEER = "fastify · @fastify/session, not rolling · memory";
const PEER_REDIS = "fastify · @fastify/session, not rolling, connect-redis · Redis (node-redis)";
const BARE = "fastify · bare";
const NUMBERS = [
  [OWN, [1000, 1_000_000]],
  [OWN_FILES, [1000, 10_000]],
  [OWN_REDIS, [1000, 20_000]],
];

const CELL_US = 60_000;
/** The sessions that requests read. The others only take their place. */
const ROTATING = 1000;

export async function run({ node, missing, rounds = 4, only, log }) {
  const othersSince = watchOthers();
  const isWanted = (name) => only(contender(name));
  const measure = (place) =>
    withDirectory(async (directory) => {
      const context = { node, place: { ...place, directory }, rounds };
      const inRedis = place.redis ? [OWN_REDIS, PEER_REDIS] : [];
      const processes = [];
      for (const name of inRedis.filter(isWanted)) processes.push(await growWithProcesses(name, context));
      log("processes");
      const sizes = await growWithSize([OWN, PEER, ...inRedis].filter(isWanted), context);
      log("sizes");
      const numbers = [];
      for (const [name, counts] of NUMBERS.filter(([one]) => isWanted(one))) {
        if (name !== OWN_REDIS || place.redis) numbers.push(await growWithNumber(name, counts, context));
        log(name);
      }
      return { machine: machineOf([othersSince()]), processes, sizes, numbers };
    });
  if (missing.includes("Redis")) return measure({});
  return withRedis(({ port, pid }) => measure({ redis: { port, pid } }));
}

/** Writes a second of all processes together, and the CPU of a request at them and at Redis. */
async function growWithProcesses(name, { node, place, rounds }) {
  const steps = [];
  for (const processes of PROCESSES) {
    const apps = await Promise.all(
      Array.from({ length: processes }, () => startContender(contender(name), place, { node })),
    );
    for (const { ask } of apps) await ask("seed");
    const order = { path: "write", sideBySide: 16, count: 1200 };
    const all = () => Promise.all(apps.map(({ ask }) => ask("round", order)));
    await all();
    const results = [];
    for (let n = 0; n < rounds; n += 1) {
      const before = { redis: cpuOf(place.redis.pid), at: performance.now() };
      const cpu = await all();
      const requests = order.count * processes;
      results.push({
        rate: (requests / (performance.now() - before.at)) * 1000,
        cpu: median(cpu),
        redis: ((cpuOf(place.redis.pid) - before.redis) * 1e6) / requests,
      });
    }
    const of = (what) => summary(results.map((result) => result[what]));
    steps.push({ processes, rate: of("rate"), cpu: of("cpu"), redis: of("redis") });
    await Promise.all(apps.map(({ stop }) => stop()));
  }
  return { name, steps };
}

async function warmUp({ ask }) {
  await ask("seed");
  for (const path of ["read", "write"]) await ask("warmUp", { path, sideBySide: 4 });
}

/** µs of a layer for sessions of each size, in interleaved rounds. */
async function growWithSize(names, { node, place, rounds }) {
  const apps = new Map();
  for (const name of [BARE, ...names]) {
    const app = await startContender(contender(name), place, { node });
    apps.set(name, app);
    if (name === BARE) await app.ask("warmUp", { path: "untouched", anonymous: true });
    else await warmUp(app);
  }
  const growths = names.map((name) => ({ name, steps: [] }));
  for (const bytes of SIZES) {
    for (const name of names) await apps.get(name).ask("seed", { bytes, count: 200 });
    const samples = new Map(names.flatMap((name) => ["read", "write"].map((path) => [`${name}: ${path}`, []])));
    for (let n = -1; n < rounds; n += 1) {
      const bare = await apps.get(BARE).ask("round", { path: "untouched", count: 1000, anonymous: true });
      for (const [key, values] of samples) {
        const [name, path] = key.split(": ");
        const { ask } = apps.get(name);
        const first = await ask("round", { path, count: 20, sideBySide: 4 });
        const count = Math.max(20, Math.min(1000, Math.round(CELL_US / first)));
        const cpu = await ask("round", { path, count, sideBySide: 4 });
        if (n >= 0) values.push(cpu - bare);
      }
    }
    for (const growth of growths) {
      const of = (path) => summary(samples.get(`${growth.name}: ${path}`));
      growth.steps.push({ bytes, read: of("read"), write: of("write") });
    }
  }
  await Promise.all([...apps.values()].map(({ stop }) => stop()));
  return growths;
}

/** µs of a request where so many sessions are in rotation. */
async function growWithNumber(name, counts, { node, place, rounds }) {
  const steps = [];
  for (const full of counts) {
    // A quick look has a hundredth of the sessions.
    const sessions = rounds === 1 ? Math.max(ROTATING, full / 100) : full;
    const app = await startContender(contender(name), place, { node, execArgv: ["--max-old-space-size=6144"] });
    await warmUp(app);
    await app.ask("fill", { count: sessions - ROTATING });
    const of = async (path) => {
      const values = [];
      for (let n = -1; n < rounds; n += 1) {
        const cpu = await app.ask("round", { path, count: 2000, sideBySide: 4 });
        if (n >= 0) values.push(cpu);
      }
      return summary(values);
    };
    steps.push({ sessions, read: await of("read"), write: await of("write") });
    await app.stop();
  }
  return { name, steps };
}
