// What a session layer costs a request over HTTP, on loopback, with keep-alive connections.
//
//   node http.mjs [rounds] [only]
//
// Every contender serves in its own process, and the client is this one. Contenders take turns, round by round. Figures
// are microseconds of the server's CPU time a request, medians over the rounds: on a machine with few cores the rate
// would be the client's as much as the server's.
import { connect } from "node:net";
import { APPS, DATA_BYTES } from "./apps.mjs";
import { isBare, printLayers, start } from "./run.mjs";

const ROUNDS = Number(process.argv[2] ?? 15);
const ONLY = process.argv[3] ?? "";
const COUNT = 400;
const CONNECTIONS = 8;
const WARM_UP = 8;

const inMemory = (name) => !/fileStore|session-file-store|redis|memorystore/.test(name) && !/^(hono|fetch)/.test(name);
const names = Object.keys(APPS).filter((name) => name.includes(ONLY) && inMemory(name));
const contenders = await Promise.all(names.map((name) => start(name)));
const samples = new Map();
for (const contender of contenders) {
  contender.cookies = isBare(contender.name) ? [] : await contender.ask("seed");
  const port = await contender.ask("listen");
  contender.connections = await Promise.all(Array.from({ length: CONNECTIONS }, () => connection(port)));
  samples.set(contender.name, { untouched: [], ...(isBare(contender.name) ? {} : { read: [], write: [] }) });
}
for (let round = -WARM_UP; round < ROUNDS; round += 1) {
  for (const contender of contenders) {
    for (const [path, values] of Object.entries(samples.get(contender.name))) {
      await contender.ask("start");
      await requests(contender, path);
      const used = await contender.ask("stop");
      if (round >= 0) values.push(used / COUNT);
    }
  }
}
for (const { connections, stop } of contenders) {
  for (const { close } of connections) close();
  stop();
}

console.log(`Over HTTP, µs of the server's CPU a request over the bare framework; a session of ${DATA_BYTES} bytes,`);
console.log(`${CONNECTIONS} connections, ${ROUNDS} rounds of ${COUNT} requests\n`);
printLayers(samples, contenders);

/** Every connection asks for its share, one request after the other. */
async function requests({ connections, cookies }, path) {
  await Promise.all(
    connections.map(async ({ get }, first) => {
      for (let n = first; n < COUNT; n += CONNECTIONS) {
        const answer = await get(`/${path}`, path === "untouched" ? undefined : cookies[n % cookies.length]);
        if (!answer.startsWith("HTTP/1.1 200 ")) throw new Error(answer);
      }
    }),
  );
}

/** As little of a client as will do: one request at a time, and responses that say how long they are or are chunked. */
async function connection(port) {
  const socket = connect(port, "127.0.0.1").setNoDelay().setEncoding("latin1");
  let received = "";
  let answered;
  socket.on("data", (chunk) => {
    received += chunk;
    const head = received.indexOf("\r\n\r\n") + 4;
    if (head < 4) return;
    const length = /^content-length: (\d+)/im.exec(received.slice(0, head))?.[1];
    if (length === undefined ? !received.endsWith("0\r\n\r\n") : received.length < head + Number(length)) return;
    const answer = received;
    received = "";
    answered(answer);
  });
  await new Promise((resolve) => socket.once("connect", resolve));
  return {
    get(path, cookie) {
      socket.write(`GET ${path} HTTP/1.1\r\nHost: localhost\r\n${cookie ? `Cookie: ${cookie}\r\n` : ""}\r\n`);
      return new Promise((resolve) => (answered = resolve));
    },
    close: () => socket.destroy(),
  };
}
