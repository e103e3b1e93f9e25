import { setTimeout as pause } from "node:timers/promises";
import type { Answer, HttpClient } from "./client.ts";
import { CONTAINERS, type Operation, type Seen, type SessionRequest } from "./history.ts";
import type { Errors, Server } from "./servers.ts";

/** What clients ask for. */
export interface Workload {
  readonly users: number;
  /** The longest time for which a session is used. */
  readonly lifetime: number;
  /** Whether the application can list the sessions of a user, and end all of them. */
  readonly knowsUsers: boolean;
}

const SESSIONS_OF_USER = 2;
const TABS = 2;
const THINK_MS = 4;
const PROBES = 4;
const ATTEMPTS = 6;
const MAX_LAST_ATTEMPTS = 100;

/** The load of one history. */
export interface Load {
  readonly history: readonly Operation[];
  /** Ends when every client has ended its session. */
  stop(): Promise<void>;
  /** Reads every session again, in every process. Call it when all servers work. */
  readAll(): Promise<void>;
}

/** Starts clients that sign in, change their sessions from several tabs at once, and leave again. */
export function startLoad(
  http: HttpClient,
  servers: readonly Server[],
  { workload, errors }: { workload: Workload; errors: Errors },
): Load {
  const { users, lifetime, knowsUsers } = workload;
  const history: Operation[] = [];
  const left: Jar[] = [];
  const state = { isOn: true };
  let serial = 0;

  /** Sends a request to any process that runs. */
  async function send(method: "GET" | "POST", path: string, cookie?: string, port = pickPort()): Promise<Answer> {
    if (port === undefined) {
      await pause(20);
      return { outcome: "failed", ended: performance.now() };
    }
    return http.send(port, method, path, cookie);
  }

  function pickPort(): number | undefined {
    return pick(servers.flatMap((server) => server.port() ?? []));
  }

  async function ask(jar: Jar, kind: SessionRequest["kind"], port?: number): Promise<SessionRequest> {
    const { session, user } = jar;
    const sent = jar.current;
    const container = kind === "add" ? pick(CONTAINERS) : undefined;
    const element = kind === "add" ? `e${(serial += 1)}` : undefined;
    const query = new URLSearchParams({
      user,
      ...(container && element ? { container, element } : {}),
      ...(kind === "sign-in" && sent ? { again: "1" } : {}),
    });
    const began = performance.now();
    const method = kind === "read" ? "GET" : "POST";
    const { outcome, ended, status, headers, body } = await send(
      method,
      `/${kind}?${query.toString()}`,
      sent?.cookie,
      port,
    );
    const { generation = 0, serial: cookie = 0 } = sent ?? {};
    if (outcome === "ok") jar.take(headers!["set-cookie"], generation + (kind === "sign-in" ? 1 : 0));
    const operation: SessionRequest = {
      kind,
      session,
      generation,
      cookie,
      began,
      ended,
      outcome,
      status,
      user: kind === "sign-in" && !sent ? user : outcome === "ok" ? String(headers!["x-user"] ?? user) : undefined,
      id: kind === "sign-in" && outcome === "ok" ? String(headers!["x-id"]) : undefined,
      signedOut: status === 401 ? true : undefined,
      container,
      element,
      seen: kind === "read" && outcome === "ok" ? (body as Seen) : undefined,
    };
    history.push(operation);
    if (operation.signedOut && generation === jar.current?.generation) jar.isOver = true;
    return operation;
  }

  /** What the server's side does. */
  async function administer(
    method: "GET" | "POST",
    path: string,
    log: (timed: Pick<Operation, "began" | "ended" | "outcome">, body: unknown) => Operation,
  ): Promise<Answer> {
    const began = performance.now();
    const answer = await send(method, path);
    const { outcome, ended, body } = answer;
    history.push(log({ began, ended, outcome }, body));
    return answer;
  }

  const ends: Record<string, (jar: Jar) => Promise<Pick<Answer, "outcome">>> = {
    "sign-out": (jar) => ask(jar, "sign-out"),
    revoke: ({ session, id, user }) =>
      administer("POST", `/revoke?id=${id}&user=${user}`, (timed) => ({
        kind: "revoke",
        session,
        ...timed,
      })),
    ...(knowsUsers && {
      "revoke-all": ({ user }) =>
        administer("POST", `/revoke-all?user=${user}`, (timed) => ({ kind: "revoke-all", user, ...timed })),
    }),
  };

  const list = (user: string) =>
    administer("GET", `/list?user=${user}`, (timed, body) => ({
      kind: "list",
      user,
      ids: timed.outcome === "ok" ? (body as string[]) : [],
      ...timed,
    }));

  async function signIn(user: string): Promise<Jar | undefined> {
    while (state.isOn) {
      const jar = new Jar(`s${(serial += 1)}`, user);
      const { outcome, id } = await ask(jar, "sign-in");
      if (outcome === "ok" && id !== undefined) {
        jar.id = id;
        return jar;
      }
      await pause(50);
    }
    return undefined;
  }

  async function useTab(jar: Jar): Promise<void> {
    for (let probes = 0; probes < PROBES; probes += jar.isOver ? 1 : 0) {
      const kind = Math.random() < 0.4 ? "read" : Math.random() < 0.25 ? "count" : "add";
      await ask(jar, kind);
      // As a browser that follows the redirect, to any process.
      if (kind !== "read" && Math.random() < 0.5) await ask(jar, "read");
      await pause(Math.random() * THINK_MS);
    }
  }

  async function signInAgain(jar: Jar): Promise<void> {
    const { outcome, id } = await ask(jar, "sign-in");
    if (outcome === "ok" && id !== undefined) jar.id = id;
    // A lost answer may have brought a token that this client has never got.
    if (outcome === "unknown") jar.isOver = true;
  }

  async function live(user: string): Promise<void> {
    const jar = await signIn(user);
    if (!jar) return;
    const tabs = Array.from({ length: TABS }, async () => useTab(jar));
    const until = performance.now() + lifetime * (0.3 + 0.7 * Math.random());
    while (performance.now() < until && state.isOn && !jar.isOver) {
      await pause(lifetime / 10);
      if (!knowsUsers) continue;
      if (Math.random() < 0.1) await signInAgain(jar);
      else if (Math.random() < 0.3) await list(user);
    }
    // One of them is `undefined`: the session is left to be read at the end.
    const leave = pick([...Object.values(ends), undefined]);
    for (let attempt = 0; attempt < ATTEMPTS && !jar.isOver; attempt++) {
      if (!leave || (await leave(jar)).outcome === "ok") break;
      await pause(100);
    }
    jar.isOver = true;
    left.push(jar);
    await Promise.all(tabs);
  }

  const clients = Array.from({ length: users * SESSIONS_OF_USER }, async (_, index) => {
    while (state.isOn) await live(`user-${index % users}`);
  });

  return {
    history,
    async stop() {
      state.isOn = false;
      await Promise.all(clients);
    },
    async readAll() {
      for (const jar of left) {
        for (const server of servers) {
          for (let attempt = 0; ; attempt++) {
            const { outcome, signedOut, status } = await ask(jar, "read", server.port());
            if (outcome === "ok" || signedOut) break;
            if (attempt > MAX_LAST_ATTEMPTS) {
              errors.push(`${jar.session} can't be read when all faults are over, status ${status}`);
              break;
            }
            await pause(100);
          }
        }
      }
      if (!knowsUsers) return;
      for (let user = 0; user < users; user++) await list(`user-${user}`);
    },
  };
}

/** The cookies of one session, as its tabs share them. An old cookie never comes after a newer one. */
class Jar {
  readonly session: string;
  readonly user: string;
  id = "";
  isOver = false;
  current: { readonly cookie: string; readonly serial: number; readonly generation: number } | undefined;
  readonly #known = new Set<string>();

  constructor(session: string, user: string) {
    this.session = session;
    this.user = user;
  }

  take(headers: readonly string[] | undefined, generation: number): void {
    const cookie = headers?.[0]?.split(";", 1)[0];
    // A cookie that is cleared is kept, to see that it opens nothing.
    if (cookie === undefined || cookie.endsWith("=") || this.#known.has(cookie)) return;
    this.#known.add(cookie);
    if (generation >= (this.current?.generation ?? 0)) this.current = { cookie, serial: this.#known.size, generation };
  }
}

function pick<Item>(items: readonly Item[]): Item | undefined {
  return items[Math.floor(Math.random() * items.length)];
}
