// The file store against session-file-store and against the bare file system, in one run.
//
//   npm run build && npm install --prefix bench && node bench/file-store.mjs
//   node bench/file-store.mjs collect 1000000      how long collecting expired sessions holds up the event loop
//
// 1000 sessions in rotation, 171 bytes each, one call at a time. Contenders take turns, round by round, so that what
// else the machine does meets all of them alike; the ratios are of medians over the rounds. The peers are packages of
// bench/package.json.
import { mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { fileStore } from "sojourn/file";

const SESSIONS = 1000;
const ROUNDS = 15;
const DAY = 86_400_000;

const directory = mkdtempSync(join(tmpdir(), "sojourn-bench-"));
try {
  if (process.argv[2] === "collect") await collect(Number(process.argv[3] ?? 100_000));
  else await compare();
} finally {
  rmSync(directory, { recursive: true });
}

async function compare() {
  const contenders = [await sojourn(), await sessionFileStore(), bareFiles()];
  const times = contenders.map(() => ({ read: [], write: [] }));
  for (let round = -1; round < ROUNDS; round += 1) {
    for (const [index, contender] of contenders.entries()) {
      for (const operation of ["read", "write"]) {
        const began = performance.now();
        for (let n = 0; n < SESSIONS; n += 1) await contender[operation](n);
        // The first round warms up.
        if (round >= 0) times[index][operation].push(((performance.now() - began) * 1000) / SESSIONS);
      }
    }
  }
  const [own] = times;
  for (const operation of ["read", "write"]) {
    console.log(`${operation}, µs a call (median of ${ROUNDS} rounds) and against sojourn`);
    for (const [index, { name }] of contenders.entries()) {
      const median = medianOf(times[index][operation]);
      const ratio = median / medianOf(own[operation]);
      console.log(`  ${name.padEnd(48)} ${median.toFixed(1).padStart(8)} ${ratio.toFixed(2).padStart(7)} x`);
    }
  }
}

async function sojourn() {
  const store = fileStore(join(directory, "sojourn"));
  const payload = Buffer.alloc(171, "x");
  const expiresAt = Date.now() + DAY;
  const versions = Array.from({ length: SESSIONS }, () => 1);
  for (const id of versions.keys()) await store.create(`session-${id}`, { payload, version: 1, expiresAt });
  return {
    name: "sojourn fileStore: read; update",
    read: (n) => store.read(`session-${n}`),
    async write(n) {
      const version = versions[n]++;
      const done = await store.update(`session-${n}`, { payload, version: version + 1, expiresAt }, version);
      if (!done) throw new Error("an update was refused");
    },
  };
}

async function sessionFileStore() {
  const peers = createRequire(join(import.meta.dirname, "package.json"));
  const Store = peers("session-file-store")(peers("express-session"));
  const path = join(directory, "session-file-store");
  mkdirSync(path);
  const store = new Store({ path, ttl: DAY / 1000, reapInterval: -1, logFn() {} });
  const cookie = { originalMaxAge: DAY, expires: new Date(Date.now() + DAY).toJSON(), httpOnly: true, path: "/" };
  const data = { cookie, user: "x".repeat(171 - JSON.stringify({ cookie, user: "" }).length) };
  const [get, set] = [promisify(store.get.bind(store)), promisify(store.set.bind(store))];
  for (let n = 0; n < SESSIONS; n += 1) await set(`session-${n}`, data);
  return {
    name: "session-file-store: get; set",
    read: (n) => get(`session-${n}`),
    write: (n) => set(`session-${n}`, data),
  };
}

function bareFiles() {
  const path = join(directory, "bare");
  const data = Buffer.alloc(171, "x");
  mkdirSync(path);
  for (let n = 0; n < SESSIONS; n += 1) writeFileSync(join(path, `${n}`), data);
  return {
    name: "bare: readFileSync; writeFileSync and renameSync",
    read: (n) => readFileSync(join(path, `${n}`)),
    write(n) {
      writeFileSync(join(path, "new"), data);
      renameSync(join(path, "new"), join(path, `${n}`));
    },
  };
}

async function collect(count) {
  let now = Date.now();
  const store = fileStore({ directory: join(directory, "sojourn"), clock: () => now });
  const payload = Buffer.alloc(171, "x");
  const began = performance.now();
  for (let n = 0; n < count; n += 1) {
    // Nine of ten live on.
    const expiresAt = n % 10 === 0 ? now + 1 : now + DAY;
    await store.create(`session-${n}`, { payload, version: 1, expiresAt });
  }
  console.log(`${count} sessions created, ${(((performance.now() - began) * 1000) / count).toFixed(1)} µs each`);
  now += 1;
  await slices("a tenth of them expired: collected", () => store.deleteExpired(count));
  await slices("nothing expired: a round", () => store.deleteExpired(count));
  now += DAY;
  await slices("all the others expired: collected", () => store.deleteExpired(count));
}

/**
 * How long a call takes in all, and the longest it kept the event loop from turning: by the clock on the wall, and by
 * the processor's, which leaves out what other processes took.
 */
async function slices(name, call) {
  const cpu = () => (process.cpuUsage().user + process.cpuUsage().system) / 1000;
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
  const forgotten = await call();
  ended = true;
  turn();
  const took = ((performance.now() - began) / 1000).toFixed(2);
  const { wall, cpu: busy } = longest;
  console.log(
    `${name} ${forgotten} in ${took} s, longest slice ${wall.toFixed(1)} ms (${busy.toFixed(1)} of processor)`,
  );
}

function medianOf(values) {
  return values.toSorted((a, b) => a - b)[values.length >> 1];
}
