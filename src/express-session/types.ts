import type { SessionMiddleware } from "./middleware.ts";
import type { SessionData } from "./index.ts";
import type { Session } from "./session.ts";

// The compiler sees the library's sources together, but a program loads only one of these entries.
/* oxlint-disable typescript/ban-ts-comment, typescript/prefer-ts-expect-error */

// An entry of its own: @types/express-session declares other types for the same properties, and only one can be loaded.
declare global {
  // oxlint-disable-next-line typescript/no-namespace -- the place that Express gives for this
  namespace Express {
    interface Request {
      /** The session. Its data are typed by `SessionData` of "sojourn/express-session". */
      // @ts-ignore -- declared by sojourn/express/types
      session: Session & Partial<SessionData>;
      /** The session's public id. */
      sessionID: string;
      /** The sessions by their ids. */
      // @ts-ignore -- declared by @types/express-session
      sessionStore: SessionMiddleware["store"];
    }
  }
}
