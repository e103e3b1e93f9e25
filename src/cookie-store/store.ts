import { OPERATIONS, refuseClientSide } from "../capabilities.ts";
import { checkOptions, checkPositiveInteger } from "../checks.ts";
import type { Context } from "../context.ts";
import { Deadline } from "../deadline.ts";
import type { SessionsOptions } from "../options.ts";
import type { ClientSide, ClientSideStore } from "../request/client-side.ts";
import { MAX_LIFETIME, type SessionCookie } from "../request/cookie.ts";
import type { SessionStore } from "../store.ts";
import { storedIdOf } from "../users.ts";
import { HeldSessions, HeldStore, suffixOf, type Shared } from "./held-sessions.ts";
import { MAX_PIECES } from "./pieces.ts";
import { RecentCookies } from "./recent-cookies.ts";
import { RevocableStore } from "./revocable-store.ts";
import { Revocations } from "./revocations.ts";

/** The options of {@link cookieStore}. */
export interface CookieStoreOptions {
  /**
   * Maximum size of a session in bytes, before it is encrypted. Encryption and encoding add a third. Default `8192`, at most
   * `10240`: Node and many proxies refuse requests with more than 16 KB of headers.
   */
  maxBytes?: number;
  /**
   * A store on the server that remembers what has ended, for one read of each request that has a session, and one more where
   * the cookie changes. With it a sign-out ends copies of the cookie too, and `revoke`, `revokeAll`, `credentialsChanged` and
   * `rotate` work. Default none.
   */
  revocations?: SessionStore;
}

const MAX_BYTES = 10_240;
/** RFC 6265bis, section 5.6, allows this for name and value. Some browsers count the attributes as well. */
const MAX_COOKIE = 4096;
/** The room for the value of a piece, so that the largest session fits into the pieces that there are. */
const LEAST_ROOM = 2048;

/**
 * Keeps each session in its client's cookies, encrypted and authenticated by the secret key. The server stores nothing, so a
 * copied cookie stays valid after the sign-out, until its timeouts, unless there are `revocations`.
 *
 * @example
 * const sessions = createSessions({ secretKey: process.env.SECRET_KEY, store: cookieStore() });
 *
 * @throws TypeError for a wrong option.
 */
export function cookieStore(options: CookieStoreOptions = {}): SessionStore {
  checkOptions("cookieStore", options, { maxBytes: true, revocations: true });
  const { maxBytes = 8192, revocations } = options;
  checkPositiveInteger("cookieStore: maxBytes", maxBytes, MAX_BYTES);
  if (revocations !== undefined) checkRevocations(revocations);

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
    ...(revocations?.deleteExpired && { deleteExpired: revocations.deleteExpired.bind(revocations) }),
    ...(revocations?.close && { close: revocations.close.bind(revocations) }),
    clientSide(settings, cookie, { absolute }) {
      refuseSettings(settings);
      const longest = Math.max(absolute, MAX_LIFETIME);
      return createClientSide(
        { recent: new RecentCookies(), maxBytes, room: roomIn(cookie) },
        revocations && new Revocations(revocations, cookie.baseName, longest),
      );
    },
  };
  return store;
}

function checkRevocations(store: SessionStore): void {
  const isStore = typeof store === "object" && store !== null && OPERATIONS.every((name) => name in store);
  if (!isStore) {
    throw new TypeError(
      "cookieStore: revocations must be a store on the server, such as fileStore() or redisStore(client)",
    );
  }
  refuseClientSide("cookieStore: revocations", store);
}

function createClientSide(shared: Shared, revocations: Revocations | undefined): ClientSide {
  /** Asks the revocations within the time that an application has set for its store. */
  function ask<T>(
    { storeTimeout }: Context,
    call: string,
    question: (revocations: Revocations) => Promise<T>,
  ): Promise<T> {
    requireRevocations(call);
    return new Deadline(storeTimeout).run("revoke", () => question(revocations!));
  }

  function requireRevocations(call: string): void {
    if (revocations) return;
    throw new TypeError(
      `${call} needs cookieStore({ revocations }), a store on the server: without it no cookie becomes invalid before its timeouts`,
    );
  }

  return {
    begin(context, header, isSecure) {
      const held = new HeldSessions(context, shared, header, isSecure);
      const store = revocations ? new RevocableStore(context, held, revocations) : new HeldStore(held);
      return { store, cookie: held.cookie, presented: held.presented };
    },

    refuse,
    hasRevocations: revocations !== undefined,
    requireRevocations,

    list: async () => refuse("sessions.list()"),
    revokeEverything: async () => refuse("sessions.revokeEverything()"),

    async revoke(context, id, userId) {
      requireRevocations("sessions.revoke()");
      if (userId === undefined) {
        throw new TypeError(
          "sessions.revoke(id): with cookieStore() it needs { userId } as well, since only the user's revocations are read",
        );
      }
      const stored = storedIdOf(context, id)!;
      const isEnded = await ask(context, "sessions.revoke()", (list) => list.revokeId(userId, stored, context.now));
      if (isEnded) context.emitter.emit("revoked", { id: stored, userId });
      return isEnded;
    },

    async revokeAll(context, userId, except) {
      // While a sign-in is under way, the session is known by its former id.
      const spared = storedIdOf(context, except);
      await ask(context, "sessions.revokeAll()", (list) => list.revokeAll(userId, spared, context.now));
      return undefined;
    },
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
