// The raw primitives, in µs of this process's CPU.
import { createCipheriv, createHash, createHmac, createSecretKey, randomBytes, timingSafeEqual } from "node:crypto";
import { DATA } from "../apps/actions.mjs";
import { ioRedis, nodeRedis } from "../apps/clients.mjs";
import { obey } from "./orders.mjs";

const SIDE_BY_SIDE = 16;
const { redis } = JSON.parse(process.argv[2]);

const key = createSecretKey(randomBytes(32));
const text = JSON.stringify(DATA);
const id = randomBytes(16).toString("base64url");
const hmac = () => createHmac("sha256", key).update(id).digest("base64url");
const signature = Buffer.from(hmac());

const PRIMITIVES = {
  "HMAC-SHA256 with a KeyObject, and timingSafeEqual": {
    act: () => void timingSafeEqual(Buffer.from(hmac()), signature),
  },
  "SHA-256 of 43 characters": { act: () => void createHash("sha256").update(`${id}${id}`.slice(0, 43)).digest() },
  "AES-256-GCM of the session": {
    act() {
      const cipher = createCipheriv("aes-256-gcm", key, randomBytes(12));
      cipher.update(text, "utf8");
      cipher.final();
      cipher.getAuthTag();
    },
  },
  "JSON.parse of the session": { act: () => void JSON.parse(text) },
  "JSON.stringify of the session": { act: () => void JSON.stringify(DATA) },
  "randomBytes(16)": { act: () => void randomBytes(16) },
};

if (redis) {
  const [node, io] = [await nodeRedis(redis), await ioRedis(redis)];
  await node.set("floor", text);
  const count = 2000;
  Object.assign(PRIMITIVES, {
    "node-redis: GET": { count, act: () => node.get("floor") },
    "node-redis: GET, then SET": {
      count,
      act: () => node.get("floor").then(() => node.set("floor", text, { PX: 86_400_000 })),
    },
    "ioredis: GET": { count, act: () => io.get("floor") },
    "ioredis: GET, then SET": { count, act: () => io.get("floor").then(() => io.set("floor", text, "PX", 86_400_000)) },
  });
}

async function measure({ name }) {
  const { act, count = 20_000 } = PRIMITIVES[name];
  const before = process.cpuUsage();
  if (act()?.then) await sideBySide(act, count);
  else for (let n = 0; n < count; n += 1) act();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / count;
}

async function sideBySide(act, count) {
  let begun = 0;
  const worker = async () => {
    for (; begun < count; begun += 1) await act();
  };
  await Promise.all(Array.from({ length: SIDE_BY_SIDE }, worker));
}

obey({ names: () => Object.keys(PRIMITIVES), measure });
