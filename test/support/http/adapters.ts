import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse } from "node:http";
import { createServer as createHttp2, type Http2Server } from "node:http2";
import { Readable } from "node:stream";
import { text } from "node:stream/consumers";
import { createAdaptorServer, getRequestListener } from "@hono/node-server";
import express, { type NextFunction } from "express";
import express4 from "express4";
import Fastify, { type FastifyInstance } from "fastify";
import { bodyLimit as h3BodyLimit, H3, redirect, serve, toNodeHandler } from "h3";
import { Hono } from "hono";
import Koa from "koa";
import { bodyLimit } from "hono/body-limit";
import type { Session } from "sojourn";
import { sessionMiddleware as onExpress } from "sojourn/express";
import { sessionPlugin as onFastify } from "sojourn/fastify";
import { withSession as onFetch } from "sojourn/fetch";
import { sessionMiddleware as onH3 } from "sojourn/h3";
import { sessionMiddleware as onHono } from "sojourn/hono";
import { sessionMiddleware as onKoa } from "sojourn/koa";
import { withSession as onNode } from "sojourn/node";
import type {
  AdapterContractOptions,
  AdapterParts,
  AdapterReply,
  AdapterRoute,
  AdapterServer,
  StartApplication,
} from "sojourn/testing";
import { behindGateway } from "./http2.ts";

const LIMIT = 1000;

/** An adapter as the contract takes it: its framework serves the applications of the cases. */
export interface Adapter {
  readonly start: StartApplication;
  readonly options?: AdapterContractOptions;
}

type Express = typeof express;

/** Serves the requests of an application. */
type Listen = (listener: RequestListener) => AdapterServer | Promise<AdapterServer>;
const http1: Listen = (listener) => createServer(listener).listen(0, "127.0.0.1");
const http2: Listen = (listener) => behindGateway(createHttp2(listener as never));

const FASTIFY: AdapterContractOptions = { bodyLimit: LIMIT, severalSessions: false, responses: true };
const WEB: AdapterContractOptions = { bodyLimit: LIMIT, responses: true };

export const adapters: Readonly<Record<string, Adapter>> = {
  fetch: { start: startFetch, options: { handlerErrors: "discarded", responses: true } },
  "node:http": { start: startNode(http1) },
  "node:http2": { start: startNode(http2) },
  "Express 5": { start: startExpress(express), options: { bodyLimit: LIMIT } },
  "Express 4": { start: startExpress(express4), options: { bodyLimit: LIMIT } },
  "Fastify 5": { start: startFastify(), options: FASTIFY },
  "Fastify 5 over HTTP/2": { start: startFastify({ http2: true }), options: FASTIFY },
  "Koa 3": { start: startKoa(http1), options: { responses: true } },
  "Koa 3 over HTTP/2": { start: startKoa(http2), options: { responses: true } },
  "h3 2": { start: startH3, options: WEB },
  "h3 2 over HTTP/2": { start: startH3OverHttp2, options: WEB },
  "Hono 4": { start: startHono(), options: WEB },
  "Hono 4 over HTTP/2": { start: startHono(http2), options: WEB },
};

function startExpress(framework: Express): StartApplication {
  return ({ mounts, routes }) => {
    const app = framework().use(framework.text({ type: "*/*", limit: LIMIT }));
    for (const { path, sessions, options } of mounts) app.use(path, onExpress(sessions, options));
    for (const { path, handle } of routes) {
      const answer = async (req: express.Request, res: express.Response): Promise<void> => {
        const reply = await handle(req.session, {
          request: req,
          header: (name) => req.get(name),
          text: async () => req.body as string,
        });
        for (const [name, value] of reply.headers) res.append(name, value);
        if (reply.redirect !== undefined) return res.redirect(303, reply.redirect);
        res.status(reply.status);
        if (typeof reply.body === "string") return void res.send(reply.body);
        for await (const chunk of reply.body) res.write(chunk);
        res.end();
      };
      app.all(path, (req, res, next: NextFunction) => void answer(req, res).catch(next));
    }
    return app.listen(0, "127.0.0.1");
  };
}

function startFastify(served: object = { forceCloseConnections: true }): StartApplication {
  return async ({ mounts, routes }) => {
    const app: FastifyInstance = Fastify({ bodyLimit: LIMIT, ...served });
    app.addContentTypeParser("*", { parseAs: "string" }, (_request, body, done) => done(null, body));
    const use = async (instance: FastifyInstance, path: string): Promise<void> => {
      for (const mount of mounts.filter((one) => one.path === path)) {
        await instance.register(onFastify(mount.sessions, mount.options));
      }
    };
    const isInner = ({ path }: AdapterRoute): boolean =>
      mounts.some((mount) => mount.path !== "/" && path.startsWith(mount.path));
    const add = (instance: FastifyInstance, { path, handle }: AdapterRoute): void => {
      instance.route({
        method: ["GET", "POST"],
        url: path,
        async handler(request, reply) {
          const answer = await handle(request.session, {
            request,
            header: (name) => request.headers[name]?.toString(),
            text: async () => request.body as string,
          });
          if (answer.response) return reply.send(answer.response);
          for (const [name, value] of answer.headers) void reply.header(name, value);
          if (answer.redirect !== undefined) return reply.redirect(answer.redirect, 303);
          const { body } = answer;
          return reply.code(answer.status).send(typeof body === "string" ? body : Readable.from(body));
        },
      });
    };
    await use(app, "/");
    for (const route of routes) if (!isInner(route)) add(app, route);
    await app.register(async (child) => {
      for (const { path } of mounts) if (path !== "/") await use(child, path);
      for (const route of routes) if (isInner(route)) add(child, route);
    });
    await app.listen({ port: 0, host: "127.0.0.1" });
    return "http2" in served ? behindGateway(app.server as unknown as Http2Server) : app.server;
  };
}

function startKoa(listen: Listen): StartApplication {
  return ({ mounts, routes }) => {
    const app = new Koa().on("error", () => {});
    for (const { path, sessions, options } of mounts) {
      const middleware = onKoa(sessions, options);
      app.use((ctx, next) => (ctx.path.startsWith(path) ? middleware(ctx as never, next) : next()));
    }
    app.use(async (ctx) => {
      const { handle } = routes.find(({ path }) => path === ctx.path)!;
      const reply = await handle((ctx as unknown as { session: Session }).session, {
        request: ctx,
        header: (name) => ctx.get(name),
        text: () => text(ctx.req),
      });
      if (reply.response) return void (ctx.body = reply.response);
      for (const [name, value] of reply.headers) ctx.append(name, value);
      ctx.status = reply.redirect === undefined ? reply.status : 303;
      if (reply.redirect !== undefined) return ctx.redirect(reply.redirect);
      ctx.body = typeof reply.body === "string" ? reply.body : Readable.from(reply.body);
    });
    const answer = app.callback();
    return listen((req, res) => void answer(req, res));
  };
}

function startHono(listen?: Listen): StartApplication {
  return ({ mounts, routes }) => {
    const app = new Hono();
    for (const { path, sessions, options } of mounts)
      app.use(path === "/" ? "*" : `${path}/*`, onHono(sessions, options));
    app.use(bodyLimit({ maxSize: LIMIT }));
    for (const { path, handle } of routes) {
      app.all(path, async (c) => {
        const session = c.get("session" as never) as Session;
        const reply = await handle(session, {
          request: c,
          header: (name) => c.req.header(name),
          text: () => c.req.text(),
        });
        if (reply.response) return reply.response;
        for (const [name, value] of reply.headers) c.header(name, value, { append: true });
        if (reply.redirect !== undefined) return c.redirect(reply.redirect, 303);
        return c.body(webBody(reply) as string, reply.status as 200);
      });
    }
    const answer = getRequestListener(app.fetch);
    if (listen) return listen((req, res) => void answer(req, res));
    return createAdaptorServer(app).listen(0, "127.0.0.1");
  };
}

async function startH3(parts: AdapterParts) {
  const server = await serve(h3Application(parts), { port: 0, hostname: "127.0.0.1", silent: true }).ready();
  return server.node!.server as Server;
}

function startH3OverHttp2(parts: AdapterParts) {
  return http2(toNodeHandler(h3Application(parts)));
}

function h3Application({ mounts, routes }: AdapterParts): H3 {
  const app = new H3({ silent: true });
  for (const { path, sessions, options } of mounts)
    app.use(path === "/" ? "/**" : `${path}/**`, onH3(sessions, options));
  app.use(h3BodyLimit(LIMIT));
  for (const { path, handle } of routes) {
    app.all(path, async (event) => {
      const reply = await handle(event.context.session, {
        request: event,
        header: (name) => event.req.headers.get(name),
        text: () => event.req.text(),
      });
      if (reply.response) return reply.response;
      for (const [name, value] of reply.headers) event.res.headers.append(name, value);
      if (reply.redirect !== undefined) return redirect(reply.redirect, 303);
      event.res.status = reply.status;
      return webBody(reply) ?? "";
    });
  }
  return app;
}

function startFetch({ mounts, routes }: AdapterParts) {
  type Handle = (request: Request, session: Session, server: object) => Promise<Response>;
  const answer: Handle = async (request, session) => {
    const route = routes.find(({ path }) => path === new URL(request.url).pathname)!;
    const reply = await route.handle(session, {
      request,
      header: (name) => request.headers.get(name),
      text: () => request.text(),
    });
    if (reply.response) return reply.response;
    if (reply.redirect !== undefined) return Response.redirect(new URL(reply.redirect, request.url), 303);
    return new Response(webBody(reply), { status: reply.status, headers: reply.headers.map(([...pair]) => pair) });
  };
  const outermost = mounts.reduceRight<Handle>((inner, { path, sessions, options }) => {
    const mine = onFetch(sessions, inner, options);
    return (request, session, server) =>
      new URL(request.url).pathname.startsWith(path) ? mine(request, server) : inner(request, session, server);
  }, answer);
  return createAdaptorServer({ fetch: (request, server) => outermost(request, undefined as never, server) }).listen(
    0,
    "127.0.0.1",
  );
}

function startNode(listen: Listen): StartApplication {
  return ({ mounts, routes }) => {
    type Handle = (req: IncomingMessage, res: ServerResponse, session: Session) => unknown;
    const answer: Handle = async (req, res, session) => {
      const route = routes.find(({ path }) => path === req.url)!;
      const reply = await route.handle(session, {
        request: req,
        header: (name) => req.headers[name]?.toString(),
        text: () => text(req),
      });
      for (const [name, value] of reply.headers) res.appendHeader(name, value);
      if (reply.redirect !== undefined) return res.writeHead(303, { location: reply.redirect }).end();
      res.statusCode = reply.status;
      if (typeof reply.body === "string") return res.end(reply.body);
      for await (const chunk of reply.body) res.write(chunk);
      return res.end();
    };
    const outermost = mounts.reduceRight<Handle>((inner, { path, sessions, options }) => {
      const mine = onNode(sessions, inner, options);
      return (req, res, session) => (req.url!.startsWith(path) ? mine(req, res) : inner(req, res, session));
    }, answer);
    return listen(outermost as never);
  };
}

/** A body of a Response. One of the status 204 or 304 can have none. */
function webBody({ body }: AdapterReply): ReadableStream<Uint8Array> | string | null {
  if (typeof body === "string") return body === "" ? null : body;
  const chunks = body[Symbol.asyncIterator]();
  const encoder = new TextEncoder();
  return new ReadableStream(
    {
      async pull(controller) {
        const { value, done } = await chunks.next();
        if (done) controller.close();
        else controller.enqueue(encoder.encode(value));
      },
    },
    { highWaterMark: 0 },
  );
}
