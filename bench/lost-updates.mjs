// 200 parallel requests change one session, each 5 ms after it was read: how many of the changes are there afterwards?
//
//   node lost-updates.mjs
import { APPS } from "./apps.mjs";
import { withRedis } from "./redis-server.mjs";
import { isBare, printTable, start, withDirectory } from "./run.mjs";

const REQUESTS = 200;

const rows = [];
for (const name of Object.keys(APPS)) {
  // Without a store, data live in the cookie, and the last response wins.
  if (isBare(name) || name.includes("@hono/session")) continue;
  const somewhere = name.includes("redis") ? withRedis : withDirectory;
  await somewhere(async (place) => {
    const contender = await start(name, { place });
    const keys = await contender.ask("lost", { path: "/add", count: REQUESTS });
    const counted = await contender.ask("lost", { path: "/count", count: REQUESTS });
    const own = name.includes("sojourn");
    const updated = own ? await contender.ask("lost", { path: "/update", count: REQUESTS }) : undefined;
    contender.stop();
    rows.push([name, keys, counted, updated ?? "–"]);
  });
}
console.log(`Of ${REQUESTS} parallel changes to one session, so many are there afterwards\n`);
printTable(["", "a key each", "data.n = n + 1", 'session.update("n", …)'], rows);
