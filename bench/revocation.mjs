// How long after sessions.revoke has been acknowledged in one process another process still believes its near cache.
//
//   npx tsx bench/revocation.mjs [revocations]
import { fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { createSessions } from "sojourn";
import { cached } from "sojourn/cached";
import { openStore } from "sojourn/open";
import { median, printTable } from "./run.mjs";

const SECRET = "Vd8rWq3kZp0yTn6bJm2xHc9gLs5fAe7uRi4o";
const COUNT = Number(process.argv[2] ?? 300);

const open = async (url) => {
  const store = cached(await openStore(url, { migrate: true }));
  return { store, sessions: createSessions({ secretKey: SECRET, store }) };
};
const requestWith = (cookie) => new Request("https://shop.example/", { headers: { cookie } });
const userAt = async (sessions, cookie) => (await sessions.open(requestWith(cookie))).userId;

if (process.send) {
  const { sessions } = await open(process.argv[2]);
  const watch = async (cookie) => {
    // Reads until it is in the cache, says so, and then until it is gone, with a turn of the event loop between reads.
    for (let reads = 0; reads < 5; reads += 1) await userAt(sessions, cookie);
    process.send({ ready: true });
    while ((await userAt(sessions, cookie)) !== undefined) await new Promise((resolve) => setImmediate(resolve));
    process.send({ gone: Date.now() });
  };
  process.on("message", (cookie) => void watch(cookie));
  process.on("disconnect", () => process.exit());
  process.send({ ready: true });
} else {
  const { engines } = await import("../test/support/engines.ts");
  const rows = [];
  for (const { name, isHere, start } of engines) {
    if (!isHere || !/Redis|PostgreSQL/.test(name)) continue;
    const { url, stop } = await start();
    const { store, sessions } = await open(url);
    const child = fork(fileURLToPath(import.meta.url), [url]);
    await once(child, "message");
    const times = [];
    for (let n = 0; n < COUNT; n += 1) {
      const session = await sessions.open(new Request("https://shop.example/"));
      session.signIn("ada");
      const response = await sessions.commit(session, new Response());
      child.send(response.headers.getSetCookie()[0].split(";", 1)[0]);
      await once(child, "message");
      const gone = once(child, "message");
      await sessions.revoke(session.id);
      const acknowledged = Date.now();
      const [told] = await gone;
      times.push(Math.max(0, told.gone - acknowledged));
    }
    times.sort((a, b) => a - b);
    rows.push([name, median(times).toFixed(1), times[Math.floor(COUNT * 0.99)].toFixed(1), times.at(-1).toFixed(1)]);
    child.disconnect();
    await sessions.close();
    await store.close();
    await stop();
  }
  console.log(`Milliseconds from an acknowledged revocation until another process's near cache knows, ${COUNT} each\n`);
  printTable(["", "median", "99 %", "longest"], rows);
  process.exit();
}
