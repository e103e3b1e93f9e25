import { namesOf } from "./checks.ts";
import { warn } from "./warnings.ts";
import type { Client } from "./record/record.ts";

/** What happened to a session: its public id, never its token. */
export interface SessionEvent {
  readonly id: string;
  readonly userId?: string | undefined;
}

export interface SessionEvents {
  /** A session was stored for the first time. */
  created: SessionEvent;
  /** A user signed in. `previousId`: the session's id until then, where there was one. */
  signedIn: SessionEvent & { readonly previousId?: string | undefined };
  /** The session's token was replaced by `rotate()`, or by periodic rotation once the client had the new one. */
  rotated: SessionEvent;
  signedOut: SessionEvent;
  /** The session was ended from the server's side. */
  revoked: SessionEvent;
  /**
   * A token came back after it had been rotated out and its grace was over: the session was ended. `client` is who had
   * signed in and `presentedBy` who came with the old token, as far as the application tells.
   */
  replayed: SessionEvent & { readonly client?: Client | undefined; readonly presentedBy?: Client | undefined };
  /** A request came with the token of a session that is past its absolute timeout. */
  expired: SessionEvent;
  /**
   * A request's changes were dropped: its session had ended, its token had been replaced meanwhile, or they came after the
   * response and were not saved.
   */
  dropped: SessionEvent & { readonly reason: "ended" | "superseded" | "late" };
  /** Something failed without a request to tell it to: a touch, or the collection of expired sessions. */
  error: { readonly id?: string | undefined; readonly error: unknown };
}

export type SessionListener<Name extends keyof SessionEvents> = (event: SessionEvents[Name]) => void;

export interface Emitter {
  on<Name extends keyof SessionEvents>(name: Name, listener: SessionListener<Name>): () => void;
  emit<Name extends keyof SessionEvents>(name: Name, event: SessionEvents[Name]): void;
}

const EVENT_NAMES = namesOf<keyof SessionEvents>({
  created: true,
  signedIn: true,
  rotated: true,
  signedOut: true,
  revoked: true,
  replayed: true,
  expired: true,
  dropped: true,
  error: true,
});

/** A copy that no listener can change, with what the application told of clients in it; errors stay what they are. */
function freezeEvent<Event extends object>(event: Event): Event {
  const copy = Object.entries(event).map(([key, value]: [string, unknown]) => {
    const isPlain = typeof value === "object" && value !== null && Object.getPrototypeOf(value) === Object.prototype;
    return [key, isPlain ? Object.freeze({ ...value }) : value] as const;
  });
  return Object.freeze(Object.fromEntries(copy) as Event);
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
      // Several listeners are given the same.
      const event = freezeEvent(given);
      for (const { listener } of listeners.get(name) ?? []) {
        // A listener's mistake must not fail the request that it listens to, nor go unheard.
        const warnOfFailure = (error: unknown) => {
          const description = error instanceof Error ? (error.stack ?? error.message) : String(error);
          warn("SOJOURN_LISTENER", `A listener of "${name}" failed: ${description}`);
        };
        try {
          const done = (listener as (event: unknown) => unknown)(event);
          if (done instanceof Promise) done.catch(warnOfFailure);
        } catch (error) {
          warnOfFailure(error);
        }
      }
    },
  };
}
