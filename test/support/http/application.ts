import { EventEmitter } from "node:events";
import { readFile } from "node:fs/promises";
import { setTimeout as pause } from "node:timers/promises";
import type { Session } from "sojourn";
import { session as current } from "sojourn/context";
import type { Gate, Stage } from "./stage.ts";

/** What a route of the application is given, whichever way the request came in. */
export interface Asked {
  /** Read it only where the route looks at its session: `untouched` is about not doing so. */
  readonly session: Session;
  readonly query: URLSearchParams;
  readonly header: (name: string) => string | undefined;
  readonly stage: Stage;
}

/** What a route answers, in the words of no framework. */
export interface Reply {
  readonly status?: number;
  readonly headers?: readonly (readonly [name: string, value: string])[];
  /** Answered with the framework's own redirect, 303. */
  readonly redirect?: string;
  readonly body?: string | AsyncGenerator<string>;
}

export type Route = (asked: Asked) => Reply | Promise<Reply>;

/** What is said to one kind of cache, and goes before Cache-Control there. */
export const TARGETED = [
  ["cdn-cache-control", "max-age=600"],
  ["cloudflare-cdn-cache-control", "max-age=600"],
  ["vercel-cdn-cache-control", "public, s-maxage=600"],
  ["netlify-cdn-cache-control", "public, durable, s-maxage=600"],
  ["examplecdn-cache-control", "max-age=600"],
  ["surrogate-control", "max-age=600"],
  ["edge-control", "max-age=600"],
  ["x-accel-expires", "600"],
] as const;

const json = (value: unknown): Reply => ({ body: JSON.stringify(value) });

/** The little application that runs on every way in. */
export const routes: Readonly<Record<string, Route>> = {
  "/login": ({ session, query }) => {
    session.data.username = query.get("username") ?? "ada";
    session.signIn(query.get("username") ?? "ada");
    return { redirect: "/" };
  },

  "/": ({ session }) => ({ body: session.userId === undefined ? "anonymous" : `signed in as ${session.userId}` }),
  "/data": ({ session }) => json(Object.entries(session.data)),

  "/logout": ({ session }) => {
    session.signOut();
    return { redirect: "/" };
  },

  "/add": async ({ session, query }) => {
    const key = query.get("k")!;
    await pause(5);
    session.data[key] = query.get("v") ?? "1";
    return { body: "added" };
  },

  "/count": async ({ session }) => {
    await pause(5);
    session.update("count", (count) => Number(count ?? 0) + 1);
    return { body: "counted" };
  },

  "/slow": async ({ session, query, stage }) => {
    await stage.gate(query.get("gate")!).pass();
    session.data.slow = "written late";
    return { body: "slow" };
  },

  "/rotate-and-save": async ({ session, query, stage }) => {
    session.rotate();
    await session.save();
    await stage.gate(query.get("gate")!).pass();
    session.data.late = 1;
    if (query.has("again")) await session.save();
    return { body: "a success that must not be seen" };
  },

  "/slowread": async ({ session, query, stage }) => {
    await stage.gate(query.get("gate")!).pass();
    return { body: `${session.userId} reads late` };
  },

  "/late-signal": async ({ session, query, stage }) => {
    await stage.gate(query.get("gate")!).pass();
    const { aborted } = session.signal;
    await stage.gate(query.get("then")!).pass();
    return { body: `aborted: ${aborted}` };
  },

  "/signal-stream": ({ session }) => {
    const { signal } = session;
    return {
      body: (async function* () {
        yield "begun\n";
        if (!signal.aborted) await new Promise((resolve) => signal.addEventListener("abort", resolve));
        yield "ended";
      })(),
    };
  },

  "/two-cookies": ({ session }) => {
    session.data.seen = true;
    return {
      headers: [
        ["set-cookie", "theme=dark; Path=/"],
        ["set-cookie", "lang=eo; Path=/"],
      ],
      body: "two cookies of its own",
    };
  },

  "/redirect": ({ session, query }) => {
    session.data.step = query.get("step");
    return { redirect: "/step" };
  },
  "/step": ({ session }) => ({ body: String(session.data.step) }),

  "/untouched": () => ({ body: "nobody looked" }),

  "/stream": ({ session }) => {
    session.data.before = 1;
    return { body: streamed(session) };
  },

  "/stream-unsaved": ({ session }) => ({ status: session.isNew ? 401 : 200, body: unsaved(session) }),
  "/held-unsaved": ({ session }) => {
    session.data.before = 1;
    return { body: unsaved(session) };
  },

  "/declared": ({ session, stage }) => {
    session.data.before = 1;
    return { headers: [["content-length", "11"]], body: declared(session, stage.gate("declared")) };
  },

  "/declared-unused": () => ({
    headers: [["content-length", "11"]],
    body: (async function* () {
      yield "begun\n";
      yield "done\n";
    })(),
  }),

  "/leaving": async ({ session, query, stage }) => {
    leave(session, query.get("before"));
    await stage.gate("leaving").pass();
    leave(session, query.get("after"));
    await stage.gate("left").pass();
    return { body: "nobody reads this" };
  },

  "/late-look": ({ session }) => ({
    body: (async function* () {
      yield "begun\n";
      try {
        await session.load();
        yield session.userId ?? "anonymous";
      } catch (error) {
        yield (error as { code: string }).code;
      }
    })(),
  }),

  "/lazy": async ({ session }) => {
    await session.load();
    return { body: session.userId ?? "anonymous" };
  },

  "/targeted": ({ session, query }) => {
    if (query.has("write")) session.data.n = 1;
    return { headers: TARGETED, body: session.userId ?? "-" };
  },

  // Those below know nothing of the request. They are for adapters with the option `context`.

  "/context/who": async () => ({ body: await everywhere(() => current.userId ?? "anonymous") }),

  "/context/add": async ({ query }) => {
    await pause(1);
    current.data[query.get("k")!] = "1";
    return { body: "added" };
  },

  "/context/slow": async ({ query, stage }) => {
    const before = current.userId;
    await stage.gate(query.get("gate")!).pass();
    return { body: `${before} ${current.userId}` };
  },

  "/context/login": ({ query }) => {
    current.data.username = query.get("username")!;
    current.signIn(query.get("username")!);
    return { redirect: "/" };
  },

  "/context/logout": () => {
    current.signOut();
    current.flash("info", "out");
    return { body: String(current.userId) };
  },

  "/context/stream": ({ stage, query }) => {
    current.data.before = current.userId;
    return { body: streamedInContext(stage, query) };
  },
};

async function* streamedInContext(stage: Stage, query: URLSearchParams): AsyncGenerator<string> {
  yield `${current.userId}\n`;
  await stage.gate(query.get("gate")!).pass();
  for (let n = 0; n < 20; n++) yield `${current.userId}${"\t".repeat(4000)}\n`;
  current.data.after = current.userId;
  yield `${current.userId}\n`;
}

/** What a function gives by every way in which a handler may come to it. */
async function everywhere(get: () => string): Promise<string> {
  const emitter = new EventEmitter();
  const found = await Promise.all([
    Promise.resolve(get()),
    pause(1).then(get),
    new Promise<string>((resolve) => setTimeout(() => resolve(get()), 1)),
    new Promise<string>((resolve) => setImmediate(() => resolve(get()))),
    new Promise<string>((resolve) => process.nextTick(() => resolve(get()))),
    new Promise<string>((resolve) => queueMicrotask(() => resolve(get()))),
    new Promise<string>((resolve) => {
      emitter.on("event", () => resolve(get()));
      setImmediate(() => emitter.emit("event"));
    }),
    readFile(import.meta.filename).then(get),
  ]);
  return [...new Set(found)].join(" ");
}

async function* unsaved(session: Session): AsyncGenerator<string> {
  yield "begun\n";
  session.data.after = 1;
  yield "done\n";
}

/** Changes a session before or after its client has gone. */
function leave(session: Session, how: string | null): void {
  if (how === "data") session.data.leaving = how;
  if (how === "place") (session.data.cart as string[]).push("milk");
  if (how === "flash") session.flash("info", how);
  if (how === "sign-out") session.signOut();
  if (how === "rotate") {
    session.data.leaving = how;
    session.rotate();
  }
  if (how === "sign-in") {
    session.data.leaving = how;
    session.signIn("eve");
  }
}

/** Changes the session before its last chunk, and after it. */
async function* declared(session: Session, gate: Gate): AsyncGenerator<string> {
  yield "begun\n";
  await gate.pass();
  session.data.after = 1;
  yield "done\n";
  session.data.last = 1;
}

async function* streamed(session: Session): AsyncGenerator<string> {
  yield "begun\n";
  session.data.after = 1;
  await session.save();
  yield "done\n";
}
