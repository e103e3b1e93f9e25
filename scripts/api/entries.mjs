// The entries of package.json, each with its page and with a sentence on what it is for.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "../setup.mjs";

const PURPOSES = {
  ".": "Makes the sessions of an application, and has the types of a session, its options, events and errors.",
  "./memory": "A store in the memory of this process.",
  "./cookie": "A store in the clients' own cookies.",
  "./file": "A store in files of this machine.",
  "./sqlite": "A store in SQLite.",
  "./redis": "A store in Redis or Valkey.",
  "./postgres": "A store in PostgreSQL.",
  "./mysql": "A store in MariaDB or MySQL.",
  "./cached": "A near cache in front of another store.",
  "./moving": "Two stores at once, while an application moves from one to the other.",
  "./copy": "Copies the sessions of one store to another.",
  "./open": "Makes a store, and its client, from a URL.",
  "./adapter": "The parts that adapters for frameworks are made of.",
  "./adapter/node": "The parts that adapters for frameworks on node:http are made of.",
  "./adapter/fetch": "The parts that adapters for frameworks with `Response` objects are made of.",
  "./adapter/inner-requests": "The parts of adapters for frameworks that make requests within a request.",
  "./context": "The session of the current request as an import.",
  "./bearer": "Tokens in `Authorization: Bearer`, for native clients.",
  "./csrf": "Refuses requests that pages of other origins send.",
  "./adopt":
    "Keeps users signed in who come from express-session, cookie-session, iron-session, @fastify/session or koa-session.",
  "./passport": "Makes passport and @fastify/passport sign in by Sojourn's sessions.",
  "./tracing": "Publishes each operation by `node:diagnostics_channel`.",
  "./fetch": "The adapter for whatever speaks `Request` and `Response`: Bun, Deno, Workers.",
  "./node": "The adapter for node:http.",
  "./express": "The adapter for Express 5 and 4.",
  "./express/types": "The type of `req.session` in Express.",
  "./express-session/types": "The types of `req.session`, `req.sessionID` and `req.sessionStore` of the drop-in.",
  "./express-session": "express-session on Sojourn, and its stores for Sojourn.",
  "./fastify": "The adapter for Fastify 5.",
  "./koa": "The adapter for Koa 3.",
  "./nest": "The module for NestJS 12, on Express and on Fastify.",
  "./socket.io": "The adapter for socket.io 4.",
  "./sveltekit": "The adapter for SvelteKit 3.",
  "./next": "The adapter for Next.js 16.",
  "./astro": "The adapter for Astro 7.",
  "./react-router": "The adapter for React Router 8.",
  "./tanstack-start": "The adapter for TanStack Start.",
  "./hono": "The adapter for Hono 4.",
  "./h3": "The adapter for h3 2 and Nitro 3.",
  "./nuxt": "The module for Nuxt 4.",
  "./nuxt/server": "The functions that the module for Nuxt imports automatically on the server.",
  "./testing": "What the tests of an application, a store or an adapter need.",
};

/** Each entry: how it is imported, its declarations, the name of its page, and its purpose. */
export function entries() {
  const { name, exports } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8"));
  return Object.entries(exports)
    .filter(([path]) => !path.endsWith(".json"))
    .map(([path, { types }]) => {
      if (!Object.hasOwn(PURPOSES, path)) throw new Error(`scripts/api/entries.mjs says nothing of ${path}`);
      const page = path === "." ? name : path.slice(2).replaceAll("/", "-");
      return {
        specifier: name + path.slice(1),
        file: join(ROOT, types),
        page: `${page}.md`,
        purpose: PURPOSES[path],
      };
    });
}
