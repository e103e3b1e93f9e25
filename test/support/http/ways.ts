import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { Readable } from "node:stream";
import { getRequestListener } from "@hono/node-server";
import express, { type ErrorRequestHandler } from "express";
import express4 from "express4";
import Fastify from "fastify";
import { Hono } from "hono";
import Koa from "koa";
import { SessionError, type Sessions } from "sojourn";
import type { AdapterOptions } from "sojourn/adapter";
import type { BearerTokens } from "sojourn/bearer";
import { sessionMiddleware as onExpress } from "sojourn/express";
import { sessionPlugin as onFastify } from "sojourn/fastify";
import { withSession as onFetch } from "sojourn/fetch";
import { sessionMiddleware as onHono } from "sojourn/hono";
import { sessionMiddleware as onKoa } from "sojourn/koa";
import { withSession as onNode } from "sojourn/node";
import { routes, type Asked, type Reply } from "./application.ts";
import type { Stage } from "./stage.ts";

/** The options that are the same in every adapter, and are made elsewhere. */
type Parts = Partial<Pick<AdapterOptions<never>, "csrf" | "context"> & { bearer: BearerTokens }>;

/** What a way in is started with. */
export interface Serving {
  readonly sessions: Sessions;
  readonly stage: Stage;
  readonly lazy: boolean;
  readonly personal: boolean;
  /** The framework's own setting, not Sojourn's. */
  readonly trustProxy: boolean;
  /** The adapter's other options. */
  readonly parts?: Parts | undefined;
  /** Where given, the application has an error handler of its own, which notes what it is told. */
  readonly seen?: unknown[] | undefined;
}

/** One of the ways by which a session gets to a handler. */
export interface Way {
  readonly name: WayName;
  /** Whether the adapter detects a change after the headers, because the response passes through `res` of node:http. */
  readonly detectsLateChanges: boolean;
  start(serving: Serving): Promise<Server>;
}

type WayName = "fetch" | "node:http" | "Express 5" | "Express 4" | "Fastify 5" | "Koa 3" | "Hono 4";

export type Listener = (req: IncomingMessage, res: ServerResponse) => unknown;

const CUSTOM = "x-error-handler";
const codeOf = (error: unknown): string => (error as { code?: string }).code ?? "none";
const statusOf = (error: unknown): number => (error as { status?: number }).status ?? 500;
const queryOf = (url: string): URLSearchParams => new URL(url, "http://localhost").searchParams;

function run(path: string, asked: Asked): Promise<Reply> {
  const route = routes[path];
  return (async () => (route ? await route(asked) : { status: 404, body: "no such page" }))();
}

export const ways: readonly Way[] = [
  {
    name: "fetch",
    detectsLateChanges: false,
    async start({ sessions, stage, lazy, personal, parts, seen }) {
      const app = onFetch(
        sessions,
        async (request: Request, session) => {
          const { pathname, searchParams: query } = new URL(request.url);
          const header = (name: string) => request.headers.get(name) ?? undefined;
          const reply = await run(pathname, { session, query, stage, header });
          return reply.redirect === undefined
            ? new Response(webBody(reply), { status: reply.status ?? 200, headers: headersOf(reply) })
            : Response.redirect(new URL(reply.redirect, request.url), 303);
        },
        {
          lazy,
          personal,
          ...parts,
          ...(seen && {
            onError(error: SessionError) {
              seen.push(error);
              return new Response(error.code, { status: error.status, headers: { [CUSTOM]: "1" } });
            },
          }),
        },
      );
      const errorHandler = (error: unknown) => {
        seen?.push(error);
        return new Response(codeOf(error), { status: 500 });
      };
      return listen(getRequestListener(app, { errorHandler }));
    },
  },
  {
    name: "node:http",
    detectsLateChanges: true,
    async start({ sessions, stage, lazy, personal, parts, seen }) {
      const onError = (error: unknown, _req: unknown, res: ServerResponse) => {
        seen?.push(error);
        if (res.headersSent) res.destroy();
        else res.writeHead(statusOf(error), { [CUSTOM]: "1" }).end(codeOf(error));
      };
      return listen(
        onNode(
          sessions,
          async (req, res, session) => {
            const { pathname, searchParams: query } = new URL(req.url!, "http://localhost");
            const header = (name: string) => req.headers[name]?.toString();
            const reply = await run(pathname, { session, query, stage, header });
            res.statusCode = reply.redirect === undefined ? (reply.status ?? 200) : 303;
            if (reply.redirect !== undefined) res.setHeader("location", reply.redirect);
            for (const [name, value] of reply.headers ?? []) res.appendHeader(name, value);
            await write(res, reply.body);
          },
          { lazy, personal, ...parts, ...(seen && { onError }) },
        ),
      );
    },
  },
  expressWay("Express 5", express),
  expressWay("Express 4", express4),
  {
    name: "Fastify 5",
    detectsLateChanges: false,
    async start({ sessions, stage, lazy, personal, parts, trustProxy, seen }) {
      const app = Fastify({ trustProxy, forceCloseConnections: true });
      await app.register(onFastify(sessions, { lazy, personal, ...parts }));
      if (seen) {
        app.setErrorHandler((error, _request, reply) => {
          seen.push(error);
          return reply.code(statusOf(error)).header(CUSTOM, "1").send(codeOf(error));
        });
      }
      for (const path of Object.keys(routes)) {
        app.route({
          method: ["GET", "POST"],
          url: path,
          async handler(request, reply) {
            const header = (name: string) => request.headers[name]?.toString();
            const asked = { session: request.session, query: queryOf(request.url), stage, header };
            const answer = await run(path, asked);
            for (const [name, value] of answer.headers ?? []) void reply.header(name, value);
            if (answer.redirect !== undefined) return reply.redirect(answer.redirect, 303);
            const { body = "" } = answer;
            return reply.code(answer.status ?? 200).send(typeof body === "string" ? body : Readable.from(body));
          },
        });
      }
      await app.listen({ port: 0, host: "127.0.0.1" });
      return app.server;
    },
  },
  {
    name: "Koa 3",
    detectsLateChanges: true,
    async start({ sessions, stage, lazy, personal, parts, trustProxy, seen }) {
      const app = new Koa({ proxy: trustProxy });
      if (seen) {
        Object.assign(app.context, {
          onerror(this: Koa.Context, error?: Error) {
            if (!error) return;
            seen.push(error);
            if (this.headerSent) return void this.res.destroy();
            this.res.writeHead(statusOf(error), { [CUSTOM]: "1" }).end(codeOf(error));
          },
        });
      }
      app.use(onKoa(sessions, { lazy, personal, ...parts })).use(async (ctx) => {
        const header = (name: string) => ctx.get(name) || undefined;
        const reply = await run(ctx.path, { session: ctx.session, query: queryOf(ctx.url), stage, header });
        for (const [name, value] of reply.headers ?? []) ctx.append(name, value);
        ctx.status = reply.redirect === undefined ? (reply.status ?? 200) : 303;
        if (reply.redirect !== undefined) return ctx.redirect(reply.redirect);
        const { body = "" } = reply;
        ctx.body = typeof body === "string" ? body : Readable.from(body);
      });
      return listen(app.callback());
    },
  },
  {
    name: "Hono 4",
    detectsLateChanges: false,
    async start({ sessions, stage, lazy, personal, parts, seen }) {
      const app = new Hono().use(onHono(sessions, { lazy, personal, ...parts }));
      if (seen) {
        app.onError((error, c) => {
          seen.push(error);
          return c.text(codeOf(error), statusOf(error) as 500, { [CUSTOM]: "1" });
        });
      }
      app.all("*", async (c) => {
        const { session } = c.var;
        const header = (name: string) => c.req.header(name);
        const reply = await run(c.req.path, { session, query: queryOf(c.req.url), stage, header });
        for (const [name, value] of reply.headers ?? []) c.header(name, value, { append: true });
        if (reply.redirect !== undefined) return c.redirect(reply.redirect, 303);
        return c.body(webBody(reply) as string, (reply.status ?? 200) as 200);
      });
      return listen(getRequestListener(app.fetch));
    },
  },
];

function expressWay(name: WayName, framework: typeof express): Way {
  return {
    name,
    detectsLateChanges: true,
    async start({ sessions, stage, lazy, personal, parts, trustProxy, seen }) {
      const app = framework();
      app.set("trust proxy", trustProxy);
      app.use(onExpress(sessions, { lazy, personal, ...parts }));
      for (const path of Object.keys(routes)) {
        app.all(path, (req, res, next) => {
          const asked = { session: req.session, query: queryOf(req.url), stage, header: (of: string) => req.get(of) };
          const answer = async (): Promise<void> => {
            const reply = await run(path, asked);
            for (const [header, value] of reply.headers ?? []) res.append(header, value);
            if (reply.redirect !== undefined) res.redirect(303, reply.redirect);
            else if (typeof reply.body === "object") await write(res.status(reply.status ?? 200), reply.body);
            else res.status(reply.status ?? 200).send(reply.body ?? "");
          };
          answer().catch(next);
        });
      }
      if (seen) {
        const handler: ErrorRequestHandler = (error, _req, res, next) => {
          seen.push(error);
          if (res.headersSent) next(error);
          else res.status(statusOf(error)).set(CUSTOM, "1").send(codeOf(error));
        };
        app.use(handler);
      }
      return listen(app);
    },
  };
}

function headersOf(reply: Reply): Headers {
  const headers = new Headers();
  for (const [name, value] of reply.headers ?? []) headers.append(name, value);
  return headers;
}

function webBody({ body, status }: Reply): ReadableStream<Uint8Array> | string | null {
  if (status === 304) return null;
  if (typeof body !== "object") return body ?? "";
  const encoder = new TextEncoder();
  return new ReadableStream(
    {
      async pull(controller) {
        const { value, done } = await body.next();
        if (done) controller.close();
        else controller.enqueue(encoder.encode(value));
      },
    },
    { highWaterMark: 0 },
  );
}

async function write(res: ServerResponse, body: Reply["body"]): Promise<void> {
  if (typeof body === "object") for await (const chunk of body) res.write(chunk);
  res.end(typeof body === "string" ? body : undefined);
}

export async function listen(listener: Listener): Promise<Server> {
  const server = createServer((req, res) => void listener(req, res));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return server;
}
