/// <reference types="node" preserve="true" />
import type { IncomingMessage, ServerResponse } from "node:http";
import { refuseCached } from "../cached-route.ts";
import { MOUNT } from "../../request/frameworks.ts";
import type { DeclaredData, Session } from "../../session.ts";

declare module "h3" {
  interface H3EventContext {
    /** The session. Its data are typed by `SessionData` of "sojourn". */
    session: Session;
  }
}

/** What is used of an event of h3 1, which Nuxt 4 has. */
export interface NuxtEvent {
  readonly node: { readonly req: IncomingMessage; readonly res: ServerResponse };
  readonly context: object;
}

/** What a browser may know of its session: the data without the key `secure`. */
export type ClientSession = Partial<Omit<DeclaredData, "secure">> & {
  /** The public name of the session. A visitor has none. */
  readonly id?: string;
  /** The id of the user who has signed in. */
  readonly userId?: string;
};

/** What the context of an event has for `useUserSession`, which is a part of the browser's bundle too. */
export interface ServerPart {
  readonly sojourn?: {
    /** `undefined` where the page is for others too. */
    read(): ClientSession | undefined;
    clear(): void;
  };
}

/** Where a request, and the context of its event, has what belongs to it. */
export const CARRIED = Symbol("sojourn.carried");

/** A session, and the request of the client. */
export interface Carried {
  readonly session: Session;
  readonly req: IncomingMessage;
}

export interface Context extends ServerPart {
  readonly [CARRIED]?: Carried;
  readonly session?: Session;
  /** Nitro sets it while it makes a response for its cache. */
  readonly cache?: object;
  /** Nitro's own part, with the rules of the route. */
  readonly _nitro?: { readonly routeRules?: { readonly isr?: unknown } };
}

/** Whether the response of a route is kept for everybody: by Nitro, or by the platform, which `isr` asks to do so. */
export function isKeptForAll({ cache, _nitro }: Context): boolean {
  return cache !== undefined || Boolean(_nitro?.routeRules?.isr);
}

/** Gives the context of an event the session of its request. */
export function carry(context: Context, carried: Carried): void {
  Object.defineProperties(context, {
    [CARRIED]: { value: carried, configurable: true },
    session: SESSION,
    sojourn: { value: serverPart(context, carried), configurable: true },
  });
}

/** @throws TypeError where a response is made that Nitro keeps. */
export function checkUncached(context: Context): void {
  if (isKeptForAll(context)) refuseCached();
}

const SESSION: PropertyDescriptor & ThisType<Context> = {
  configurable: true,
  enumerable: true,
  get() {
    checkUncached(this);
    return this[CARRIED]!.session;
  },
};

function serverPart(context: Context, { session }: Carried): ServerPart["sojourn"] {
  return {
    read: () => (isKeptForAll(context) || !session.isLoaded ? undefined : clientSession(session)),
    clear: () => session.signOut(),
  };
}

/** The session of an event. */
export function sessionIn(context: Context): Session {
  const { session } = context;
  if (!session) throw new TypeError(`This request has no session: ${MOUNT.nuxt}. Pages that are prerendered have none`);
  return session;
}

/** The part of a session that its browser may know. */
export function clientSession(session: Session): ClientSession {
  const { secure: _secure, ...data } = session.toJSON() as { secure?: unknown };
  const { userId } = session;
  return { ...data, ...(session.isNew ? {} : { id: session.id }), ...(userId === undefined ? {} : { userId }) };
}
