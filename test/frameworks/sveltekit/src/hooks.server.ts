import type { Handle, HandleServerError } from "@sveltejs/kit/hooks";
import { handleSessionError } from "sojourn/sveltekit";
import { applicationOf } from "./suite.js";

export const handle: Handle = (input) => applicationOf(input.event.request)!.handle(input);

export const handleError: HandleServerError = handleSessionError;
