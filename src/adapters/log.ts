import { SessionError } from "../errors.ts";

/**
 * Logs an error that an adapter or its framework answers by itself, with its cause: otherwise no operator would learn of it.
 * An error that only the client can mend (a conflict, a foreign origin) is left out.
 */
export function logSessionError(error: unknown): void {
  if (error instanceof SessionError && error.status < 500) return;
  console.error(error);
}
