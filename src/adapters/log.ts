import { SessionError } from "../errors.ts";

/**
 * Logs an error that an adapter or its framework answers by itself, with its cause: otherwise no operator would learn of it.
 * An error that only the client can mend (a conflict, a foreign origin) is left out. Data over the limits are the program's
 * matter, although a user may have sent them, and the message names the limit.
 */
export function logSessionError(error: unknown): void {
  if (error instanceof SessionError && error.status < 500 && error.status !== 413) return;
  console.error(error);
}
