import { randomBytes } from "node:crypto";
import { createSessions } from "sojourn";
import { sessionMiddleware } from "sojourn/astro";
import { memoryStore } from "sojourn/memory";

// A build that prerenders runs this module too.
const sessions =
  globalThis.sojournPages?.sessions ?? createSessions({ secretKey: randomBytes(32), store: memoryStore() });

export const onRequest = sessionMiddleware(sessions, { personal: ({ url }) => url.pathname.startsWith("/personal") });
