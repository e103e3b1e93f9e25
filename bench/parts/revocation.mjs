// How long after `sessions.revoke` has been acknowledged in one process another process still believes its near cache.
import { setImmediate as turn } from "node:timers/promises";
import { createSessions } from "sojourn";
import { cached } from "sojourn/cached";
import { openStore } from "sojourn/open";
import { SECRET } from "../apps/clients.mjs";
import { machineOf } from "../lib/rounds.mjs";
import { watchOthers } from "../lib/cpu.mjs";
import { startProcess } from "../lib/processes.mjs";
import { quantile } from "../lib/stats.mjs";

export const title = "Revocations and near caches";
export const nodes = "one";

const MOST = 200;
const SECONDS = 15;
const URL = "https://shop.example/";

export async function openSessions(url) {
  const store = cached(await openStore(url, { migrate: true }));
  return { store, sessions: createSessions({ secretKey: SECRET, store }) };
}

export async function run({ node, missing, rounds = MOST }) {
  const { engines } = await import("../../test/support/engines.ts");
  const othersSince = watchOthers();
  const engineRows = engines.filter(({ name, isHere }) => isHere && ["Redis", "PostgreSQL"].includes(name));
  const delays = {};
  for (const { name, start } of engineRows) {
    if (missing.includes(name)) continue;
    const { url, stop } = await start();
    const { store, sessions } = await openSessions(url);
    const reader = await startProcess("cache-reader.mjs", [url], { node });
    const values = [];
    const ends = performance.now() + SECONDS * 1000;
    while (values.length < rounds && performance.now() < ends) {
      const session = await sessions.open(new Request(URL));
      session.signIn("ada");
      const response = await sessions.commit(session, new Response());
      const cookie = response.headers.getSetCookie()[0].split(";", 1)[0];
      await reader.ask("fill", { cookie });
      const gone = reader.ask("watch", { cookie });
      await turn();
      await sessions.revoke(session.id);
      const acknowledged = Date.now();
      values.push(Math.max(0, (await gone) - acknowledged));
    }
    delays[name] = {
      count: values.length,
      median: quantile(values, 0.5),
      p99: quantile(values, 0.99),
      max: Math.max(...values),
    };
    await reader.stop();
    await sessions.close();
    await store.close();
    await stop();
  }
  return { machine: machineOf([othersSince()]), delays };
}
