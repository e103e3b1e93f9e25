// A million sessions in each server, and ten thousand of one user.
//
//   npx tsx bench/tools/scale.mjs [sessions] [engine] [owned]
//
// Starts throwaway servers, as the tests do, and prints a table for each: microseconds an operation, one after the other
// and 64 side by side (its reciprocal is the rate), and bytes a session.
import { randomBytes } from "node:crypto";
import { createSessions } from "sojourn";
import { openStore } from "sojourn/open";
import { engines } from "../../test/support/engines.ts";
import { sizeOf } from "./size.mjs";

const SESSIONS = Number(process.argv[2] ?? 1_000_000);
const ONLY = process.argv[3] ?? "";
const OWNED = Number(process.argv[4] ?? 10_000);
const EXPIRED = SESSIONS / 10;
const SAMPLE = 5000;
const SIDE_BY_SIDE = 64;
/** About what the sealed record of a session of 171 bytes takes: 243 without a user, 253 with one. */
const PAYLOAD_BYTES = 251;
const DAY = 86_400_000;

for (const { name, isHere, start } of engines) {
  if (!isHere || !name.includes(ONLY)) continue;
  const { url, stop } = await start();
  try {
    await measure(name, url);
  } finally {
    await stop();
  }
}

async function measure(name, url) {
  const store = await openStore(url.replace("?announceChanges=true", ""), { migrate: true });
  const rows = [];
  const note = (what, value, unit) => {
    rows.push([what, value < 100 ? value.toFixed(1) : Math.round(value).toLocaleString("en"), unit]);
    console.error(name, ...rows.at(-1));
  };
  const empty = await sizeOf(url);
  const ids = Array.from({ length: SESSIONS }, () => randomBytes(16).toString("base64url"));
  const stored = (version, index, expiresIn = DAY) => ({
    payload: randomBytes(PAYLOAD_BYTES),
    version,
    expiresAt: Date.now() + expiresIn,
    userId: index % 2 ? `user-${index}` : undefined,
  });

  const filled = await timed(() => each(SIDE_BY_SIDE, ids.length, (n) => store.create(ids[n], stored(1, n))));
  note("create, 64 side by side", (filled * 1000) / SESSIONS, "µs");
  note(
    `bytes a session (half of them owned), at ${SESSIONS.toLocaleString("en")}`,
    ((await sizeOf(url)) - empty) / SESSIONS,
    "B",
  );

  const some = Array.from({ length: SAMPLE }, () => ids[Math.floor(Math.random() * SESSIONS)]);
  const chosen = [...new Set(some)];
  const operations = {
    read: (id) => store.read(id),
    update: async (id) => {
      const { version } = await store.read(id);
      return store.update(id, stored(version + 1, 1), version);
    },
    touch: (id) => store.touch(id, Date.now() + 2 * DAY),
  };
  for (const [operation, act] of Object.entries(operations)) {
    for (const width of [1, SIDE_BY_SIDE]) {
      const ms = await timed(() => each(width, chosen.length, (n) => act(chosen[n])));
      const what = operation === "update" ? "read and update" : operation;
      note(`${what}, ${width === 1 ? "one by one" : `${width} side by side`}`, (ms * 1000) / chosen.length, "µs");
    }
  }

  const sessions = createSessions({ secretKey: randomBytes(32).toString("hex"), store, storeTimeout: "10m" });
  const signIns = await timed(() => each(SIDE_BY_SIDE, OWNED, () => signIn(sessions)));
  note(`sign in, one user, 64 side by side`, (signIns * 1000) / OWNED, "µs");
  let listed;
  const listing = await timed(async () => (listed = await sessions.list("one user")));
  note(`list ${listed.length.toLocaleString("en")} of one user`, listing, "ms");
  const before = await timed(() => each(1, 200, (n) => store.read(chosen[n % chosen.length])));
  let ended;
  const revoking = await timed(async () => (ended = await sessions.revokeAll("one user")));
  note(`revokeAll of ${ended.toLocaleString("en")}`, revoking, "ms");
  if (listed.length !== OWNED || ended !== OWNED) throw new Error(`${OWNED} were signed in`);

  if (store.deleteExpired) {
    const doomed = Array.from({ length: EXPIRED }, () => randomBytes(16).toString("base64url"));
    await each(SIDE_BY_SIDE, EXPIRED, (n) => store.create(doomed[n], stored(1, n, 1000)));
    await new Promise((resolve) => setTimeout(resolve, 1500));
    let readsBeside = 0;
    const collecting = new AbortController();
    const reading = (async () => {
      for (; !collecting.signal.aborted; readsBeside += 1) await store.read(chosen[readsBeside % chosen.length]);
    })();
    let collected = 0;
    const collection = await timed(async () => {
      for (let n = 1; n > 0; collected += n) n = await store.deleteExpired(1000);
    });
    collecting.abort();
    await reading;
    note(`collect ${collected.toLocaleString("en")} expired`, collection, "ms");
    note("a read beside it", (collection * 1000) / readsBeside, "µs");
    note("a read before it", (before * 1000) / 200, "µs");
  }
  await sessions.close();
  await store.close();
  console.log(`\n${name}, ${SESSIONS.toLocaleString("en")} sessions of ${PAYLOAD_BYTES} bytes sealed\n`);
  for (const row of rows) console.log(`| ${row.join(" | ")} |`);
}

async function signIn(sessions) {
  const session = await sessions.open(new Request("https://shop.example/"));
  session.signIn("one user");
  await sessions.commit(session, new Response());
}

async function timed(work) {
  const began = performance.now();
  await work();
  return performance.now() - began;
}

/** Does so many things, `width` at a time. */
async function each(width, count, act) {
  let next = 0;
  await Promise.all(
    Array.from({ length: width }, async () => {
      while (next < count) await act(next++);
    }),
  );
}
