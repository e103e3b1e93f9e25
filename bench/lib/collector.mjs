// A store with many sessions, a tenth of them expired, and its collection of them. Filling it goes as fast as can be, past the
// peers' own interface where that is slow.
import { writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { promisify } from "node:util";
import expressSession from "express-session";
import { betterSqlite3, DAY_MS } from "../apps/clients.mjs";
import { DATA } from "../apps/actions.mjs";
import { betterSqlite3SessionStore, sessionFileStore } from "../apps/peers.mjs";
import { obey } from "./orders.mjs";

const BATCH = 500;
const EXPIRED_EACH = 10;
const SIDE_BY_SIDE = 16;
const [subject, directory] = process.argv.slice(2);
const require = createRequire(import.meta.url);

const isExpired = (n) => n % EXPIRED_EACH === 0;
const dataOf = (maxAge) => ({ cookie: { originalMaxAge: maxAge, maxAge }, ...DATA });

/** Sojourn's stores, whose clock is set forward after they were filled. They collect as a request has them do it. */
function own(open) {
  let now = Date.now();
  const storePromise = open(() => now);
  const payload = Buffer.alloc(251, "x");
  return {
    async fill(count) {
      const store = await storePromise;
      let next = 0;
      const worker = async () => {
        for (let n = next++; n < count; n = next++) {
          const expiresAt = now + (isExpired(n) ? 1000 : DAY_MS);
          await store.create(`session-${String(n).padStart(14, "0")}`, { payload, version: 1, expiresAt });
        }
      };
      await Promise.all(Array.from({ length: SIDE_BY_SIDE }, worker));
      now += 2000;
    },
    async collect() {
      const store = await storePromise;
      let collected = 0;
      for (let batch = BATCH; batch === BATCH; collected += batch) batch = await store.deleteExpired(BATCH);
      return collected;
    },
  };
}

const SUBJECTS = {
  "sojourn · memoryStore": () =>
    own(async (clock) => (await import("sojourn/memory")).memoryStore({ maxSessions: 2_000_000, clock })),
  "sojourn · fileStore": () => own(async (clock) => (await import("sojourn/file")).fileStore({ directory, clock })),
  "sojourn · sqliteStore": () =>
    own(async (clock) => (await import("sojourn/sqlite")).sqliteStore(await betterSqlite3(directory), { clock })),

  async memorystore() {
    const { default: memorystore } = await import("memorystore");
    const store = new (memorystore(expressSession))({ max: 2_000_000, checkPeriod: DAY_MS });
    return {
      fill(count) {
        for (let n = 0; n < count; n += 1) store.set(`session-${n}`, dataOf(isExpired(n) ? 1 : DAY_MS), () => {});
      },
      collect: () => store.prune(),
    };
  },

  async "session-file-store"() {
    const store = await sessionFileStore({ directory });
    const helpers = require("session-file-store/lib/session-file-helpers.js");
    return {
      fill(count) {
        for (let n = 0; n < count; n += 1) {
          const lastAccess = Date.now() - (isExpired(n) ? 2 * DAY_MS : 0);
          const text = JSON.stringify({ ...dataOf(DAY_MS), __lastAccess: lastAccess });
          writeFileSync(join(directory, `session-${n}.json`), text);
        }
      },
      collect: () => promisify(helpers.reap)(store.options),
    };
  },

  async "better-sqlite3-session-store"() {
    const store = await betterSqlite3SessionStore({ directory }, expressSession);
    return {
      fill(count) {
        const insert = store.client.prepare("INSERT INTO sessions VALUES (?, ?, ?)");
        store.client.transaction(() => {
          for (let n = 0; n < count; n += 1) {
            const expire = new Date(Date.now() + (isExpired(n) ? -DAY_MS : DAY_MS)).toISOString();
            insert.run(`session-${n}`, JSON.stringify(dataOf(DAY_MS)), expire);
          }
        })();
      },
      collect: () => store.clearExpiredSessions(),
    };
  },
};

const store = await SUBJECTS[subject]();

/**
 * How long the collection takes, and the longest time for which the event loop did not turn: by the clock on the wall, and by
 * this process's CPU, which leaves out the time that other processes took.
 */
async function collect() {
  const cpu = () => {
    const { user, system } = process.cpuUsage();
    return (user + system) / 1000;
  };
  const longest = { wall: 0, cpu: 0 };
  let last = { wall: performance.now(), cpu: cpu() };
  let ended = false;
  const turn = () => {
    const at = { wall: performance.now(), cpu: cpu() };
    for (const clock of ["wall", "cpu"]) longest[clock] = Math.max(longest[clock], at[clock] - last[clock]);
    last = at;
    if (!ended) setImmediate(turn);
  };
  const began = performance.now();
  turn();
  await store.collect();
  ended = true;
  turn();
  const rounded = (ms) => Number(ms.toFixed(1));
  return { ms: rounded(performance.now() - began), stall: rounded(longest.wall), stallCpu: rounded(longest.cpu) };
}

obey({
  async fill({ count }) {
    await store.fill(count);
    // What memorystore keeps for a millisecond expires.
    await new Promise((resolve) => setTimeout(resolve, 10));
  },
  collect,
});
