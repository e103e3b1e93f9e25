import { tracingChannel, type TracingChannel } from "node:diagnostics_channel";
import { capabilitiesOf, OPERATIONS, syncOf, syncOperation } from "./capabilities.ts";
import { isPromise, type Answer } from "./coroutine.ts";
import type { Plan, TokenStatus } from "./lifecycle/decisions.ts";
import type { SessionStore } from "./store.ts";

/** What every message has besides its own fields. */
interface Outcome {
  /** At `end`: whether `asyncEnd` follows. A store in this process answers at once. */
  readonly isAsync?: boolean;
  /** The error of an operation that failed. */
  readonly error?: unknown;
}

/** A request's session is read. */
export interface OpenMessage extends Outcome {
  /** The public id that the cookie names. Of a session that is kept in cookies it is not known before. */
  readonly id?: string | undefined;
  /** At the end: what became of the cookie's token. */
  readonly status?: TokenStatus;
}

/** The changes of a request are stored. */
export interface CommitMessage extends Outcome {
  /** The public id. */
  readonly id: string;
  /** What has to be done: `"create"`, `"update"`, `"touch"`, `"move"` (a sign-in), `"delete"` (a sign-out), `"drop"`. */
  readonly operation: Plan;
}

/** One call of the store. */
export interface StoreMessage extends Outcome {
  /** The name of the store's method. */
  readonly operation: string;
  /** The public id, of operations on one session. */
  readonly id?: string | undefined;
}

/** Sessions are ended from the server's side. */
export interface RevokeMessage extends Outcome {
  /** The function of `sessions` that was called. */
  readonly operation: "revoke" | "revokeAll" | "revokeEverything" | "credentialsChanged";
  /** Of `revoke`. */
  readonly id?: string | undefined;
  /** At the end: whether it ended, or how many. */
  readonly ended?: boolean | number | undefined;
}

/** The message of each channel. */
export interface TracingMessages {
  open: OpenMessage;
  commit: CommitMessage;
  store: StoreMessage;
  revoke: RevokeMessage;
}

/** A message of any channel, for a subscriber to all of them. */
export interface TracingMessage extends Outcome {
  /** The public id, of operations on one session. */
  readonly id?: string | undefined;
  /** The kind of operation, of channels that have several. */
  readonly operation?: string;
}

/** Publishes what `createSessions` does, for its option `tracing`. */
export interface SessionTracing {
  /**
   * Runs an operation between the messages of its channel.
   *
   * @param outcome - what the last messages have in addition.
   */
  run<Name extends keyof TracingMessages, T>(
    name: Name,
    message: TracingMessages[Name],
    operation: () => Answer<T>,
    outcome?: (result: T) => Partial<TracingMessages[Name]>,
  ): Answer<T>;
  /** A store whose operations are published. */
  store(store: SessionStore): SessionStore;
}

type Channels = Readonly<Record<keyof TracingMessages, TracingChannel<unknown, object>>>;

const channels: Channels = {
  open: tracingChannel("sojourn:open"),
  commit: tracingChannel("sojourn:commit"),
  store: tracingChannel("sojourn:store"),
  revoke: tracingChannel("sojourn:revoke"),
};

/** Not every runtime knows it of the whole. */
function hasSubscribers({ start, end, asyncStart, asyncEnd, error }: TracingChannel<unknown, object>): boolean {
  return [start, end, asyncStart, asyncEnd, error].some((channel) => channel.hasSubscribers);
}

/**
 * For the option `tracing` of `createSessions`: publishes reading, committing, revoking and the calls of the store on the
 * channels `tracing:sojourn:open`, `commit`, `revoke` and `store` of `node:diagnostics_channel`. Messages have public ids,
 * and never a token, a secret or data.
 *
 * @example
 * const sessions = createSessions({ secretKey, store, tracing });
 */
export const tracing: SessionTracing = {
  run(name, given, operation, outcome) {
    const channel = channels[name];
    if (!hasSubscribers(channel)) return operation();
    // Every subscriber of one operation gets the same object.
    const message: object = { ...given };
    const failed = (error: unknown) => {
      Object.assign(message, { error });
      channel.error.publish(message);
    };
    // An answer at once stays one: TracingChannel's own methods would make a promise of it.
    return channel.start.runStores(message, () => {
      try {
        const answer = operation();
        Object.assign(message, { isAsync: isPromise(answer) });
        if (isPromise(answer)) {
          return Promise.resolve(answer).then(
            (result) => {
              Object.assign(message, outcome?.(result));
              publishAsyncEnd(channel, message);
              return result;
            },
            (error: unknown) => {
              failed(error);
              publishAsyncEnd(channel, message);
              throw error;
            },
          );
        }
        Object.assign(message, outcome?.(answer));
        return answer;
      } catch (error) {
        failed(error);
        throw error;
      } finally {
        channel.end.publish(message);
      }
    });
  },

  store(store) {
    const traced: Record<string, unknown> = { ...capabilitiesOf(store) };
    for (const name of ["readLatest", "idsOfUser", "deleteExpired"] as const) {
      const method = store[name] as ((...args: unknown[]) => Promise<unknown>) | undefined;
      if (!method) continue;
      traced[name] = async (...args: unknown[]) =>
        tracing.run("store", messageOf(name, name === "readLatest" ? args : []), () => method.apply(store, args));
    }
    for (const name of OPERATIONS) {
      const sync = syncOf(store, name) as ((...args: unknown[]) => unknown) | undefined;
      const method = store[name] as (...args: unknown[]) => Promise<unknown>;
      traced[name] = sync
        ? syncOperation((...args: unknown[]) =>
            tracing.run("store", messageOf(name, args), () => sync.apply(store, args)),
          )
        : (...args: unknown[]) => tracing.run("store", messageOf(name, args), () => method.apply(store, args));
    }
    return traced as unknown as SessionStore;
  },
};

function publishAsyncEnd({ asyncStart, asyncEnd }: TracingChannel<unknown, object>, message: object): void {
  asyncStart.publish(message);
  asyncEnd.publish(message);
}

function messageOf(operation: string, [id]: readonly unknown[]): StoreMessage {
  return { operation, id: id as string | undefined };
}
