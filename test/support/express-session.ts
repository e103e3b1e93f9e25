import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import express, { type NextFunction, type Request, type Response } from "express";
import express4 from "express4";
import { onTestFinished } from "vitest";
import { session, type SessionMiddleware, type SessionOptions } from "../../src/express-session/index.ts";
import { memoryStore } from "../../src/stores/memory.ts";
import { faulty } from "../../src/testing/faulty.ts";
import { Client } from "./http/client.ts";

export const SECRET = "a secret of the old application, which is long enough";

/** What a handler of these tests works with: a session whose data are anything. */
export type Held = Request & {
  // oxlint-disable-next-line typescript/no-explicit-any -- as @types/express-session without a declaration of the data
  session: any;
  sessionID: string;
  sessionStore: SessionMiddleware["store"];
};
type Handler = (req: Held, res: Response, next: NextFunction) => unknown;

export const VERSIONS = { "Express 5": express, "Express 4": express4 };

/** Serves on loopback until the test ends. */
export async function serve(listener: RequestListener): Promise<string> {
  const server = createServer(listener);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** An application that uses the drop-in, and browsers that visit it. Each route is a path and its handler. */
export async function site(
  routes: Record<string, Handler>,
  options: SessionOptions = {},
  { make = express, before }: { make?: typeof express; before?: (app: express.Express) => void } = {},
) {
  const middleware = session({ secret: SECRET, resave: false, saveUninitialized: false, ...options });
  const app = make();
  before?.(app);
  app.use(middleware as unknown as express.RequestHandler);
  for (const [path, handler] of Object.entries(routes)) app.use(path, handler as unknown as express.RequestHandler);
  const errors: unknown[] = [];
  app.use(((error: unknown, _req, res, _next) => {
    errors.push(error);
    if (!res.headersSent) res.status((error as { status?: number }).status ?? 500).send("failed");
  }) satisfies express.ErrorRequestHandler);
  const origin = await serve(app);
  return { origin, errors, middleware, visitor: () => new Client(origin) };
}

/** A route that counts. */
export const count = {
  "/count": (req: Held, res: { send(body: string): void }) => {
    req.session.count = ((req.session.count as number | undefined) ?? 0) + 1;
    res.send(String(req.session.count));
  },
};

/** A store that fails while it is down. */
export function downWhen(isDown: () => boolean) {
  const fault = () => (isDown() ? ("error" as const) : ("ok" as const));
  return faulty(memoryStore(), { read: fault, create: fault, update: fault, touch: fault, delete: fault });
}

/** The sessions of an application, by their ids. */
export const allSessions = (middleware: { store: { all(callback: (error: unknown, found?: object) => void): void } }) =>
  new Promise<object>((resolve, reject) =>
    middleware.store.all((error, found) => (error ? reject(error) : resolve(found!))),
  );
