import type { IncomingMessage, ServerResponse } from "node:http";
import { createRequire } from "node:module";
import fastifyCookie from "@fastify/cookie";
import cookieSession from "cookie-session";
import express from "express";
import expressSession from "express-session";
import Fastify, { type FastifyPluginCallback } from "fastify";
import { getIronSession } from "iron-session";
import Koa from "koa";
import koaSession from "koa-session";
import type { FormerSessions } from "sojourn";
import * as adopt from "sojourn/adopt";
import { ask, type Answer } from "./client.ts";
import { originFor } from "./servers.ts";
import type { Listener } from "./ways.ts";

/** Its types declare `request.session` for the whole program, as ours do. */
const fastifySession = createRequire(import.meta.url)("@fastify/session") as FastifyPluginCallback<
  Record<string, unknown>
>;

/** An application of another session library, before it moves to Sojourn. A POST signs Ada in. */
export interface FormerApplication {
  /** The session libraries' own check: who is signed in with these cookies. */
  who(cookie: string): Promise<string>;
  /** Signs in, and gives the Cookie header of the browser. */
  signIn(): Promise<string>;
  /** The source for the option `adopt`. */
  readonly source: FormerSessions;
  /** Its store, where it has one, and the number of sessions in that. */
  readonly store?: unknown;
  readonly size: () => number;
}

const SECRET = "an old secret of the former application, 1";
export const PREVIOUS = "an older secret of the former application";
const DATA = { userId: "ada", cart: ["tea", "Zoë"] };
const userId = (data: Readonly<Record<string, unknown>>) => data["userId"] as string | undefined;

/** The Cookie header of a browser after a response. */
function cookieOf({ setCookies }: Answer): string {
  return setCookies.map((line) => line.split(";", 1)[0]!).join("; ");
}

/** A store with callbacks, as those of express-session and @fastify/session. */
function callbackStore() {
  const kept = new Map<string, string>();
  type Callback = (error?: unknown, data?: never) => void;
  return {
    kept,
    get: (id: string, callback: Callback) =>
      setImmediate(() => callback(null, (kept.has(id) ? JSON.parse(kept.get(id)!) : null) as never)),
    set(id: string, data: unknown, callback?: Callback) {
      kept.set(id, JSON.stringify(data));
      callback?.();
    },
    destroy(id: string, callback: Callback) {
      kept.delete(id);
      callback();
    },
  };
}

async function application(
  listener: Listener,
  source: FormerSessions,
  { store, size = () => 0 }: { store?: unknown; size?: () => number } = {},
): Promise<FormerApplication> {
  const origin = await originFor(listener);
  return {
    source,
    store,
    size,
    who: async (cookie) => (await ask(origin, { cookie })).body,
    signIn: async () => cookieOf(await ask(origin, { method: "POST" })),
  };
}

interface Variant {
  /** The former cookies name a time of expiry, or the store does. */
  readonly maxAge?: number | undefined;
  readonly secret?: string;
  /** Of iron-session, which has no default. */
  readonly cookieName?: string;
}

async function onExpress({ maxAge, secret = SECRET }: Variant): Promise<FormerApplication> {
  const store = callbackStore();
  class Store extends expressSession.Store {
    get = store.get as never;
    set = store.set as never;
    destroy = store.destroy as never;
  }
  const app = express();
  const options = { resave: false, saveUninitialized: false, cookie: { maxAge } };
  app.use(expressSession({ secret, store: new Store(), ...options }));
  app.post("/", (req, res) => {
    Object.assign(req.session, DATA);
    res.send("");
  });
  app.get("/", (req, res) => void res.send((req.session as { userId?: string }).userId ?? "nobody"));
  const source = adopt.expressSession({ secret: [SECRET, PREVIOUS], store, userId });
  return application(app, source, { store, size: () => store.kept.size });
}

async function onFastify({ maxAge, secret = SECRET }: Variant): Promise<FormerApplication> {
  const store = callbackStore();
  const app = Fastify();
  await app.register(fastifyCookie);
  await app.register(fastifySession, { secret, store, cookie: { secure: false, maxAge }, saveUninitialized: false });
  app.post("/", (request, reply) => {
    Object.assign(request.session, DATA);
    reply.send("");
  });
  app.get("/", (request, reply) => {
    reply.send((request.session as unknown as { userId?: string }).userId ?? "nobody");
  });
  await app.ready();
  const source = adopt.fastifySession({ secret: [SECRET, PREVIOUS], store, userId });
  return application((req, res) => app.routing(req, res), source, { store, size: () => store.kept.size });
}

async function onCookieSession({ secret = SECRET }: Variant): Promise<FormerApplication> {
  const app = express();
  app.use(cookieSession({ keys: [secret] }));
  app.post("/", (req, res) => {
    Object.assign(req.session ?? {}, DATA);
    res.send("");
  });
  app.get("/", (req, res) => void res.send((req.session as { userId?: string }).userId ?? "nobody"));
  return application(app, adopt.cookieSession({ keys: [SECRET, PREVIOUS], name: "session", userId }));
}

async function onIronSession({ maxAge, secret = SECRET, cookieName = "app" }: Variant): Promise<FormerApplication> {
  const passwords = { "1": PREVIOUS, "2": SECRET };
  const password = secret === SECRET ? passwords : { "1": secret };
  const ttl = maxAge === undefined ? 0 : maxAge / 1000;
  const handler = async (req: IncomingMessage, res: ServerResponse) => {
    const options = { password, cookieName, ttl, cookieOptions: { secure: false } };
    const session = await getIronSession<{ userId?: string }>(req, res, options);
    if (req.method === "GET") return void res.end(session.userId ?? "nobody");
    Object.assign(session, DATA);
    await session.save();
    res.end();
  };
  const source = adopt.ironSession({ password: passwords, cookieName, userId });
  return application(handler, source);
}

async function onKoa({ maxAge, secret = SECRET }: Variant, isStored: boolean): Promise<FormerApplication> {
  const kept = new Map<string, unknown>();
  const store = {
    get: async (key: string) => kept.get(key),
    set: async (key: string, data: unknown) => void kept.set(key, structuredClone(data)),
    destroy: async (key: string) => void kept.delete(key),
  };
  const app = new Koa();
  app.keys = [secret];
  app.use(koaSession({ maxAge: maxAge ?? "session", ...(isStored && { store }) }, app as never) as never);
  app.use((ctx: Koa.Context & { session?: { userId?: string } }) => {
    if (ctx.method === "GET") ctx.body = ctx.session?.userId ?? "nobody";
    else {
      Object.assign(ctx.session!, DATA);
      ctx.body = "";
    }
  });
  const source = adopt.koaSession({ keys: [SECRET, PREVIOUS], userId, ...(isStored && { store }) });
  return application(app.callback(), source, { store: isStored ? store : undefined, size: () => kept.size });
}

/** Each library, with the name of its cookie, and whether a sign-out ends its sessions in a store. */
export const libraries = [
  { name: "express-session", cookie: "connect.sid", hasStore: true, hasEnd: true, start: onExpress },
  { name: "@fastify/session", cookie: "sessionId", hasStore: true, hasEnd: true, start: onFastify },
  { name: "cookie-session", cookie: "session", hasStore: false, hasEnd: false, start: onCookieSession },
  { name: "iron-session 8", cookie: "app", hasStore: false, hasEnd: true, start: onIronSession },
  {
    name: "koa-session with cookies",
    cookie: "koa.sess",
    hasStore: false,
    hasEnd: true,
    start: async (variant: Variant) => onKoa(variant, false),
  },
  {
    name: "koa-session with a store",
    cookie: "koa.sess",
    hasStore: true,
    hasEnd: true,
    start: async (variant: Variant) => onKoa(variant, true),
  },
] as const;
