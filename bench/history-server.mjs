// One server process of a history, as test/fixtures/history-server.mjs, over express-session or @fastify/session with
// connect-redis: the yardstick of `npm run histories -- --peers`.
// history-server.mjs '{"library": "express-session", "port": 6379}', with an IPC channel, on which it sends its port.
import { once } from "node:events";
import { createServer } from "node:http";
import { setTimeout as pause } from "node:timers/promises";
import fastifyCookie from "@fastify/cookie";
import fastifySession from "@fastify/session";
import { RedisStore } from "connect-redis";
import express from "express";
import expressSession from "express-session";
import fastify from "fastify";
import { createClient } from "redis";

const { library, port } = JSON.parse(process.argv[2]);
const SECRET = "Vd8rWq3kZp0yTn6bJm2xHc9gLs5fAe7uRi4o";
/** The longest time between a handler's read and its change. */
const GAP_MS = 4;

const client = createClient({
  socket: { host: "127.0.0.1", port, connectTimeout: 2000 },
  commandOptions: { timeout: 2000 },
});
client.on("error", () => {});
await client.connect();
const store = new RedisStore({ client, ttl: 86_400 });

/** The routes of both frameworks: they get a session with the methods of both libraries. */
const ROUTES = {
  "/sign-in": async (session, { user }) => {
    const fresh = await session.begin();
    fresh.user = user;
    return { id: fresh.id, user };
  },
  "/revoke": async (_session, { id }) => {
    await store.destroy(id);
    return {};
  },
  "/read": ({ data }) => {
    const { count = 0, items = [], members = {}, entries = {} } = data;
    return { seen: { count, list: items, set: Object.keys(members), map: Object.keys(entries) } };
  },
  "/add": async ({ data }, { container, element }) => {
    await pause(Math.random() * GAP_MS);
    // Not `set`, which is a method of @fastify/session.
    if (container === "list") (data.items ??= []).push(element);
    else if (container === "set") (data.members ??= {})[element] = true;
    else (data.entries ??= {})[element] = true;
    return {};
  },
  "/count": async ({ data }) => {
    await pause(Math.random() * GAP_MS);
    data.count = (data.count ?? 0) + 1;
    return {};
  },
  "/sign-out": async (session) => {
    await session.end();
    return {};
  },
};

/** What a route answers, without the framework: status, headers, and of a read the body. */
async function answer(path, query, session) {
  const isOpen = path === "/sign-in" || path === "/revoke";
  const user = session.data.user;
  if (!isOpen && user === undefined) return { status: 401, headers: {} };
  const { id, user: signedIn = user, seen } = await ROUTES[path](session, query);
  const headers = { ...(id ? { "x-id": id } : {}), ...(signedIn ? { "x-user": signedIn } : {}) };
  return seen ? { status: 200, headers, body: seen } : { status: 303, headers: { ...headers, location: "/read" } };
}

function onExpress() {
  const app = express();
  app.use(expressSession({ secret: SECRET, resave: false, saveUninitialized: false, store }));
  const called = (req, method) =>
    new Promise((done, fail) => req.session[method]((error) => (error ? fail(error) : done())));
  app.use((req, res, next) => {
    const session = {
      data: req.session,
      begin: async () => {
        await called(req, "regenerate");
        return req.session;
      },
      end: () => called(req, "destroy"),
    };
    answer(req.path, req.query, session)
      .then(({ status, headers, body }) => {
        res.set(headers);
        if (body) res.json(body);
        else if (status === 303) res.redirect(303, headers.location);
        else res.sendStatus(status);
      })
      .catch(next);
  });
  app.use((_error, _req, res, _next) => (res.headersSent ? res.destroy() : res.sendStatus(503)));
  return createServer(app);
}

async function onFastify() {
  const app = fastify();
  app.register(fastifyCookie);
  app.register(fastifySession, { secret: SECRET, saveUninitialized: false, cookie: { secure: false }, store });
  app.setErrorHandler((_error, _request, reply) => reply.code(503).send());
  app.all("/*", async (request, reply) => {
    const session = {
      data: request.session,
      begin: async () => {
        await request.session.regenerate();
        Object.defineProperty(request.session, "id", { value: request.session.sessionId, enumerable: false });
        return request.session;
      },
      end: () => request.session.destroy(),
    };
    const { pathname } = new URL(request.url, "http://localhost");
    const { status, headers, body } = await answer(pathname, request.query, session);
    return reply.code(status).headers(headers).send(body);
  });
  await app.ready();
  return createServer(app.routing);
}

const server = library === "express-session" ? onExpress() : await onFastify();
server.listen(0, "127.0.0.1");
await once(server, "listening");
process.send({ port: server.address().port });
process.on("disconnect", () => process.exit());
