// One contender in a process of its own, so that no library meets code that another has made the engine slow down for.
import { createServer } from "node:http";
import { contender } from "../contenders.mjs";
import { obey } from "./orders.mjs";
import { requesterOf } from "./requester.mjs";
import { countAsync } from "./async-counts.mjs";
import { median } from "./stats.mjs";

const SESSIONS = 1000;
/** On Node 24 the cost of a request falls until a path has answered about 14,000. A slow library gets some seconds of CPU instead. */
const WARM_UP = 15_000;
const WARM_UP_SECONDS = 1;
const BATCH = { least: 16, most: 1000 };
const REPETITIONS = 5;

const row = contender(process.argv[2]);
const app = await row.make(JSON.parse(process.argv[3] ?? "{}"));
const { whole, visitor } = requesterOf(app);
const cookies = [];

const cpu = () => {
  const { user, system } = process.cpuUsage();
  return user + system;
};

const turn = () => new Promise((resolve) => setImmediate(resolve));

/** Requests to a path: the session in rotation, or none. The event loop turns before each, as it does in a server. */
async function requests({ path, count, sideBySide = 1, anonymous = false, turns = true }) {
  let begun = 0;
  const visit = async () => {
    const ask = visitor();
    while (begun < count) {
      const cookie = anonymous ? undefined : cookies[begun % cookies.length];
      begun += 1;
      if (turns) await turn();
      const response = await ask(`/${path}`, cookie);
      if (response.status !== 200) throw new Error(`${path} answers ${response.status}`);
    }
  };
  await Promise.all(Array.from({ length: sideBySide }, visit));
}

/** CPU time a request, in microseconds: the CPU that other processes of a busy machine take does not count. */
async function cpuOfRequests(order) {
  const before = cpu();
  await requests(order);
  return (cpu() - before) / order.count;
}

const ORDERS = {
  async seed({ count = row.sessions ?? SESSIONS, bytes } = {}) {
    const path = bytes ? `/seed?bytes=${bytes}` : "/seed";
    cookies.length = 0;
    for (let n = 0; n < count; n += 1) cookies.push((await whole(path)).cookie);
    return cookies.slice(0, SESSIONS);
  },

  /** Puts more sessions into the store, which no request reads. */
  fill: ({ count }) => app.fill(count),

  round: cpuOfRequests,

  /** Lets V8 compile a path. Returns the µs of CPU that a request takes then. */
  async warmUp({ seconds = WARM_UP_SECONDS, ...order }) {
    const most = seconds * 1e6;
    let us;
    let count = BATCH.least;
    for (let done = 0, spent = 0; done < WARM_UP && spent < most;) {
      us = await cpuOfRequests({ ...order, count });
      done += count;
      spent += us * count;
      // A slow library's batches are short enough to see when its time is over.
      count = Math.max(BATCH.least, Math.min(BATCH.most, Math.round(most / 10 / us)));
    }
    return us;
  },

  /** Promises and timers a request, without those of a turn of the event loop: these counts are exact. */
  async counts({ path, count, anonymous }) {
    const order = { path, count, anonymous, turns: false };
    await requests(order);
    return countAsync(() => requests(order), count);
  },

  /** Bytes of heap that a request allocates. The process has a young generation that is not collected meanwhile. */
  async allocated(order) {
    const samples = [];
    for (let n = 0; n < REPETITIONS; n += 1) {
      globalThis.gc();
      const before = process.memoryUsage().heapUsed;
      await requests(order);
      samples.push((process.memoryUsage().heapUsed - before) / order.count);
    }
    return Math.round(median(samples));
  },

  /** So many requests and nothing else; for perf, which counts the instructions of the whole process. */
  async run(order) {
    await requests(order);
  },

  /** Bytes of heap a session, each made by a request of its own. */
  async heap({ count }) {
    const make = async (sessions) => {
      const ask = visitor();
      for (let n = 0; n < sessions; n += 1) await ask("/seed");
    };
    await make(SESSIONS);
    const before = await settledHeap();
    await make(count);
    return ((await settledHeap()) - before) / count;
  },

  /** Of so many parallel changes to one session: how many were acknowledged, and how many are there afterwards. */
  async survivors({ path, count }) {
    const { cookie } = await whole("/seed");
    const responses = Array.from({ length: count }, (_, n) => visitor()(`/${path}?key=k${n}`, cookie));
    const acknowledged = (await Promise.all(responses)).filter(({ status }) => status === 200).length;
    const data = JSON.parse((await whole("/show", cookie)).text);
    const kept = path === "add" ? Object.keys(data).filter((key) => /^k\d+$/.test(key)).length : (data.n ?? 0);
    return { acknowledged, kept };
  },

  /** µs of CPU a request, where so many at once append to one session's array; each must be there afterwards. */
  async appends({ sideBySide, count }) {
    let used = 0;
    for (let done = 0; done < count; done += sideBySide) {
      const { cookie } = await whole("/seed");
      const before = cpu();
      await Promise.all(Array.from({ length: sideBySide }, () => visitor()("/append", cookie)));
      used += cpu() - before;
      const { length } = JSON.parse((await whole("/show", cookie)).text).cart;
      if (length !== sideBySide + 1) throw new Error(`${length} items after ${sideBySide} appends`);
    }
    return used / count;
  },

  /** How many of so many sessions live again after a sign-out, because a request that was under way saved them. */
  async resurrected({ count, gap }) {
    const outcomes = Array.from({ length: count }, async () => {
      const { cookie } = await whole("/seed");
      const late = whole(`/add?key=late&gap=${gap}`, cookie);
      await new Promise((resolve) => setTimeout(resolve, gap / 4));
      await whole("/sign-out", cookie);
      await late;
      const { status, text } = await whole("/show", cookie);
      return status === 200 && /"late"|"visits"/.test(text ?? "");
    });
    return (await Promise.all(outcomes)).filter(Boolean).length;
  },

  async listen() {
    const server = createServer(app.listener);
    server.keepAliveTimeout = 60_000;
    await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
    return server.address().port;
  },

  cpu,
};

/** Requests whose answers need no turn of the event loop are kept until one: a server has a turn for each. */
async function settledHeap() {
  await new Promise((resolve) => setTimeout(resolve, 100));
  for (let n = 0; n < 3; n += 1) globalThis.gc();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

obey(ORDERS);
