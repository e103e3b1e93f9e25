import { namesOf } from "./checks.ts";
import { isPromise } from "./coroutine.ts";
import { printable } from "./printable.ts";
import { warn } from "./warnings.ts";
import type { Client } from "./record/record.ts";

/** The properties of every event of a session. The id is the public one; events never contain a token. */
export interface SessionEvent {
  readonly id: string;
  readonly userId?: string | undefined;
}

/** The events that `sessions.on` subscribes to. */
export interface SessionEvents {
  /** A session was stored for the first time. */
  created: SessionEvent;
  /** A former session was adopted, from the source of this name. */
  adopted: SessionEvent & { readonly source: string };
  /** A user signed in. `previousId` is the id that the session had before, if there was one. */
  signedIn: SessionEvent & { readonly previousId?: string | undefined };
  /** The session's token was replaced by `rotate()`, or by periodic rotation once the client had the new one. */
  rotated: SessionEvent;
  /** A handler called `signOut()`, or signed in another user. */
  signedOut: SessionEvent;
  /** The server ended the session by `revoke`, `revokeAll`, `revokeEverything`, or the limit `maxPerUser`. */
  revoked: SessionEvent;
  /**
   * A request presented a token after it was rotated out and its grace was over, so the session was ended. `client` is
   * the client that signed in, and `presentedBy` the client of this request, as the option `client` returned them.
   */
  replayed: SessionEvent & { readonly client?: Client | undefined; readonly presentedBy?: Client | undefined };
  /** A request presented the token of a session that is past its absolute timeout. */
  expired: SessionEvent;
  /**
   * A request's changes were dropped: its session had ended, its token had been replaced meanwhile, they came after the
   * response and were not saved, they were made inside of something that another request had removed meanwhile, or the
   * client had gone before the response and could not be given the token that they need.
   */
  dropped: SessionEvent & {
    readonly reason: "ended" | "superseded" | "late" | "removed" | "disconnected";
    /** Where the changes were made that another request's removal has dropped: `session.data.cart.items`. */
    readonly paths?: readonly string[];
  };
  /** Work without a waiting request failed: a touch, a check of a signal, or the deletion of expired sessions. */
  error: { readonly id?: string | undefined; readonly error: unknown };
}

/** A function that `sessions.on` calls with each event of one name. */
export type SessionListener<Name extends keyof SessionEvents> = (event: SessionEvents[Name]) => void;

export interface Emitter {
  on<Name extends keyof SessionEvents>(name: Name, listener: SessionListener<Name>): () => void;
  emit<Name extends keyof SessionEvents>(name: Name, event: SessionEvents[Name]): void;
}

const EVENT_NAMES = namesOf<keyof SessionEvents>({
  created: true,
  adopted: true,
  signedIn: true,
  rotated: true,
  signedOut: true,
  revoked: true,
  replayed: true,
  expired: true,
  dropped: true,
  error: true,
});

/** Copies and freezes an event and the clients in it, so that no listener can change them. Errors are not copied. */
function freezeEvent<Event extends object>(event: Event): Event {
  const copy = { ...event } as Record<string, unknown>;
  for (const key of Object.keys(copy)) {
    const value = copy[key];
    const isPlain = typeof value === "object" && value !== null && Object.getPrototypeOf(value) === Object.prototype;
    if (isPlain) copy[key] = Object.freeze({ ...value });
  }
  return Object.freeze(copy as Event);
}

export function createEmitter(): Emitter {
  // Wrapped: a listener may be there twice.
  const listeners = new Map<string, Set<{ readonly listener: (event: never) => void }>>();
  return {
    on(name, listener) {
      if (!EVENT_NAMES.includes(name))
        throw new TypeError(`No event is called ${name}; there are ${EVENT_NAMES.join(", ")}`);
      if (typeof listener !== "function") throw new TypeError("A listener must be a function");
      const set = listeners.get(name) ?? new Set();
      const subscription = { listener };
      listeners.set(name, set.add(subscription));
      return () => void set.delete(subscription);
    },
    emit(name, given) {
      const set = listeners.get(name);
      if (!set || set.size === 0) return;
      // All listeners get the same object.
      const event = freezeEvent(given);
      for (const { listener } of set) {
        // An error of a listener must neither fail the request nor stay unnoticed.
        const warnOfFailure = (error: unknown) => {
          const description = error instanceof Error ? (error.stack ?? error.message) : String(error);
          // A stack has lines.
          const lines = description.split("\n").map(printable).join("\n");
          warn("SOJOURN_LISTENER", `A listener of "${name}" failed: ${lines}`);
        };
        try {
          const done = (listener as (event: unknown) => unknown)(event);
          if (isPromise(done)) done.then(undefined, warnOfFailure);
        } catch (error) {
          warnOfFailure(error);
        }
      }
    },
  };
}
