import type { Session } from "../session.ts";

// An entry of its own: @types/express-session declares another type for the same property, and only one can be loaded.
declare global {
  // oxlint-disable-next-line typescript/no-namespace -- the place that Express gives for this
  namespace Express {
    interface Request {
      /** The session. Its data are typed by `SessionData` of "sojourn". */
      session: Session;
    }
  }
}
