import { building } from "$app/env";
import { randomBytes } from "node:crypto";
import { createSessions } from "sojourn";
import { csrfProtection } from "sojourn/csrf";
import { fileStore } from "sojourn/file";

const { SECRET_KEY, SESSION_DIR } = process.env;

export const sessions = createSessions({
  // The build runs this module too, and needs no key.
  secretKey: building ? randomBytes(32) : SECRET_KEY,
  store: fileStore(SESSION_DIR === undefined ? {} : { directory: SESSION_DIR }),
});

export const csrf = csrfProtection();
