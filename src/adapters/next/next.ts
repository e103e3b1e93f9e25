// oxlint-disable-next-line import/no-unassigned-import -- it has to run before Next.js is loaded
import "./async-storage.ts";
import { after, connection } from "next/server.js";
import { cookies, headers } from "next/headers.js";
import { refresh } from "next/cache.js";
import { checkOptions } from "../../checks.ts";
import type { DeclaredData } from "../../session.ts";
import type { Sessions } from "../../sessions.ts";
import { ADAPTER_OPTIONS } from "../adapter.ts";
import { createNextSessions, type NextOptions, type NextSessions } from "./create.ts";

export type { NextOptions, NextSessions, SessionSnapshot } from "./create.ts";
export type { ReadonlyData, ReadonlySession } from "./read-only.ts";
export type { NextHeaders, NextRequestInfo } from "./request.ts";

const NEXT = { headers, cookies, connection, after, refresh };

/** Those of this process. Next.js evaluates the application's module once for pages, once for route handlers, and at each reload. */
const made = new Map<string, unknown>();

/**
 * The sessions of an application of Next.js 16.
 *
 * @param sessions - a function that calls `createSessions`. It is called once in a process, at the first use, so that `next
 * build` needs no secret key, and `next dev` opens no second store. Or what `createSessions` made.
 * @example
 * export const { getSession, takeFlashes, action, route, getSessions } = nextSessions(() =>
 *   createSessions({ secretKey: process.env.SECRET_KEY, store: fileStore() }),
 * );
 *
 * @throws TypeError for anything else, for an unknown option, and where Next.js has bundled Sojourn several times.
 */
export function nextSessions<Data extends object = DeclaredData>(
  sessions: Sessions<Data> | (() => Sessions<Data>),
  options: NextOptions = {},
): NextSessions<Data> {
  expectOneCopy();
  if (typeof sessions !== "function") return createNextSessions(NEXT, sessions, options);
  checkOptions("nextSessions", options, { ...ADAPTER_OPTIONS, onError: true, name: true });
  const { name = "sessions" } = options;
  return lazily(() => {
    const found = made.get(name) as NextSessions<Data> | undefined;
    const created = found ?? createNextSessions(NEXT, sessions(), options);
    if (!found) made.set(name, created);
    return created;
  });
}

/** The same as what the function gives, which is called at the first use, and never while `next build` makes pages. */
function lazily<Data extends object>(get: () => NextSessions<Data>): NextSessions<Data> {
  // headers() ends what next build renders: the page is made for each request.
  const atRequest = async () => (await headers(), get());
  return {
    getSession: async () => (await atRequest()).getSession(),
    readSession: async () => (await atRequest()).readSession(),
    takeFlashes: async (category) => (await atRequest()).takeFlashes(category),
    action(perform) {
      const make = once(() => get().action(perform));
      return async (...args) => make()(...args);
    },
    route(handler) {
      const make = once(() => get().route(handler));
      // The headers of a request end what next build makes, as above. A test of the application has no headers().
      return async (request, ...rest) => (void request.headers, make()(request, ...rest));
    },
    getSessions: () => get().getSessions(),
  };
}

function once<Made>(make: () => Made): () => Made {
  let one: Made | undefined;
  return () => (one ??= make());
}

const COPY = Symbol.for("sojourn.next");

/** Each copy would have sessions and a store of its own, and take those of another for none. */
function expectOneCopy(): void {
  const shared = globalThis as { [COPY]?: unknown };
  if ((shared[COPY] ??= made) === made) return;
  throw new TypeError(
    'nextSessions: Next.js has bundled Sojourn several times: add serverExternalPackages: ["sojourn"] to next.config, so that pages and route handlers share it',
  );
}
