// Lost updates, sign-outs that a late request undoes, and redirects that show the state before them.
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { CONTENDERS, isBare, isHere, isOwn, usesRedis } from "../contenders.mjs";
import { watchOthers } from "../lib/cpu.mjs";
import { someAtOnce, startContender } from "../lib/processes.mjs";
import { followRedirects } from "../lib/redirects.mjs";
import { machineOf } from "../lib/rounds.mjs";
import { storeIsHere, withDirectory, withPostgres, withRedis } from "../lib/servers.mjs";

export const title = "Lost updates, stale redirects, sign-outs undone";
export const nodes = "one";

const REQUESTS = 200;
const SIGN_OUTS = 50;
const SIGN_OUT_GAP_MS = 60;
const REDIRECTS = 200;
/** Most of their time is that of the slow network. */
const AT_ONCE = 3;

export async function run({ node, missing, only, rounds = REDIRECTS, log }) {
  const othersSince = watchOthers();
  // Data in a cookie are the client's: of parallel responses the last one wins, and a copy outlives every sign-out.
  const isMeasured = (row) =>
    !isBare(row) && !row.isFloor && row.store !== "cookie" && storeIsHere(row, missing) && isHere(row) && only(row);
  const rows = CONTENDERS.filter(isMeasured);
  const outcomes = await withPlaces(rows, async (places) => {
    const measured = new Map();
    await someAtOnce(AT_ONCE, rows, async (row) => {
      const place = placeFor(row, places);
      measured.set(row, await correctnessOf(row, { node, place, redirects: rounds }));
      log(row.name);
    });
    return rows.map((row) => ({ ...nameOf(row), ...measured.get(row) }));
  });
  return { machine: machineOf([othersSince()]), requests: REQUESTS, signOuts: SIGN_OUTS, redirects: rounds, outcomes };
}

const nameOf = ({ name, framework, library, store }) => ({ name, framework, library, store });

/** The servers and the directory that these contenders need. */
function withPlaces(rows, work) {
  const needs = (test) => rows.some(test);
  const withThose = (places) =>
    needs(({ store }) => store === "PostgreSQL")
      ? withPostgres(({ pid: _pid, ...postgres }) => work({ ...places, postgres }))
      : work(places);
  return withDirectory((directory) =>
    needs(usesRedis) ? withRedis(({ port }) => withThose({ directory, redis: { port } })) : withThose({ directory }),
  );
}

function placeFor({ name }, places) {
  const directory = join(places.directory, name.replaceAll(/\W+/g, "-"));
  mkdirSync(directory, { recursive: true });
  return { ...places, directory };
}

async function correctnessOf(row, { node, place, redirects }) {
  const app = await startContender(row, place, { node });
  try {
    const count = REQUESTS;
    const keys = await app.ask("survivors", { path: "add", count });
    const counter = await app.ask("survivors", { path: "count", count });
    const update = isOwn(row) ? await app.ask("survivors", { path: "update", count }) : undefined;
    const resurrected = await app.ask("resurrected", { count: SIGN_OUTS, gap: SIGN_OUT_GAP_MS });
    const stale = row.store === "memory" ? undefined : await followRedirects(row, { node, place, count: redirects });
    return { keys, counter, update, resurrected, stale };
  } finally {
    await app.stop();
  }
}
