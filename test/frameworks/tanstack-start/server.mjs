// The built application, on ports of its own: one for each case.
import { createServer } from "node:http";
import { toNodeHandler } from "srvx/node";
import handler from "./dist/server/server.js";

globalThis.cases = new Map();

/** Starts the application with the parts of a case. */
export async function start({ mounts, routes = [], functions }) {
  const { sessionMiddleware } = globalThis.sojourn;
  const made = mounts.map(({ path, sessions, options }) => ({
    path,
    middleware: sessionMiddleware(sessions, options),
  }));
  const server = createServer(toNodeHandler(handler.fetch));
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  globalThis.cases.set(String(server.address().port), { mounts: made, routes, functions });
  return server;
}
