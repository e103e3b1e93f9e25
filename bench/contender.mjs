// One contender in a process of its own, so that no library meets code that another has made the engine slow down for.
// The parent sends one order at a time and gets one answer.
import { createServer, IncomingMessage, ServerResponse } from "node:http";
import { Writable } from "node:stream";
import { APPS } from "./apps.mjs";

const SESSIONS = 1000;

const { listener, fetch } = await APPS[process.argv[2]](process.argv[3]);
const request = listener ? throughNode : throughFetch;
const cookies = [];

/** A socket that sends nothing anywhere, or to `keep`. */
function nowhere(keep) {
  const socket = new Writable({
    decodeStrings: false,
    write(chunk, _encoding, done) {
      keep?.(String(chunk));
      done();
    },
  });
  return Object.assign(socket, { remoteAddress: "127.0.0.1" });
}

/** A request as the HTTP parser would make it, without a socket or a parser. */
function throughNode(path, cookie, socket = nowhere()) {
  const req = new IncomingMessage(socket);
  req.method = "GET";
  req.url = path;
  req.httpVersionMajor = req.httpVersionMinor = 1;
  req.httpVersion = "1.1";
  req.headers = { host: "localhost", connection: "keep-alive" };
  if (cookie) req.headers.cookie = cookie;
  req.push(null);
  const res = new ServerResponse(req);
  res.assignSocket(socket);
  return new Promise((resolve) => {
    res.on("finish", () => {
      res.detachSocket(socket);
      resolve({ status: res.statusCode });
    });
    listener(req, res);
  });
}

function throughFetch(path, cookie) {
  return fetch(new Request(`http://localhost${path}`, cookie ? { headers: { cookie } } : undefined));
}

/** The cookie and the text of a response: what a round need not look at. */
async function whole(path, cookie) {
  if (fetch) {
    const response = await request(path, cookie);
    return { cookie: response.headers.getSetCookie()[0]?.split(";", 1)[0], text: await response.text() };
  }
  let text = "";
  await request(
    path,
    cookie,
    nowhere((chunk) => (text += chunk)),
  );
  return { cookie: /^set-cookie: ([^;\r]+)/im.exec(text)?.[1], text: /\{.*\}/s.exec(text)?.[0] };
}

/** CPU time a request, in microseconds: what the other processes of a busy machine take does not count. */
async function round({ path, count, sideBySide = 1 }) {
  const before = process.cpuUsage();
  let begun = 0;
  const visitor = async () => {
    const socket = nowhere();
    while (begun < count) {
      const cookie = path === "untouched" ? undefined : cookies[begun % SESSIONS];
      begun += 1;
      const response = await request(`/${path}`, cookie, socket);
      if (response.status !== 200) throw new Error(`${path} failed`);
    }
  };
  await Promise.all(Array.from({ length: sideBySide }, visitor));
  const { user, system } = process.cpuUsage(before);
  return (user + system) / count;
}

async function seed({ count = SESSIONS } = {}) {
  for (let n = 0; n < count; n += 1) cookies.push((await whole("/seed")).cookie);
  return cookies;
}

async function heap({ count }) {
  const make = async (sessions) => {
    for (let n = 0; n < sessions; n += 1) await request("/seed");
  };
  await make(SESSIONS);
  const before = settledHeap();
  await make(count);
  return (settledHeap() - before) / count;
}

function settledHeap() {
  for (let n = 0; n < 3; n += 1) globalThis.gc();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

/** How many of so many parallel changes to one session are there afterwards. */
async function lost({ path, count }) {
  const { cookie } = await whole("/seed");
  await Promise.all(Array.from({ length: count }, (_, n) => request(`${path}?key=k${n}`, cookie, nowhere())));
  const data = JSON.parse((await whole("/show", cookie)).text);
  return path === "/add" ? Object.keys(data).filter((key) => /^k\d+$/.test(key)).length : (data.n ?? 0);
}

async function listen() {
  const server = createServer(listener);
  server.keepAliveTimeout = 60_000;
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return server.address().port;
}

let began;
const start = () => void (began = process.cpuUsage());

function stop() {
  const { user, system } = process.cpuUsage(began);
  return user + system;
}

const ORDERS = { seed, round, heap, lost, listen, start, stop };

async function obey({ order, ...rest }) {
  try {
    process.send({ answer: await ORDERS[order](rest) });
  } catch (error) {
    process.send({ error: error.stack });
  }
}

process.on("message", (message) => void obey(message));
process.on("disconnect", () => process.exit());
process.send({ answer: "ready" });
