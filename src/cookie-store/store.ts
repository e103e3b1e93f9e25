import { checkOptions, checkPositiveInteger } from "../checks.ts";
import type { SessionsOptions } from "../options.ts";
import type { ClientSide, ClientSideStore } from "../request/client-side.ts";
import { MAX_LIFETIME, type SessionCookie } from "../request/cookie.ts";
import type { SessionStore } from "../store.ts";
import { HeldSessions, HeldStore, suffixOf, type Limits } from "./held-sessions.ts";
import { MAX_PIECES } from "./pieces.ts";

/** The options of {@link cookieStore}. */
export interface CookieStoreOptions {
  /**
   * Maximum size of a session in bytes, before it is encrypted. Encryption and encoding add a third. Default `8192`, at most
   * `10240`: Node and many proxies refuse requests with more than 16 KB of headers.
   */
  maxBytes?: number;
}

const MAX_BYTES = 10_240;
/** RFC 6265bis, section 5.6, allows this for name and value. Some browsers count the attributes as well. */
const MAX_COOKIE = 4096;
/** The room for the value of a piece, so that the largest session fits into the pieces that there are. */
const LEAST_ROOM = 2048;

/**
 * Keeps each session in its client's cookies, encrypted and authenticated by the secret key. The server keeps nothing: it can
 * not list or revoke sessions, and a copied cookie stays valid after the sign-out, until its timeouts.
 *
 * @example
 * const sessions = createSessions({ secretKey: process.env.SECRET_KEY, store: cookieStore() });
 *
 * @throws TypeError for a wrong option.
 */
export function cookieStore(options: CookieStoreOptions = {}): SessionStore {
  checkOptions("cookieStore", options, { maxBytes: true });
  const { maxBytes = 8192 } = options;
  checkPositiveInteger("cookieStore: maxBytes", maxBytes, MAX_BYTES);

  const outside = async () => {
    throw new TypeError(
      "cookieStore() has sessions in a request only: give it to createSessions as its store, unwrapped",
    );
  };
  const store: ClientSideStore = {
    read: outside,
    create: outside,
    update: outside,
    touch: outside,
    delete: outside,
    clientSide(settings, cookie) {
      refuseSettings(settings);
      return createClientSide({ maxBytes, room: roomIn(cookie) });
    },
  };
  return store;
}

function createClientSide(limits: Limits): ClientSide {
  return {
    begin(context, header, isSecure) {
      const held = new HeldSessions(context, limits, header, isSecure);
      return { store: new HeldStore(held), cookie: held, presented: held.presented };
    },
    refuse,
    requireRevocations: refuse,
    list: async () => refuse("sessions.list()"),
    revoke: async () => refuse("sessions.revoke()"),
    revokeAll: async () => refuse("sessions.revokeAll()"),
    revokeEverything: async () => refuse("sessions.revokeEverything()"),
  };
}

function refuse(call: string): never {
  throw new TypeError(
    `${call} needs the sessions on a server, and cookieStore() keeps them with their clients: use another store`,
  );
}

function refuseSettings({ maxPerUser, rotation }: SessionsOptions): void {
  if (maxPerUser !== undefined)
    throw new TypeError("maxPerUser: nobody counts the sessions of cookieStore(): leave it out, or use another store");
  if (rotation !== undefined)
    throw new TypeError(
      "rotation: without a server's memory no replaced cookie becomes invalid: leave it out, or use another store than cookieStore()",
    );
}

/** The characters that are left for the value of a cookie, beside the longest name and attributes. */
function roomIn(cookie: SessionCookie): number {
  const longest = Math.max(
    ...[false, true].map((isSecure) => cookie.set("", MAX_LIFETIME, isSecure, true, suffixOf(MAX_PIECES)).length),
  );
  const room = MAX_COOKIE - longest;
  if (room >= LEAST_ROOM) return room;
  throw new TypeError(
    `cookie: its name and attributes leave ${room} characters of a cookie for cookieStore(), and ${LEAST_ROOM} are needed: use a shorter name, path or domain`,
  );
}
