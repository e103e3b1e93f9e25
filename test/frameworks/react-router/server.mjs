// The built application, on ports of its own: one for each case.
import { createServer } from "node:http";
import { createRequestListener } from "@react-router/node";
import { sessionMiddleware } from "sojourn/react-router";
import * as build from "./build/server/index.js";

globalThis.cases = new Map();

/** Starts the application with the parts of a case. */
export async function start({ mounts, routes = [], pages }) {
  const made = mounts.map(({ path, sessions, options }) => ({
    path,
    middleware: sessionMiddleware(sessions, options),
  }));
  const server = createServer(createRequestListener({ build, mode: "production" }));
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  globalThis.cases.set(String(server.address().port), { mounts: made, routes, pages });
  return server;
}
