import { bodyLimit, type H3Event, type Middleware } from "nitro/h3";
import { sessionMiddleware } from "sojourn/h3";
import type { AdapterParts, AdapterRoute } from "sojourn/testing";

interface Application {
  readonly middleware: Middleware;
  readonly routes: readonly AdapterRoute[];
}

/** The application of each case, by the port of its server. */
const applications = new Map<string, Application>();

export const applicationOf = ({ url }: H3Event): Application | undefined => applications.get(url.port);

export function addApplication(port: string, { mounts, routes }: AdapterParts): void {
  const layers = [
    ...mounts.map(({ path, sessions, options }) => layer(path, sessionMiddleware(sessions, options))),
    bodyLimit(1000),
  ];
  const middleware = layers.reduceRight<Middleware>(
    (inner, outer) => (event, next) => outer(event, () => inner(event, next)),
    (_event, next) => next(),
  );
  applications.set(port, { middleware, routes });
}

const layer =
  (path: string, middleware: Middleware): Middleware =>
  (event, next) =>
    event.url.pathname.startsWith(path) ? middleware(event, next) : next();
