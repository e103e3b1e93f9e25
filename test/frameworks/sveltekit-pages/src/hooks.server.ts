import type { Handle, HandleServerError } from "@sveltejs/kit/hooks";
import { randomBytes } from "node:crypto";
import { createSessions } from "sojourn";
import { memoryStore } from "sojourn/memory";
import { handleSessionError, sessionHandle } from "sojourn/sveltekit";

// A build that prerenders runs this module too.
const sessions =
  globalThis.sojournPages?.sessions ?? createSessions({ secretKey: randomBytes(32), store: memoryStore() });

export const handle: Handle = sessionHandle(sessions);

export const handleError: HandleServerError = handleSessionError;
