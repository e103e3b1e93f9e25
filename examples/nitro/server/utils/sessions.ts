import { createSessions } from "sojourn";
import { csrfProtection } from "sojourn/csrf";
import { fileStore } from "sojourn/file";

declare module "sojourn" {
  interface SessionData {
    username?: string;
  }
}

const { SECRET_KEY, SESSION_DIR } = process.env;

export const sessions = createSessions({
  secretKey: SECRET_KEY,
  store: fileStore(SESSION_DIR === undefined ? {} : { directory: SESSION_DIR }),
});

export const csrf = csrfProtection();
