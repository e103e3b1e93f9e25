import { createSessions } from "sojourn";
import { csrfProtection } from "sojourn/csrf";
import { fileStore } from "sojourn/file";
import { nextSessions } from "sojourn/next";

declare module "sojourn" {
  interface SessionData {
    username?: string;
  }
}

export const csrf = csrfProtection();

export const { getSession, action, route, getSessions } = nextSessions(
  () =>
    createSessions({
      secretKey: process.env.SECRET_KEY,
      store: fileStore({ directory: process.env.SESSION_DIR }),
    }),
  { csrf },
);
