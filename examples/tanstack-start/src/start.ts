import { createMiddleware, createStart } from "@tanstack/react-start";
import { sessionMiddleware } from "sojourn/tanstack-start";
import { csrf, sessions } from "./sessions.ts";

// Start removes the argument of server() from the client's bundle.
export const session = createMiddleware().server(sessionMiddleware(sessions, { csrf }));

export const startInstance = createStart(() => ({ requestMiddleware: [session] }));
