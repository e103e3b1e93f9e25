import type { Handle, HandleServerError } from "@sveltejs/kit/hooks";
import { handleSessionError, sessionHandle } from "sojourn/sveltekit";
import { csrf, sessions } from "./lib/server/sessions.js";

export const handle: Handle = sessionHandle(sessions, { csrf });

export const handleError: HandleServerError = handleSessionError;
