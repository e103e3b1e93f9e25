// Every contender, in one table. A row is a framework, a library with a store, and how the application is made.
//
// To add one: write its set-up in apps/peers.mjs, as its own documentation has it, and a row here.
import { hmacFloor } from "./apps/floor.mjs";
import { onExpress, onFastify, onFetch, onH3, onHono, onKoa, onNodeHttp, onRemix } from "./apps/frameworks.mjs";
import * as peers from "./apps/peers.mjs";
import { entriesOf, sojourn } from "./apps/sojourn.mjs";

const NODE_REDIS = "Redis (node-redis)";
const IOREDIS = "Redis (ioredis)";

const bare = (framework, make) => ({ framework, library: "bare", store: "", make });
const own = (framework, store) => ({
  framework,
  library: "sojourn",
  store,
  make: sojourn(framework, store),
  entries: entriesOf(framework, store),
});
const peer = (framework, library, store, make, options) => ({ framework, library, store, make, ...options });

export const CONTENDERS = [
  bare("express", onExpress),
  own("express", "memory"),
  peer("express", "express-session, MemoryStore", "memory", peers.expressSession()),
  peer("express", "express-session, memorystore", "memory", peers.expressSession(peers.memorystore)),
  peer("express", "sojourn/express-session", "memory", peers.dropIn()),
  own("express", "cookie"),
  peer("express", "cookie-session", "cookie", peers.cookieSession),
  own("express", "files"),
  peer("express", "express-session, session-file-store", "files", peers.expressSession(peers.sessionFileStore)),
  own("express", "SQLite"),
  peer(
    "express",
    "express-session, better-sqlite3-session-store",
    "SQLite",
    peers.expressSession(peers.betterSqlite3SessionStore),
  ),
  peer(
    "express",
    "express-session, better-sqlite3-session-store in WAL mode",
    "SQLite",
    peers.expressSession(peers.betterSqlite3SessionStoreWal),
  ),
  own("express", NODE_REDIS),
  own("express", IOREDIS),
  peer("express", "express-session, connect-redis", NODE_REDIS, peers.expressSession(peers.connectRedis)),
  peer("express", "sojourn/express-session, connect-redis", NODE_REDIS, peers.dropIn(peers.connectRedis)),
  peer("express", "sojourn/express-session, redisStore", NODE_REDIS, peers.dropIn(peers.sojournRedis)),
  own("express", "PostgreSQL"),
  peer("express", "express-session, connect-pg-simple", "PostgreSQL", peers.expressSession(peers.connectPgSimple)),

  bare("fastify", onFastify),
  own("fastify", "memory"),
  peer("fastify", "@fastify/session", "memory", peers.fastifySession()),
  peer("fastify", "@fastify/session, not rolling", "memory", peers.fastifySession(undefined, { rolling: false })),
  own("fastify", "cookie"),
  peer("fastify", "@fastify/secure-session", "cookie", peers.secureSession),
  own("fastify", "files"),
  peer("fastify", "@fastify/session, session-file-store", "files", peers.fastifySession(peers.sessionFileStore)),
  own("fastify", NODE_REDIS),
  own("fastify", IOREDIS),
  peer("fastify", "@fastify/session, connect-redis", NODE_REDIS, peers.fastifySession(peers.connectRedis)),
  peer(
    "fastify",
    "@fastify/session, not rolling, connect-redis",
    NODE_REDIS,
    peers.fastifySession(peers.connectRedis, { rolling: false }),
  ),
  own("fastify", "PostgreSQL"),

  bare("koa", onKoa),
  own("koa", "memory"),
  peer("koa", "koa-session, Map", "memory", peers.koaSession(peers.koaMap)),
  own("koa", "cookie"),
  peer("koa", "koa-session", "cookie", peers.koaSession()),
  own("koa", NODE_REDIS),
  peer("koa", "koa-session, adapter of 3 methods", NODE_REDIS, peers.koaSession(peers.koaRedis)),

  bare("hono", onHono),
  own("hono", "memory"),
  peer("hono", "hono-sessions, no key", "memory", peers.honoSessions()),
  peer("hono", "hono-sessions", "memory", peers.honoSessions({ encryptionKey: peers.HONO_KEY })),
  own("hono", "cookie"),
  peer("hono", "@hono/session", "cookie", peers.honoSession),
  own("hono", NODE_REDIS),

  bare("node:http", onNodeHttp),
  own("node:http", "memory"),
  peer("node:http", "floor: one HMAC and a Map", "memory", hmacFloor, { isFloor: true }),
  own("node:http", "cookie"),
  peer("node:http", "iron-session", "cookie", peers.ironSession),
  own("node:http", NODE_REDIS),
  own("node:http", IOREDIS),

  bare("fetch", onFetch),
  own("fetch", "memory"),

  bare("h3", onH3),
  // A session takes it so long that a thousand would take half of the time of a part.
  peer("h3", "useSession", "cookie", peers.h3Session, { sessions: 100 }),

  bare("remix", onRemix),
  peer("remix", "@remix-run/session", "memory", peers.remixSession(peers.remixMemory)),
  peer("remix", "@remix-run/session, session-storage-redis", NODE_REDIS, peers.remixSession(peers.remixRedis)),
].map((row) => ({ ...row, name: nameOf(row) }));

function nameOf({ framework, library, store }) {
  return [framework, library, store].filter(Boolean).join(" · ");
}

export const isBare = ({ library }) => library === "bare";
export const isOwn = ({ library }) => library === "sojourn";
export const usesRedis = ({ store }) => store.startsWith("Redis");

/** The bare application that a contender is compared with. */
export const bareOf = ({ framework }) => CONTENDERS.find((one) => isBare(one) && one.framework === framework);
export const contender = (name) => CONTENDERS.find((one) => one.name === name);

/** These contenders with the bare applications that they are compared with, in the order of the table. */
export const withBare = (rows) =>
  CONTENDERS.filter((row) => rows.includes(row) || rows.some((one) => bareOf(one) === row));

/** Whether the package has all entries that a contender needs. */
export function isHere({ entries = [] }) {
  try {
    return entries.every((entry) => import.meta.resolve(entry));
  } catch {
    return false;
  }
}
