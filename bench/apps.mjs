// The same small application for every contender: bare, with Sojourn, and with each peer, on each framework.
//
//   /untouched   never looks at the session        /add?key   reads, waits 5 ms, adds a key of its own
//   /read        reads one value                   /count     reads, waits 5 ms, adds one to a counter
//   /write       changes one value                 /update    the same by Sojourn's session.update
//   /seed        makes a session of 171 bytes      /show      the session as JSON
import { setTimeout as sleep } from "node:timers/promises";
import fastifyCookie from "@fastify/cookie";
import fastifySession from "@fastify/session";
import { useSession } from "@hono/session";
import { RedisStore } from "connect-redis";
import express from "express";
import expressSession from "express-session";
import fastify from "fastify";
import { Hono } from "hono";
import { Redis } from "ioredis";
import memorystore from "memorystore";
import { createClient } from "redis";
import sessionFileStore from "session-file-store";
import { createSessions } from "sojourn";
import { sessionMiddleware as onExpress } from "sojourn/express";
import { sessionPlugin as onFastify } from "sojourn/fastify";
import { withSession as onFetch } from "sojourn/fetch";
import { fileStore } from "sojourn/file";
import { sessionMiddleware as onHono } from "sojourn/hono";
import { memoryStore } from "sojourn/memory";
import { withSession as onNode } from "sojourn/node";
import { redisStore } from "sojourn/redis";

export const DATA = {
  user: { id: "8f14e45fceea167a", name: "Ada Lovelace", roles: ["editor"] },
  cart: [{ sku: "tea-0042", count: 2 }],
  locale: "en-GB",
  theme: "d",
  seenAt: 1790,
  visits: 10000,
};
export const DATA_BYTES = JSON.stringify(DATA).length;

const GAP_MS = 5;
const SECRET = "Vd8rWq3kZp0yTn6bJm2xHc9gLs5fAe7uRi4o";
const MANY = 2_000_000;

/** What a handler does with `data`, which any library gives as a plain object; the text of the response. */
async function handle(path, key, data, session) {
  switch (path) {
    case "/add":
      void data.visits;
      await sleep(GAP_MS);
      data[key] = true;
      return "ok";
    case "/count": {
      const { n = 0 } = data;
      await sleep(GAP_MS);
      data.n = n + 1;
      return "ok";
    }
    case "/update":
      await sleep(GAP_MS);
      session.update("n", (n = 0) => n + 1);
      return "ok";
    case "/show":
      return JSON.stringify(data);
    case "/seed":
      Object.assign(data, structuredClone(DATA));
      return "ok";
    default:
      throw new Error(`no route ${path}`);
  }
}
const SLOW = ["/add", "/count", "/update", "/show", "/seed"];

const sojournSessions = (store = memoryStore({ maxSessions: MANY })) => createSessions({ secretKey: SECRET, store });

async function nodeRedis(port) {
  const client = createClient({ socket: { host: "127.0.0.1", port: Number(port) } });
  client.on("error", (error) => console.error(error));
  return client.connect();
}
const ioRedis = (port) => new Redis(Number(port), "127.0.0.1");

/** Routes are the framework's own; `mount` puts the library before them, `dataOf` finds its data. */
async function expressApp(mount, dataOf) {
  const app = express();
  mount?.(app);
  app.get("/untouched", (_req, res) => res.send("ok"));
  if (dataOf) {
    app.get("/read", (req, res) => res.send(dataOf(req).user.name));
    app.get("/write", (req, res) => {
      dataOf(req).visits += 1;
      res.send("ok");
    });
    for (const path of SLOW) {
      app.get(path, (req, res, next) => {
        handle(path, req.query.key, dataOf(req), req.session).then((text) => res.send(text), next);
      });
    }
  }
  return { listener: app };
}

async function fastifyApp(mount, dataOf) {
  const app = fastify();
  mount?.(app);
  app.get("/untouched", (_request, reply) => void reply.send("ok"));
  if (dataOf) {
    app.get("/read", (request, reply) => void reply.send(dataOf(request).user.name));
    app.get("/write", (request, reply) => {
      dataOf(request).visits += 1;
      reply.send("ok");
    });
    for (const path of SLOW) {
      app.get(path, (request) => handle(path, request.query.key, dataOf(request), request.session));
    }
  }
  await app.ready();
  return { listener: app.routing };
}

const PLAIN = { "content-type": "text/plain" };

function route(session, data, url, answer) {
  const [path, query] = url.split("?");
  switch (path) {
    case "/untouched":
      return answer("ok");
    case "/read":
      return answer(data().user.name);
    case "/write":
      data().visits += 1;
      return answer("ok");
    default:
      return handle(path, query?.slice("key=".length), data(), session).then(answer);
  }
}

const nodeListener = (req, res, session) =>
  route(
    session,
    () => session.data,
    req.url,
    (text) => void res.writeHead(200, PLAIN).end(text),
  );

const fetchHandler = (request, session) =>
  route(
    session,
    () => session.data,
    request.url.slice(request.url.indexOf("/", 8)),
    (text) => new Response(text, { headers: PLAIN }),
  );

function honoApp(mount, dataOf) {
  const app = new Hono();
  mount?.(app);
  app.get("/untouched", (c) => c.text("ok"));
  if (dataOf) {
    app.get("/read", (c) => c.text(dataOf(c).user.name));
    app.get("/write", (c) => {
      dataOf(c).visits += 1;
      return c.text("ok");
    });
    for (const path of SLOW) {
      app.get(path, async (c) => c.text(await handle(path, c.req.query("key"), dataOf(c), c.var.session)));
    }
  }
  return { fetch: app.fetch };
}

/** A sealed cookie and nothing on the server: its data come and go by asynchronous calls. */
function honoSession() {
  const app = new Hono();
  app.use(useSession({ secret: SECRET.slice(0, 32), duration: { absolute: 86_400 } }));
  app.get("/untouched", (c) => c.text("ok"));
  app.get("/read", async (c) => c.text((await c.var.session.get()).user.name));
  app.get("/write", async (c) => {
    await c.var.session.update((data) => ({ ...data, visits: data.visits + 1 }));
    return c.text("ok");
  });
  app.get("/seed", async (c) => {
    await c.var.session.update(DATA);
    return c.text("ok");
  });
  return { fetch: app.fetch };
}

const expressSessionApp = (store) =>
  expressApp(
    (app) =>
      app.use(
        expressSession({
          secret: SECRET,
          resave: false,
          saveUninitialized: false,
          cookie: { maxAge: 86_400_000 },
          store,
        }),
      ),
    (req) => req.session,
  );

const fastifySessionApp = (options) =>
  fastifyApp(
    (app) => {
      app.register(fastifyCookie);
      const cookie = { secure: false, maxAge: 86_400_000 };
      app.register(fastifySession, { secret: SECRET, saveUninitialized: false, cookie, ...options });
    },
    (request) => request.session,
  );

const filesOf = (path) =>
  new (sessionFileStore(expressSession))({ path, ttl: 86_400, reapInterval: -1, logFn() {}, retries: 0 });

const sojournOnExpress = (store) =>
  expressApp(
    (app) => app.use(onExpress(sojournSessions(store))),
    (req) => req.session.data,
  );

const sojournOnFastify = (store) =>
  fastifyApp(
    (app) => app.register(onFastify(sojournSessions(store))),
    (request) => request.session.data,
  );

const connectRedis = async (port) => new RedisStore({ client: await nodeRedis(port), ttl: 86_400 });

/** Each makes its application; those with a file store are given a directory of their own, those with Redis its port. */
export const APPS = {
  "express bare": () => expressApp(),
  "express, sojourn": () => sojournOnExpress(),
  "express, express-session MemoryStore": () => expressSessionApp(),
  "express, express-session memorystore": () =>
    expressSessionApp(new (memorystore(expressSession))({ max: MANY, checkPeriod: 0 })),
  "express, sojourn fileStore": (directory) => sojournOnExpress(fileStore({ directory })),
  "express, express-session session-file-store": (directory) => expressSessionApp(filesOf(directory)),

  "express, sojourn redisStore": async (port) => sojournOnExpress(redisStore(await nodeRedis(port))),
  "express, sojourn redisStore, ioredis": (port) => sojournOnExpress(redisStore(ioRedis(port))),
  "express, express-session connect-redis": async (port) => expressSessionApp(await connectRedis(port)),

  "fastify bare": () => fastifyApp(),
  "fastify, sojourn": () => sojournOnFastify(),
  "fastify, @fastify/session": () => fastifySessionApp({}),
  "fastify, @fastify/session, not rolling": () => fastifySessionApp({ rolling: false }),
  "fastify, sojourn fileStore": (directory) => sojournOnFastify(fileStore({ directory })),
  "fastify, @fastify/session session-file-store": (directory) => fastifySessionApp({ store: filesOf(directory) }),

  "fastify, sojourn redisStore": async (port) => sojournOnFastify(redisStore(await nodeRedis(port))),
  "fastify, sojourn redisStore, ioredis": (port) => sojournOnFastify(redisStore(ioRedis(port))),
  "fastify, @fastify/session connect-redis": async (port) => fastifySessionApp({ store: await connectRedis(port) }),
  "fastify, @fastify/session connect-redis, not rolling": async (port) =>
    fastifySessionApp({ store: await connectRedis(port), rolling: false }),

  "hono bare": () => honoApp(),
  "hono, sojourn": () =>
    honoApp(
      (app) => app.use(onHono(sojournSessions())),
      (c) => c.var.session.data,
    ),
  "hono, @hono/session": () => honoSession(),

  "node:http bare": () => ({ listener: nodeListener }),
  "node:http, sojourn redisStore": async (port) => ({
    listener: onNode(sojournSessions(redisStore(await nodeRedis(port))), nodeListener),
  }),
  "node:http, sojourn redisStore, ioredis": (port) => ({
    listener: onNode(sojournSessions(redisStore(ioRedis(port))), nodeListener),
  }),
  "node:http, sojourn": () => ({ listener: onNode(sojournSessions(), nodeListener) }),

  "fetch bare": () => ({ fetch: fetchHandler }),
  "fetch, sojourn": () => ({ fetch: onFetch(sojournSessions(), fetchHandler) }),
};
