// An application on each framework: `mount` puts a library before the routes, `actions` say what the routes do.
// An action returns its text, or a promise of it where the library makes it wait.
import { WITH_QUERY } from "./actions.mjs";

const BARE = { untouched: () => "ok" };
const NO_QUERY = {};
const PLAIN = { "content-type": "text/plain" };
const SEE_OTHER = 303;
const SHOW = "/show";

const routesOf = (actions) =>
  Object.entries(actions).map(([name, act]) => ({ path: `/${name}`, name, act, hasQuery: WITH_QUERY.has(name) }));

const isText = (result) => typeof result === "string";

export async function onExpress({ mount, actions = BARE } = {}) {
  const { default: express } = await import("express");
  const app = express();
  await mount?.(app);
  for (const { path, name, act, hasQuery } of routesOf(actions)) {
    const send = (res, text) => (name === "redirect" ? res.redirect(SEE_OTHER, SHOW) : res.send(text));
    app.get(path, (req, res, next) => {
      const result = act(req, hasQuery ? req.query : NO_QUERY);
      if (isText(result)) send(res, result);
      else result.then((text) => send(res, text), next);
    });
  }
  return { listener: app };
}

export async function onFastify({ mount, actions = BARE } = {}) {
  const { default: fastify } = await import("fastify");
  const app = fastify();
  await mount?.(app);
  for (const { path, name, act, hasQuery } of routesOf(actions)) {
    app.get(path, (request, reply) => {
      const result = act(request, hasQuery ? request.query : NO_QUERY);
      if (name === "redirect") return void Promise.resolve(result).then(() => reply.redirect(SHOW, SEE_OTHER));
      if (!isText(result)) return result;
      reply.send(result);
      return undefined;
    });
  }
  await app.ready();
  return { listener: app.routing };
}

export async function onKoa({ mount, actions = BARE } = {}) {
  const { default: Koa } = await import("koa");
  const app = new Koa();
  await mount?.(app);
  const routes = new Map(routesOf(actions).map((route) => [route.path, route]));
  app.use((ctx) => {
    const { name, act, hasQuery } = routes.get(ctx.path);
    const send = (text) => {
      if (name !== "redirect") return void (ctx.body = text);
      ctx.status = SEE_OTHER;
      ctx.redirect(SHOW);
    };
    const result = act(ctx, hasQuery ? ctx.query : NO_QUERY);
    return isText(result) ? send(result) : result.then(send);
  });
  return { listener: app.callback() };
}

export async function onHono({ mount, actions = BARE } = {}) {
  const { Hono } = await import("hono");
  const { getRequestListener } = await import("@hono/node-server");
  const app = new Hono();
  await mount?.(app);
  for (const { path, name, act, hasQuery } of routesOf(actions)) {
    const send = (c, text) => (name === "redirect" ? c.redirect(SHOW, SEE_OTHER) : c.text(text));
    app.get(path, (c) => {
      const result = act(c, hasQuery ? c.req.query() : NO_QUERY);
      return isText(result) ? send(c, result) : result.then((text) => send(c, text));
    });
  }
  return { fetch: app.fetch, listener: getRequestListener(app.fetch) };
}

/** The action for a URL, and its query. */
function find(routes, url) {
  const mark = url.indexOf("?");
  if (mark < 0) return { route: routes.get(url), query: NO_QUERY };
  return { route: routes.get(url.slice(0, mark)), query: Object.fromEntries(new URLSearchParams(url.slice(mark))) };
}

/** `wrap` makes a listener of a handler that gets the session; `contextOf` says what actions get. */
export function onNodeHttp({ wrap, contextOf = (_req, _res, session) => session, actions = BARE } = {}) {
  const routes = new Map(routesOf(actions).map((route) => [route.path, route]));
  const listener = (req, res, session) => {
    const { route, query } = find(routes, req.url);
    const send = (text) => {
      if (route.name === "redirect") res.writeHead(SEE_OTHER, { location: SHOW }).end();
      else res.writeHead(200, PLAIN).end(text);
    };
    const result = route.act(contextOf(req, res, session), query);
    return isText(result) ? send(result) : result.then(send);
  };
  return { listener: wrap ? wrap(listener) : listener };
}

export async function onFetch({ wrap, actions = BARE } = {}) {
  const { createRequestListener } = await import("@remix-run/node-fetch-server");
  const routes = new Map(routesOf(actions).map((route) => [route.path, route]));
  const handler = (request, session) => {
    const { route, query } = find(routes, request.url.slice(request.url.indexOf("/", 8)));
    const send = (text) =>
      route.name === "redirect"
        ? new Response(null, { status: SEE_OTHER, headers: { location: SHOW } })
        : new Response(text, { headers: PLAIN });
    const result = route.act(session, query);
    return isText(result) ? send(result) : result.then(send);
  };
  const fetch = wrap ? wrap(handler) : handler;
  return { fetch, listener: createRequestListener(fetch) };
}

export async function onH3({ actions = BARE } = {}) {
  const { getQuery, H3, redirect } = await import("h3");
  const { toNodeHandler } = await import("h3/node");
  const app = new H3();
  for (const { path, name, act, hasQuery } of routesOf(actions)) {
    app.get(path, (event) => {
      const result = act(event, hasQuery ? getQuery(event) : NO_QUERY);
      if (name === "redirect") return Promise.resolve(result).then(() => redirect(SHOW, SEE_OTHER));
      return result;
    });
  }
  return { fetch: app.fetch, listener: toNodeHandler(app) };
}

export async function onRemix({ middleware = [], actions = BARE } = {}) {
  const { createRouter } = await import("@remix-run/fetch-router");
  const { createRequestListener } = await import("@remix-run/node-fetch-server");
  const router = createRouter({ middleware });
  for (const { path, name, act, hasQuery } of routesOf(actions)) {
    const send = (text) =>
      name === "redirect"
        ? new Response(null, { status: SEE_OTHER, headers: { location: SHOW } })
        : new Response(text, { headers: PLAIN });
    router.get(path, (context) => {
      const result = act(context, hasQuery ? Object.fromEntries(context.url.searchParams) : NO_QUERY);
      return isText(result) ? send(result) : result.then(send);
    });
  }
  const fetch = (request) => router.fetch(request);
  return { fetch, listener: createRequestListener(fetch) };
}
