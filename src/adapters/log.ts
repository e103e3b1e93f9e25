import { SessionError } from "../errors.ts";

/**
 * Logs an error that an adapter answers by itself, with its cause: otherwise nobody would learn of it. An error that only
 * the client can mend (a conflict, a foreign origin) is none of the operator's.
 */
export function logSessionError(error: unknown): void {
  if (error instanceof SessionError && error.status < 500) return;
  console.error(error);
}
