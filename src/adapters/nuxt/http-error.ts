import { SessionError } from "../../errors.ts";
import { logSessionError } from "../adapter.ts";

/** An error with a status, as h3 1 knows it. It is not imported from there: an application may have two versions of h3. */
export class HttpError extends Error {
  static readonly __h3_error__ = true;
  readonly fatal = false;
  readonly unhandled = false;
  readonly statusCode: number;
  readonly statusMessage: string;

  constructor(statusCode: number, statusMessage: string, cause?: unknown) {
    super(statusMessage, { cause });
    this.statusCode = statusCode;
    this.statusMessage = statusMessage;
  }

  toJSON(): object {
    const { message, statusCode, statusMessage } = this;
    return { message, statusCode, statusMessage };
  }
}

/** Gives h3 the status of our error. It logs and hides the errors of others. */
export function asHttpError(error: unknown): unknown {
  if (!(error instanceof SessionError)) return error;
  logSessionError(error);
  return new HttpError(error.status, error.expose ? error.message : "The session is not available", error);
}
