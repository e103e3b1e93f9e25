import { sessionMiddleware } from "sojourn/astro";
import { csrf, sessions } from "./sessions.js";

export const onRequest = sessionMiddleware(sessions, { csrf });
