import { createSessions } from "sojourn";
import { csrfProtection } from "sojourn/csrf";
import { fileStore } from "sojourn/file";

const { SECRET_KEY, SESSION_DIR } = process.env;

export const sessions = createSessions({
  secretKey: SECRET_KEY,
  store: fileStore(SESSION_DIR === undefined ? {} : { directory: SESSION_DIR }),
});

export const csrf = csrfProtection();

export const options = { csrf };
