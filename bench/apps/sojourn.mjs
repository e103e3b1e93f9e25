// Sojourn, on each framework and with each store.
import { randomBytes } from "node:crypto";
import { plain, signedIn, USER_ID } from "./actions.mjs";
import { onExpress, onFastify, onFetch, onHono, onKoa, onNodeHttp } from "./frameworks.mjs";
import { betterSqlite3, DAY_MS, ioRedis, MANY, nodeRedis, pgPool, SECRET } from "./clients.mjs";

const SIDE_BY_SIDE = 16;

const STORES = {
  memory: async () => (await import("sojourn/memory")).memoryStore({ maxSessions: MANY }),
  cookie: async () => (await import("sojourn/cookie")).cookieStore(),
  files: async ({ directory }) => (await import("sojourn/file")).fileStore({ directory }),
  SQLite: async ({ directory }) => (await import("sojourn/sqlite")).sqliteStore(await betterSqlite3(directory)),
  "Redis (node-redis)": async ({ redis }) => (await import("sojourn/redis")).redisStore(await nodeRedis(redis)),
  "Redis (ioredis)": async ({ redis }) => (await import("sojourn/redis")).redisStore(await ioRedis(redis)),
  async PostgreSQL({ postgres }) {
    const { migratePostgres, postgresStore } = await import("sojourn/postgres");
    const pool = await pgPool(postgres);
    await migratePostgres(pool);
    return postgresStore(pool);
  },
};

/** Actions on a session that `sessionOf` finds. */
const actionsOf = (sessionOf) =>
  plain({
    data: (c) => sessionOf(c).data,
    update: (c, key, change) => sessionOf(c).update(key, change),
    signIn(c) {
      const session = sessionOf(c);
      Object.assign(session.data, signedIn());
      session.signIn(USER_ID);
      return "ok";
    },
    signOut(c) {
      sessionOf(c).signOut();
      return "ok";
    },
    more: mergingActions(sessionOf),
  });

/** The ways to change data whose costs differ. */
const mergingActions = (sessionOf) => ({
  "read-container": (c) => sessionOf(c).data.user.roles[0],
  assign(c) {
    const { data } = sessionOf(c);
    data.cart = [{ sku: "tea-0042", count: data.cart[0].count + 1 }];
    return "ok";
  },
  "in-place"(c) {
    sessionOf(c).data.cart[0].count += 1;
    return "ok";
  },
  "update-now"(c) {
    sessionOf(c).update("visits", (visits = 0) => visits + 1);
    return "ok";
  },
  async append(c) {
    await new Promise((resolve) => setImmediate(resolve));
    const { cart } = sessionOf(c).data;
    cart.push({ sku: "tea-0042", count: 1 });
    return "ok";
  },
});

const FRAMEWORKS = {
  express: async (sessions) => {
    const { sessionMiddleware } = await import("sojourn/express");
    return onExpress({
      mount: (app) => app.use(sessionMiddleware(sessions)),
      actions: actionsOf((req) => req.session),
    });
  },
  fastify: async (sessions) => {
    const { sessionPlugin } = await import("sojourn/fastify");
    const actions = actionsOf((request) => request.session);
    return onFastify({ mount: (app) => void app.register(sessionPlugin(sessions)), actions });
  },
  koa: async (sessions) => {
    const { sessionMiddleware } = await import("sojourn/koa");
    return onKoa({ mount: (app) => void app.use(sessionMiddleware(sessions)), actions: actionsOf((c) => c.session) });
  },
  hono: async (sessions) => {
    const { sessionMiddleware } = await import("sojourn/hono");
    return onHono({ mount: (app) => app.use(sessionMiddleware(sessions)), actions: actionsOf((c) => c.var.session) });
  },
  "node:http": async (sessions) => {
    const { withSession } = await import("sojourn/node");
    return onNodeHttp({ wrap: (handler) => withSession(sessions, handler), actions: actionsOf((session) => session) });
  },
  fetch: async (sessions) => {
    const { withSession } = await import("sojourn/fetch");
    return onFetch({ wrap: (handler) => withSession(sessions, handler), actions: actionsOf((session) => session) });
  },
};

/** The entries of the package that a contender needs. Where one is missing, the contender is left out. */
export function entriesOf(framework, store) {
  const entries = { koa: "sojourn/koa" }[framework];
  return [entries, store === "cookie" ? "sojourn/cookie" : undefined].filter(Boolean);
}

export const sojourn = (framework, store) => async (place) => {
  const { createSessions } = await import("sojourn");
  const made = await STORES[store](place);
  const app = await FRAMEWORKS[framework](createSessions({ secretKey: SECRET, store: made }));
  return { ...app, fill: (count) => fill(made, count) };
};

/** As large as a stored session of the bench. */
const PAYLOAD = Buffer.alloc(251, "x");

/** Sessions that only take their place: no request reads them, so their content may be anything. */
async function fill(store, count) {
  const expiresAt = Date.now() + DAY_MS;
  let begun = 0;
  const worker = async () => {
    while (begun < count) {
      begun += 1;
      await store.create(randomBytes(16).toString("base64url"), { payload: PAYLOAD, version: 1, expiresAt });
    }
  };
  await Promise.all(Array.from({ length: SIDE_BY_SIDE }, worker));
}
