import { getSessions } from "./lib/session";

/** Without SECRET_KEY the server does not start, and says how to get one. */
export function register() {
  try {
    getSessions();
  } catch (error) {
    console.error((error as Error).message);
    process.exit(1);
  }
}
