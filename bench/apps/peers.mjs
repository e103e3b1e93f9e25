// The peers, each set up as its own documentation does, with a session of one day.
import { keyed, loaded, plain, signedIn } from "./actions.mjs";
import { betterSqlite3, DAY_MS, DAY_S, MANY, nodeRedis, pgPool, SECRET } from "./clients.mjs";
import { onExpress, onFastify, onH3, onHono, onKoa, onNodeHttp, onRemix } from "./frameworks.mjs";

const promised = (start) => new Promise((resolve, reject) => start((error) => (error ? reject(error) : resolve("ok"))));

const objectActions = (sessionOf, rest) => plain({ data: sessionOf, ...rest });

// Express

export const expressSession = (storeOf) => onExpressSession("express-session", storeOf);
/** The drop-in: the same application, by a change of one line. */
export const dropIn = (storeOf) => onExpressSession("sojourn/express-session", storeOf);

const onExpressSession = (library, storeOf) => async (place) => {
  const { default: session } = await import(library);
  const options = {
    secret: SECRET,
    resave: false,
    saveUninitialized: false,
    cookie: { maxAge: DAY_MS },
    store: await storeOf?.(place, session),
  };
  return onExpress({
    mount: (app) => app.use(session(options)),
    actions: objectActions((req) => req.session, {
      signIn: (req) =>
        promised((done) =>
          req.session.regenerate((error) => {
            if (error) return done(error);
            Object.assign(req.session, signedIn());
            return req.session.save(done);
          }),
        ),
      signOut: (req) => promised((done) => req.session.destroy(done)),
    }),
  });
};

export const memorystore = async (_place, session) => {
  const { default: store } = await import("memorystore");
  return new (store(session))({ max: MANY, checkPeriod: DAY_MS });
};
export const connectRedis = async ({ redis }) => {
  const { RedisStore } = await import("connect-redis");
  return new RedisStore({ client: await nodeRedis(redis) });
};
export const sojournRedis = async ({ redis }) => {
  const { redisStore } = await import("sojourn/redis");
  return redisStore(await nodeRedis(redis));
};
export const connectPgSimple = async ({ postgres }, session) => {
  const { default: store } = await import("connect-pg-simple");
  return new (store(session))({ pool: await pgPool(postgres), createTableIfMissing: true });
};
export const sessionFileStore = async ({ directory }, given) => {
  const session = given ?? (await import("express-session")).default;
  const { default: store } = await import("session-file-store");
  // Its reaper would run in the middle of a measurement; its log goes to the console for each session that is missing.
  return new (store(session))({ path: directory, ttl: DAY_S, reapInterval: -1, logFn() {} });
};
const betterSqlite3Store =
  (prepare) =>
  async ({ directory }, session) => {
    const { default: store } = await import("better-sqlite3-session-store");
    const client = await betterSqlite3(directory);
    prepare?.(client);
    return new (store(session))({ client, expired: { clear: true, intervalMs: DAY_MS } });
  };
export const betterSqlite3SessionStore = betterSqlite3Store();
/** Not in its documentation, but in that of better-sqlite3. */
export const betterSqlite3SessionStoreWal = betterSqlite3Store((client) => client.pragma("journal_mode = WAL"));

export const cookieSession = async () => {
  const { default: session } = await import("cookie-session");
  return onExpress({
    mount: (app) => app.use(session({ name: "session", keys: [SECRET], maxAge: DAY_MS })),
    actions: objectActions((req) => req.session, {
      signIn(req) {
        req.session = signedIn();
        return "ok";
      },
      signOut(req) {
        req.session = null;
        return "ok";
      },
    }),
  });
};

// Fastify

export const fastifySession = (storeOf, options) => async (place) => {
  const { default: cookie } = await import("@fastify/cookie");
  const { default: session } = await import("@fastify/session");
  const store = await storeOf?.(place);
  return onFastify({
    mount(app) {
      app.register(cookie);
      const settings = { secret: SECRET, saveUninitialized: false, cookie: { secure: false, maxAge: DAY_MS } };
      app.register(session, { ...settings, ...(store && { store }), ...options });
    },
    actions: objectActions((request) => request.session, {
      async signIn(request) {
        await request.session.regenerate();
        Object.assign(request.session, signedIn());
        return "ok";
      },
      async signOut(request) {
        await request.session.destroy();
        return "ok";
      },
    }),
  });
};

export const secureSession = async () => {
  const { default: session } = await import("@fastify/secure-session");
  const key = Buffer.from(SECRET.slice(0, 32));
  return onFastify({
    mount: (app) => void app.register(session, { key, expiry: DAY_S, cookie: { path: "/", httpOnly: true } }),
    actions: keyed({
      session: (request) => request.session,
      signIn(request) {
        request.session.regenerate();
        for (const [name, value] of Object.entries(signedIn())) request.session.set(name, value);
        return "ok";
      },
      signOut(request) {
        request.session.delete();
        return "ok";
      },
    }),
  });
};

// Koa

export const koaSession = (storeOf) => async (place) => {
  const { default: session } = await import("koa-session");
  const store = await storeOf?.(place);
  return onKoa({
    mount(app) {
      app.keys = [SECRET];
      app.use(session({ maxAge: DAY_MS, ...(store && { store }) }, app));
    },
    actions: objectActions((ctx) => ctx.session, {
      async signIn(ctx) {
        Object.assign(ctx.session, signedIn());
        if (store) await ctx.session.regenerate();
        return "ok";
      },
      signOut(ctx) {
        ctx.session = null;
        return "ok";
      },
    }),
  });
};

export function koaMap() {
  const sessions = new Map();
  return {
    get: async (key) => sessions.get(key),
    set: async (key, value) => void sessions.set(key, value),
    destroy: async (key) => void sessions.delete(key),
  };
}
/** The three methods that its documentation asks of a store. */
export async function koaRedis({ redis }) {
  const client = await nodeRedis(redis);
  return {
    async get(key) {
      const text = await client.get(key);
      return text === null ? undefined : JSON.parse(text);
    },
    set: (key, value, maxAge) => client.set(key, JSON.stringify(value), { PX: maxAge }),
    destroy: (key) => client.del(key),
  };
}

// Hono

export const honoSession = async () => {
  const { useSession } = await import("@hono/session");
  const save = (c, changes) => c.var.session.update((data) => ({ ...data, ...changes }));
  return onHono({
    mount: (app) => app.use(useSession({ secret: SECRET.slice(0, 32), duration: { absolute: DAY_S } })),
    actions: loaded({
      load: (c) => c.var.session.get(),
      save,
      async signIn(c) {
        await c.var.session.update(signedIn());
        return "ok";
      },
      signOut(c) {
        c.var.session.delete();
        return "ok";
      },
    }),
  });
};

/** Its documentation asks for 32 characters or more. */
export const HONO_KEY = SECRET;

export const honoSessions = (options) => async () => {
  const { MemoryStore, sessionMiddleware } = await import("hono-sessions");
  const cookieOptions = { sameSite: "Lax", path: "/", httpOnly: true };
  const settings = { store: new MemoryStore(), expireAfterSeconds: DAY_S, cookieOptions, ...options };
  return onHono({
    mount: (app) => app.use("*", sessionMiddleware(settings)),
    actions: keyed({
      session: (c) => c.get("session"),
      signIn(c) {
        for (const [name, value] of Object.entries(signedIn())) c.get("session").set(name, value);
        c.set("session_key_rotation", true);
        return "ok";
      },
      signOut(c) {
        c.get("session").deleteSession();
        return "ok";
      },
    }),
  });
};

// Others

export const ironSession = async () => {
  const { getIronSession } = await import("iron-session");
  const options = { password: SECRET, cookieName: "session", ttl: DAY_S, cookieOptions: { secure: false } };
  const open = ({ req, res }) => getIronSession(req, res, options);
  const save = async (c, changes) => {
    const session = c.session ?? (await open(c));
    Object.assign(session, changes);
    await session.save();
  };
  return onNodeHttp({
    contextOf: (req, res) => ({ req, res, session: undefined }),
    actions: loaded({
      load: async (c) => (c.session = await open(c)),
      save,
      async signIn(c) {
        await save(c, signedIn());
        return "ok";
      },
      async signOut(c) {
        (await open(c)).destroy();
        return "ok";
      },
    }),
  });
};

export const h3Session = async () => {
  const { useSession } = await import("h3");
  const open = (event) => useSession(event, { password: SECRET, maxAge: DAY_S, cookie: { secure: false } });
  const save = async (event, changes) => void (await (await open(event)).update(changes));
  return onH3({
    actions: loaded({
      load: async (event) => (await open(event)).data,
      save,
      async signIn(event) {
        await save(event, signedIn());
        return "ok";
      },
      async signOut(event) {
        await (await open(event)).clear();
        return "ok";
      },
    }),
  });
};

export const remixSession = (storageOf) => async (place) => {
  const { createCookie } = await import("@remix-run/cookie");
  const { Session } = await import("@remix-run/session");
  const { session } = await import("@remix-run/session-middleware");
  const cookie = createCookie("__session", { secrets: [SECRET], httpOnly: true, sameSite: "Lax", maxAge: DAY_S });
  return onRemix({
    middleware: [session(cookie, await storageOf(place))],
    actions: keyed({
      session: (context) => context.get(Session),
      signIn(context) {
        const current = context.get(Session);
        current.regenerateId(true);
        for (const [name, value] of Object.entries(signedIn())) current.set(name, value);
        return "ok";
      },
      signOut(context) {
        context.get(Session).destroy();
        return "ok";
      },
    }),
  });
};
export const remixMemory = async () => (await import("@remix-run/session/memory-storage")).createMemorySessionStorage();
export const remixRedis = async ({ redis }) => {
  const { createRedisSessionStorage } = await import("@remix-run/session-storage-redis");
  return createRedisSessionStorage(await nodeRedis(redis), { ttl: DAY_S });
};
