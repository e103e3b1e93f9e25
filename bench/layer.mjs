// What a session layer costs a request, over the bare framework, in process: no sockets, no HTTP parser.
//
//   node layer.mjs [rounds] [only]
//
// Every contender runs in its own process; they take turns, round by round, so that what else the machine does meets
// all of them alike. Figures are microseconds of CPU time, medians over the rounds.
import { createHmac, createSecretKey, randomBytes, timingSafeEqual } from "node:crypto";
import { APPS, DATA, DATA_BYTES } from "./apps.mjs";
import { isBare, median, printLayers, printTable, start, us } from "./run.mjs";

const ROUNDS = Number(process.argv[2] ?? 25);
const ONLY = process.argv[3] ?? "";
const COUNT = 1000;
const WARM_UP = 8;

const names = Object.keys(APPS).filter(
  (name) => name.includes(ONLY) && !/file|redis|memorystore/i.test(name.replace("express-session MemoryStore", "")),
);
const contenders = await Promise.all(names.map((name) => start(name)));
for (const { name, ask } of contenders) if (!isBare(name)) await ask("seed");

const samples = new Map(
  names.map((name) => [name, { untouched: [], ...(isBare(name) ? {} : { read: [], write: [] }) }]),
);
const floor = { "HMAC-SHA256 with a KeyObject, and timingSafeEqual": hmac, "JSON.parse and JSON.stringify": json };
const floors = new Map(Object.keys(floor).map((name) => [name, []]));
for (let round = -WARM_UP; round < ROUNDS; round += 1) {
  for (const { name, ask } of contenders) {
    for (const [path, values] of Object.entries(samples.get(name))) {
      const value = await ask("round", { path, count: COUNT });
      if (round >= 0) values.push(value);
    }
  }
  for (const [name, work] of Object.entries(floor)) {
    const before = process.cpuUsage();
    for (let n = 0; n < 10 * COUNT; n += 1) work();
    const { user, system } = process.cpuUsage(before);
    if (round >= 0) floors.get(name).push((user + system) / (10 * COUNT));
  }
}
for (const { stop } of contenders) stop();

console.log(
  `In process, µs of CPU a request over the bare framework; a session of ${DATA_BYTES} bytes, ${ROUNDS} rounds\n`,
);
printLayers(samples, contenders);
printTable(
  ["floor", "µs"],
  [...floors].map(([name, values]) => [name, us(median(values))]),
);

function hmac() {
  hmac.key ??= createSecretKey(randomBytes(32));
  hmac.text ??= randomBytes(33).toString("base64url");
  const signature = () => createHmac("sha256", hmac.key).update(hmac.text).digest("base64url");
  hmac.expected ??= Buffer.from(signature());
  return timingSafeEqual(Buffer.from(signature()), hmac.expected);
}

function json() {
  json.text ??= JSON.stringify(DATA);
  return JSON.stringify(JSON.parse(json.text));
}
