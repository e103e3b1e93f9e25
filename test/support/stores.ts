import type { Session } from "../../src/session.ts";
import { createSessions, sessionFactory, type Sessions } from "../../src/sessions.ts";
import type { AnyRequest } from "../../src/request/request.ts";
import type { SessionsOptions } from "../../src/options.ts";
import type { SessionEvents } from "../../src/events.ts";
import type { SessionStore } from "../../src/store.ts";
import { memoryStore } from "../../src/stores/memory.ts";
import { faulty, type FaultPlan, type FaultyStore } from "../../src/testing/faulty.ts";

/** Any moment: the tests' clock begins here. */
export const START = 1_000_000_000_000;

/** Secret keys that are good, different, and the same in every run. */
export const KEYS = [
  "4f0c1d5e8a7b92e6c3d81f40a59be7264f0c9d5e8a7b12e6c3d81f40a59be72d",
  "mX3v9Kq0rTz7PwL1cYb5NdQ8hJ2sGf4uEo6iAaRkV_-",
  "b81e77d04ca9f2536e10c8d9aa74f35b0d2c6e9187f4ba3560e1dd72c94f8a03",
] as const;

type Operation = "read" | "create" | "update" | "touch" | "delete";

/** A store whose calls can be stopped on the way there and on the way back. */
export interface GatedStore extends SessionStore {
  /** The next call of the operation waits, before its effect or after it, until it is let go. */
  hold(operation: Operation, when?: "before" | "after"): Held;
}

interface Held {
  /** The call has come to the gate. */
  readonly arrived: Promise<void>;
  letGo(): void;
}

export function gated(store: SessionStore): GatedStore {
  const gates = new Map<Operation, { when: "before" | "after"; arrive: () => void; released: Promise<void> }[]>();

  async function pass<T>(operation: Operation, effect: () => Promise<T>): Promise<T> {
    const gate = gates.get(operation)?.shift();
    if (!gate) return effect();
    if (gate.when === "before") {
      gate.arrive();
      await gate.released;
      return effect();
    }
    const result = await effect();
    gate.arrive();
    await gate.released;
    return result;
  }

  return {
    ...store,
    read: (id) => pass("read", () => store.read(id)),
    create: (id, stored) => pass("create", () => store.create(id, stored)),
    update: (id, stored, version) => pass("update", () => store.update(id, stored, version)),
    touch: (id, expiresAt) => pass("touch", () => store.touch(id, expiresAt)),
    delete: (id) => pass("delete", () => store.delete(id)),
    hold(operation, when = "before") {
      let letGo!: () => void;
      let arrive!: () => void;
      const released = new Promise<void>((resolve) => (letGo = resolve));
      const arrived = new Promise<void>((resolve) => (arrive = resolve));
      gates.set(operation, [...(gates.get(operation) ?? []), { when, arrive, released }]);
      return { arrived, letGo };
    },
  };
}

export interface SiteOptions extends Partial<SessionsOptions> {
  /** What becomes of the store's calls. */
  faults?: FaultPlan;
  /** `true`: records are sealed, as they are on their way to a store outside of the process. */
  encrypted?: boolean;
}

type Happened = { [Name in keyof SessionEvents]: { name: Name } & SessionEvents[Name] }[keyof SessionEvents];

export interface Site<Data extends object> {
  readonly time: { now: number };
  readonly store: FaultyStore;
  /** The store behind the faults, for other sites that share it. */
  readonly backend: SessionStore;
  readonly sessions: Sessions<Data>;
  /** Everything that was told to listeners, in order. */
  readonly events: Happened[];
  /** A browser with a cookie jar of its own. */
  browser(): Browser<Data>;
}

/** Sessions over a memory store, with a clock that only the test moves. */
export function site<Data extends object = Record<string, unknown>>({
  faults,
  encrypted = false,
  ...options
}: SiteOptions = {}): Site<Data> {
  const time = { now: START };
  const clock = options.clock ?? (() => time.now);
  const backend = options.store ?? { ...memoryStore({ clock }), inProcess: !encrypted };
  const store = faulty(backend, faults);
  const sessions = createSessions<Data>({ secretKey: KEYS[0], clock, ...options, store });
  const events: Happened[] = [];
  const names = ["created", "signedIn", "rotated", "signedOut", "expired", "dropped", "error"] as const;
  for (const name of names) sessions.on(name, (event) => events.push({ name, ...event } as Happened));
  return { time, store, backend, sessions, events, browser: () => new Browser(sessions) };
}

/** The session of a request that has not been read yet, as an adapter begins it. */
export function begin<Data extends object>(sessions: Sessions<Data>, request: AnyRequest): Session<Data> {
  return sessionFactory(sessions, "test")(request);
}

/** A request under way: opened, and not yet answered. */
export interface Underway<Data extends object> {
  readonly session: Session<Data>;
  readonly request: Request;
  /** Commits, and takes the cookies of the response into the jar. */
  end(response?: Response): Promise<Response>;
}

export class Browser<Data extends object> {
  readonly jar = new Map<string, string>();
  readonly sessions: Sessions<Data>;

  constructor(sessions: Sessions<Data>) {
    this.sessions = sessions;
  }

  get cookie(): string {
    return Array.from(this.jar, ([name, value]) => `${name}=${value}`).join("; ");
  }

  /** Another browser, or an attacker, with the same cookies. */
  copy(sessions: Sessions<Data> = this.sessions): Browser<Data> {
    const other = new Browser(sessions);
    for (const [name, value] of this.jar) other.jar.set(name, value);
    return other;
  }

  async begin(headers: Record<string, string> = {}, url = "https://shop.example/"): Promise<Underway<Data>> {
    const { sessions, jar } = this;
    const request = new Request(url, { headers: { ...(this.cookie ? { cookie: this.cookie } : {}), ...headers } });
    const session = await sessions.open(request);
    return {
      session,
      request,
      async end(response = new Response("ok")) {
        const answered = await sessions.commit(session, response);
        for (const line of answered.headers.getSetCookie()) {
          const [, name, value] = /^([^=]+)=([^;]*)/.exec(line)!;
          if (/; Max-Age=0(;|$)/.test(line)) jar.delete(name!);
          else jar.set(name!, value!);
        }
        return answered;
      },
    };
  }

  /** A whole request. */
  async visit(
    handler: (session: Session<Data>) => unknown = () => undefined,
    { headers, url, response }: { headers?: Record<string, string>; url?: string; response?: Response } = {},
  ): Promise<Response> {
    const { session, end } = await this.begin(headers, url);
    await handler(session);
    return end(response);
  }

  /** What a request of now sees in its session. */
  async data(): Promise<Partial<Data>> {
    return { ...(await this.begin()).session.data };
  }

  async userId(): Promise<string | undefined> {
    return (await this.begin()).session.userId;
  }
}
