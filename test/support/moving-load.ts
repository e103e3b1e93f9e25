import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { createSessions } from "../../src/index.ts";
import { openStore } from "../../src/stores/open/open.ts";
import { until } from "./throwaway.ts";
import { seededRandom } from "./random.ts";

// Runs a whole move under load in several processes: an application with the old store, with both and with the new one, and
// a copy that is killed. It works with any two stores that openStore knows.

const SECRET_KEY = "4f0c1d5e8a7b92e6c3d81f40a59be7264f0c9d5e8a7b12e6c3d81f40a59be72d";

const fixture = (name: string) => fileURLToPath(new URL(`../fixtures/moving-${name}.mjs`, import.meta.url));

export interface MovingLoad {
  /** URLs for `openStore`. The tables must exist. */
  readonly from: string;
  readonly to: string;
  readonly seed?: number;
  /** The number of sessions in the old store at the start. A third of them is not used until the end. */
  readonly sessions?: number;
  /** The number of times that the copy is killed before it may complete. */
  readonly kills?: number;
  /** The number of parallel requests of each process. */
  readonly concurrency?: number;
  /** The number of requests before the copy, and after it. */
  readonly phase?: number;
  /** The maximum delay of a call to a store in milliseconds, in each direction. */
  readonly maxDelay?: number;
  /**
   * When the copy and one process of the application are killed: at any moment, or between two calls of a store. The second
   * is for stores that run in the process and need some time to recover from a kill in the middle of a call.
   */
  readonly killed?: "anywhere" | "between calls";
}

/** The result. All counts but `requests`, `kills` and `copied` count broken promises. */
export interface MovingReport {
  /** Updates that were acknowledged and are missing, or that were applied more often than they were tried. */
  readonly lostUpdates: number;
  /** Sessions that could be used after they had ended. */
  readonly resurrected: number;
  /** Sessions that could not be used although nobody had ended them. */
  readonly signedOut: number;
  /** Sessions that expired earlier than a touch had promised. */
  readonly shortened: number;
  /** Sessions that belonged to another user. */
  readonly wrongUser: number;
  /** The errors of requests. */
  readonly errors: readonly string[];
  /** The number of served requests of each kind. A test checks that there were enough. */
  readonly requests: Readonly<Record<string, number>>;
  readonly kills: number;
  readonly copied: number;
}

interface Browser {
  readonly n: string;
  readonly cookie: string;
  readonly userId: string;
  readonly kind: "writer" | "reader" | "passing" | "absent";
}

interface Process {
  readonly child: ChildProcess;
  /** Sends a message to the process. */
  send(...message: unknown[]): void;
  /** Resolves with the exit code or the signal, after all messages of the process have been handled. */
  readonly ended: Promise<string>;
}

/** Moves the sessions of an application under load from one store to another, and counts broken promises. */
export async function moveUnderLoad(given: MovingLoad): Promise<MovingReport> {
  const {
    seed = 1,
    sessions = 300,
    kills = 4,
    concurrency = 6,
    phase = 500,
    maxDelay = 3,
    killed: killMode = "anywhere",
  } = given;
  const random = seededRandom(seed);
  const browsers = new Map<string, Browser>();
  /** Sessions that may have been ended, and those that certainly have. */
  const maybeEnded = new Set<string>();
  const ended = new Set<string>();
  const revoked = new Set<string>();
  const anonymous: string[] = [];
  const tried = new Map<string, number>();
  const done = new Map<string, number>();
  const requests: Record<string, number> = {};
  const errors: string[] = [];
  const broken = { resurrected: 0, shortened: 0, wrongUser: 0 };
  let copied = 0;
  let copiedByThisRun = 0;
  const copy = { complete: false };
  const running = new Set<Process>();
  const applications = new Set<Process>();

  function handleMessage(kind: unknown, first: unknown, ...more: unknown[]): void {
    switch (kind) {
      case "browser":
        return addBrowser(first as Browser);
      case "ending":
        return void maybeEnded.add(String(first));
      case "revoking":
        return void revoked.add(String(first));
      case "ended":
        maybeEnded.add(String(first));
        ended.add(String(first));
        return broadcast("ended", first);
      case "anonymous":
        return void anonymous.push(String(first));
      case "try":
        return void tried.set(String(first), (tried.get(String(first)) ?? 0) + 1);
      case "done":
        return void done.set(String(first), (done.get(String(first)) ?? 0) + 1);
      case "served":
        return void (requests[String(first)] = (requests[String(first)] ?? 0) + 1);
      case "copied":
        copiedByThisRun = Number(first);
        return;
      case "complete":
        copy.complete = true;
        return;
      case "resurrected":
      case "shortened":
      case "wrongUser":
        broken[kind] += 1;
        return void errors.push([kind, first, ...more].join(" "));
      case "error":
        errors.push([kind, first, ...more].join(" "));
    }
  }

  function addBrowser(browser: Browser): void {
    browsers.set(browser.n, browser);
    if (browser.kind === "passing") maybeEnded.add(browser.n);
    broadcast("browser", browser);
  }

  function broadcast(...message: unknown[]): void {
    for (const one of applications) one.send(...message);
  }

  async function start(program: string, ...args: (string | number)[]): Promise<Process> {
    const child = spawn(process.execPath, [fixture(program), SECRET_KEY, ...args.map(String)], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    child.stdin.on("error", () => undefined);
    const send = (...message: unknown[]) => void child.stdin.write(`${JSON.stringify(message)}\n`);
    let isReady = false;
    createInterface(child.stdout).on("line", (line) => {
      const [kind, ...values] = JSON.parse(line) as unknown[];
      if (kind === "ready") isReady = true;
      else handleMessage(kind, values[0], ...values.slice(1));
    });
    const one: Process = {
      child,
      send,
      ended: new Promise((resolve) => {
        child.once("close", (code, signal) => {
          running.delete(one);
          applications.delete(one);
          resolve(String(signal ?? code));
        });
      }),
    };
    running.add(one);
    if (program === "application") {
      applications.add(one);
      for (const browser of browsers.values()) one.send("browser", browser);
      for (const n of ended) one.send("ended", n);
    }
    await until(`the ${program} has started`, () => isReady || child.exitCode !== null);
    return one;
  }

  let started = 0;
  const application = (name: string, from: string, to: string) =>
    start("application", seed * 100 + ++started, from, to, name, concurrency, maxDelay);

  /** Waits until so many more requests have been served. */
  async function untilServed(count: number): Promise<void> {
    const total = () => Object.values(requests).reduce((sum, each) => sum + each, 0);
    const target = total() + count;
    await until(`${count} requests were served`, () => total() >= target);
  }

  async function stop(one: Process): Promise<void> {
    one.send("stop");
    const outcome = await one.ended;
    if (outcome !== "0") errors.push(`an application ended with ${outcome}`);
  }

  function kill(one: Process): void {
    if (killMode === "anywhere") one.child.kill("SIGKILL");
    else one.send("die");
  }

  async function copyWithKills(): Promise<number> {
    let killed = 0;
    for (let attempt = 1; !copy.complete; attempt += 1) {
      const before = copiedByThisRun;
      copiedByThisRun = 0;
      const copier = await start("copier", seed * 1000 + attempt, given.from, given.to, maxDelay);
      if (killed < kills) {
        const share = random() * (sessions / 3 / (kills + 2));
        await Promise.race([copier.ended, until("the copy has moved its share", () => copiedByThisRun >= share)]);
        kill(copier);
      }
      const outcome = await copier.ended;
      copied += copiedByThisRun;
      if (outcome === "SIGKILL") killed += 1;
      else if (outcome !== "0")
        throw new Error(`the copy ended with ${outcome}, having copied ${before + copiedByThisRun}`);
    }
    return killed;
  }

  try {
    await fillOldStore();
    const both = [given.from, given.to] as const;
    const [plain, victim, ...others] = await Promise.all([
      application("plain", given.from, "-"),
      application("victim", ...both),
      application("moving1", ...both),
      application("moving2", ...both),
    ]);
    await untilServed(phase);
    await stop(plain);
    const copying = copyWithKills();
    await Promise.race([copying, untilServed(phase / 2)]);
    kill(victim);
    await victim.ended;
    const killed = await copying;
    const last = await application("new", "-", given.to);
    await untilServed(phase);
    await Promise.all(others.map(stop));
    await untilServed(phase / 5);
    await stop(last);
    const found = await verify();
    return {
      ...broken,
      ...found,
      resurrected: broken.resurrected + found.resurrected,
      errors,
      requests,
      kills: killed,
      copied,
    };
  } finally {
    for (const { child } of running) child.kill("SIGKILL");
    await Promise.all([...running].map((one) => one.ended));
  }

  async function fillOldStore(): Promise<void> {
    const store = await openStore(given.from);
    const all = createSessions<Record<string, unknown>>({ secretKey: SECRET_KEY, store, idleTimeout: "1h" });
    for (let n = 0; n < sessions; n += 1) {
      const userId = `user ${n % 40}`;
      const session = await all.open(new Request("http://shop.example/"));
      session.signIn(userId);
      const response = await all.commit(session, new Response("ok"));
      const cookie = response.headers.getSetCookie()[0]!.split(";", 1)[0]!;
      addBrowser({ n: `first-${n}`, cookie, userId, kind: (["writer", "reader", "absent"] as const)[n % 3]! });
    }
    await all.close();
  }

  /** Checks every session with the new store alone. */
  async function verify(): Promise<Pick<MovingReport, "lostUpdates" | "resurrected" | "signedOut">> {
    const mayHaveEnded = ({ n, userId }: Browser) => maybeEnded.has(n) || revoked.has(userId);
    const signedOut = new Set(anonymous.filter((n) => !mayHaveEnded(browsers.get(n)!)));
    let [lostUpdates, resurrected] = [0, 0];
    const store = await openStore(given.to);
    const all = createSessions<Record<string, unknown>>({ secretKey: SECRET_KEY, store, idleTimeout: "1h" });
    all.on("error", ({ error }) => errors.push(String(error)));
    for (const browser of browsers.values()) {
      const { n, cookie, userId } = browser;
      const session = await all.open(new Request("http://shop.example/", { headers: { cookie } }));
      if (session.userId === undefined) {
        if (!mayHaveEnded(browser)) signedOut.add(n);
        continue;
      }
      if (ended.has(n)) resurrected += 1;
      if (session.userId !== userId) broken.wrongUser += 1;
      for (const [key, attempts] of tried) {
        const [name, owner] = key.split(" ");
        if (owner !== n) continue;
        const applied = Number(session.data[name!] ?? 0);
        const acknowledged = done.get(key) ?? 0;
        if (applied < acknowledged || applied > attempts) lostUpdates += 1;
      }
    }
    await all.close();
    return { lostUpdates, resurrected, signedOut: signedOut.size };
  }
}
