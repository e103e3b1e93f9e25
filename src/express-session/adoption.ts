import type { FormerSessions } from "../former.ts";
import { expressSession } from "../interop/express-session.ts";
import type { KeptSettings } from "./cookie.ts";
import type { ExpressSessionStore } from "./express-store.ts";
import type { StoredData } from "./store.ts";

/** Under this key the former cookie comes along: a source gives the data without it. */
const CARRIED = "\0cookie";

/**
 * The sessions that express-session has left in the store that it shares with this application: their users stay signed in.
 *
 * @param usual - the lifetime that sessions have by the options. A session that had another one keeps it.
 */
export function formerSessions(
  store: ExpressSessionStore,
  options: {
    readonly secrets: readonly Uint8Array[];
    readonly name: string;
    readonly usual: number | null;
    readonly userId: (data: Readonly<Record<string, unknown>>) => string | undefined;
  },
): FormerSessions {
  const { secrets, name, usual, userId } = options;
  const source = expressSession({
    secret: secrets,
    name,
    userId,
    store: {
      get: (id: string, callback: (error: unknown, found?: unknown) => void) =>
        store.get(id, (error, found) => callback(error, found ? withCookie(found as StoredData) : undefined)),
      destroy: (id: string, callback: (error?: unknown) => void) => store.destroy(id, callback),
    },
    data({ [CARRIED]: carried, ...data }) {
      const { originalMaxAge } = carried as KeptSettings;
      return typeof originalMaxAge === "number" && originalMaxAge !== usual
        ? { ...data, cookie: { originalMaxAge } }
        : data;
    },
  });
  // Our cookie takes the place of the former one.
  return { ...source, cookies: [] };
}

/** A record of Sojourn's own in that store is no former session. */
function withCookie(found: StoredData): object | undefined {
  return Object.hasOwn(found, "sojourn") ? undefined : { ...found, [CARRIED]: found.cookie ?? {} };
}
