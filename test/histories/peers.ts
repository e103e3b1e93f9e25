import { existsSync } from "node:fs";
import { REDIS_SERVER } from "../support/redis.ts";
import { startProxiedRedis, type HistoryEngine } from "./engines.ts";

// The yardstick: the same clients, faults and checker, over libraries of which the mistakes are known.

const SERVER = new URL("../../bench/history-server.mjs", import.meta.url);
const INSTALLED = existsSync(new URL("../../bench/node_modules", import.meta.url));

export const peers: readonly HistoryEngine[] = ["express-session", "@fastify/session"].map((library) => ({
  name: library,
  isHere: REDIS_SERVER !== "" && INSTALLED,
  promises: {},
  knowsUsers: false,
  start: () => startProxiedRedis((port) => ({ file: SERVER, config: { library, port } })),
}));
