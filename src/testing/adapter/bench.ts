import assert from "node:assert/strict";
import { createSessions, type Sessions } from "../../sessions.ts";
import type { SessionEvents } from "../../events.ts";
import type { Session } from "../../session.ts";
import type { SessionStore } from "../../store.ts";
import { memoryStore } from "../../stores/memory.ts";
import { testClock } from "../application.ts";
import { faulty, type FaultyStore } from "../faulty.ts";
import { expectAnswer } from "./checks.ts";
import { TestClient, COOKIE_NAMES } from "./client.ts";
import type {
  AdapterExchange,
  AdapterMount,
  AdapterReply,
  AdapterRoute,
  AdapterServer,
  StartApplication,
} from "./contract.ts";

/** The session of a case, with data of any kind. */
export type AnySession = Session<Record<string, unknown>>;

/** A handler of a case. A text is the body of a response with the status 200. */
export type Handler = (session: AnySession, exchange: AdapterExchange) => Handled | Promise<Handled>;
type Handled = string | Partial<AdapterReply>;

type Operation = "read" | "create" | "update" | "touch" | "delete";
const OPERATIONS = ["read", "create", "update", "touch", "delete"] as const;

/** The application of a case. */
export interface Setup {
  /** The options of the outermost adapter. */
  readonly options?: AdapterMount["options"];
  /** The options of an adapter within it, for the routes below `/inner`. */
  readonly inner?: AdapterMount["options"];
  /** Whether another `Sessions`, with another cookie, serves the same routes, within the first one. */
  readonly hasOther?: boolean;
  /** Whether the store answers without a promise. Default `false`. */
  readonly answersAtOnce?: boolean;
}

/** A running application, and everything that a case may change while it runs. */
export interface Application {
  readonly sessions: Sessions<Record<string, unknown>>;
  /** The sessions with the other cookie, see `hasOther`. */
  readonly others: Sessions<Record<string, unknown>>;
  readonly calls: FaultyStore["calls"];
  /** The operations of the store that fail from now on. */
  readonly failing: Set<Operation>;
  /** Makes the next call of an operation wait at a gate, before its effect. */
  hold(operation: Operation): Gate;
  readonly dropped: SessionEvents["dropped"][];
  /** The number of sessions that somebody watches by `session.signal`. */
  watchers(): number;
  readonly advance: (duration: "1m" | "8m" | "1h") => void;
  readonly origin: string;
  /** A client without cookies. */
  visitor(): TestClient;
  /** A client that has signed in by the route `/login`. */
  signedIn(userId?: string): Promise<TestClient>;
}

/** A place where a request waits until the case opens it. */
export interface Gate {
  /** Waits until a request waits here. It rejects if the answer comes first: then the case would wait for ever. */
  reachedBefore(answer: Promise<unknown>): Promise<void>;
  open(): void;
  /** For the request. */
  pass(): Promise<void>;
}

export function createGate(): Gate {
  let arrive!: () => void;
  let open!: () => void;
  const reached = new Promise<void>((resolve) => (arrive = resolve));
  const opened = new Promise<void>((resolve) => (open = resolve));
  let isReached = false;
  return {
    async reachedBefore(answer) {
      await Promise.race([reached, answer]);
      assert.ok(isReached, "the response came before its handler, or the store, was asked for it");
    },
    open: () => open(),
    async pass() {
      isReached = true;
      arrive();
      await opened;
    },
  };
}

/** The routes that every application has. */
const COMMON: Readonly<Record<string, Handler>> = {
  "/who": (session) => session.userId ?? "nobody",
  "/data": (session) => JSON.stringify(session.data),
  "/untouched": () => "untouched",
  "/login": async (session, exchange) => {
    // A lazy adapter has not read it.
    await session.load();
    session.signIn(exchange.header("x-user") || "ada");
    return { redirect: "/who" };
  },
  "/logout": (session) => {
    session.signOut();
    return { redirect: "/who" };
  },
};

/** Starts applications for one case, and closes them. */
export class AdapterBench {
  readonly #start: StartApplication;
  readonly #endings: (() => unknown)[] = [];

  constructor(start: StartApplication) {
    this.#start = start;
  }

  /** Starts an application with the common routes and these. */
  async start(handlers: Readonly<Record<string, Handler>> = {}, setup: Setup = {}): Promise<Application> {
    const { clock, advance } = testClock();
    const memory = memoryStore({ clock });
    const failing = new Set<Operation>();
    const held = new Map<Operation, Gate>();
    const plan = Object.fromEntries(
      OPERATIONS.map((name) => [name, () => (failing.has(name) ? "error" : "ok")] as const),
    );
    const watched = watchable(memory);
    const store = setup.answersAtOnce
      ? { ...watched, calls: faulty(memory).calls }
      : holding(faulty(watched, plan), held);
    const make = (name: string) =>
      createSessions<Record<string, unknown>>({
        secretKey: globalThis.crypto.getRandomValues(new Uint8Array(32)),
        store,
        clock,
        idleTimeout: "10m",
        // A case holds calls of the store for as long as it looks at the response.
        storeTimeout: "60s",
        cookie: { name },
        client: { address: true },
      });
    const [sessions, others] = [make(COOKIE_NAMES[0]), make(COOKIE_NAMES[1])];
    this.#endings.push(() => Promise.all([sessions.close(), others.close()]));
    const dropped: SessionEvents["dropped"][] = [];
    for (const one of [sessions, others]) one.on("dropped", (event) => dropped.push(event));

    const origin = await this.serve(mountsFor(sessions, others, setup), { ...COMMON, ...handlers });
    const visitor = () => new TestClient(origin);
    return {
      sessions,
      others,
      calls: store.calls,
      failing,
      hold: (operation) => {
        const gate = createGate();
        held.set(operation, gate);
        // A case that fails leaves no call behind, whose deadline nobody would handle.
        this.#endings.push(() => gate.open());
        return gate;
      },
      dropped,
      watchers: watched.watchers,
      advance,
      origin,
      visitor,
      async signedIn(userId = "ada") {
        const client = visitor();
        const answer = await client.get("/login", { method: "POST", headers: { "x-user": userId } });
        expectAnswer(answer, { status: 303, cookies: 1 }, "POST /login");
        return client;
      },
    };
  }

  /** Starts a server, and returns its origin. */
  async serve(mounts: readonly AdapterMount[], handlers: Readonly<Record<string, Handler>>): Promise<string> {
    const routes = Object.entries(handlers).map(([path, handler]) => routeOf(path, handler));
    const server = await this.#start({ mounts, routes });
    this.#endings.push(() => closeServer(server));
    return originOf(server);
  }

  async close(): Promise<void> {
    for (const end of this.#endings.splice(0).toReversed()) await end();
  }
}

function mountsFor(
  sessions: Sessions<Record<string, unknown>>,
  others: Sessions<Record<string, unknown>>,
  { options = {}, inner, hasOther = false }: Setup,
): AdapterMount[] {
  const mount = (path: string, of: Sessions<Record<string, unknown>>, given: AdapterMount["options"]) => ({
    path,
    sessions: of as unknown as Sessions,
    options: given,
  });
  return [
    mount("/", sessions, options),
    ...(hasOther ? [mount("/", others, {})] : []),
    ...(inner ? [mount("/inner", sessions, inner)] : []),
  ];
}

function routeOf(path: string, handler: Handler): AdapterRoute {
  return {
    path,
    async handle(session, exchange) {
      const handled = await handler(session, exchange);
      const reply = typeof handled === "string" ? { body: handled } : handled;
      return { status: 200, headers: [], redirect: undefined, body: "", response: undefined, ...reply };
    },
  };
}

async function originOf(server: AdapterServer): Promise<string> {
  if ("url" in server) return new URL(server.url).origin;
  if (!server.listening) await new Promise<void>((resolve) => server.once("listening", resolve));
  const address = server.address();
  assert.ok(typeof address === "object" && address !== null, "the server must listen on a port of 127.0.0.1");
  return `http://127.0.0.1:${address.port}`;
}

async function closeServer(server: AdapterServer): Promise<void> {
  if ("url" in server) return void (await server.close());
  const closed = new Promise<void>((resolve) => void server.close(resolve));
  server.closeAllConnections?.();
  await closed;
}

/** A store whose calls wait where a gate is set. */
function holding(store: FaultyStore, held: Map<Operation, Gate>): FaultyStore {
  async function pass<T>(operation: Operation, effect: () => Promise<T>): Promise<T> {
    const gate = held.get(operation);
    held.delete(operation);
    await gate?.pass();
    return effect();
  }
  return {
    ...store,
    read: (id) => pass("read", () => store.read(id)),
    create: (id, stored) => pass("create", () => store.create(id, stored)),
    update: (id, stored, version) => pass("update", () => store.update(id, stored, version)),
    touch: (id, expiresAt) => pass("touch", () => store.touch(id, expiresAt)),
    delete: (id) => pass("delete", () => store.delete(id)),
  };
}

/** A store that counts its subscriptions: there is one for as long as a session is watched. */
function watchable(store: SessionStore): SessionStore & { watchers(): number } {
  let count = 0;
  return {
    ...store,
    watchers: () => count,
    subscribe(listener) {
      count += 1;
      const end = store.subscribe!(listener);
      return () => {
        count -= 1;
        end();
      };
    },
  };
}
