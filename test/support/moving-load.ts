import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { createSessions } from "../../src/index.ts";
import { openStore } from "../../src/stores/open/open.ts";
import { until } from "./throwaway.ts";
import { seededRandom } from "./random.ts";

// A whole move under load, in processes of their own: an application on the old store, on both, on the new one, and a
// copier that is killed. Between any two stores that openStore knows.

const SECRET_KEY = "4f0c1d5e8a7b92e6c3d81f40a59be7264f0c9d5e8a7b12e6c3d81f40a59be72d";

const fixture = (name: string) => fileURLToPath(new URL(`../fixtures/moving-${name}.mjs`, import.meta.url));

export interface MovingLoad {
  /** URLs, as `openStore` takes them; tables have been made. */
  readonly from: string;
  readonly to: string;
  readonly seed?: number;
  /** Sessions in the old store before anything else begins. Nobody comes with a third of them until the end. */
  readonly sessions?: number;
  /** How often the copier is killed before it may finish. */
  readonly kills?: number;
  /** How many requests each process has under way. */
  readonly concurrency?: number;
  /** How many requests the application serves before, and after, the copy. */
  readonly phase?: number;
  /** Milliseconds that a call of a store takes at most, on its way there, and back. */
  readonly slowness?: number;
  /**
   * Where a kill finds the copier, and one process of the application: at any moment, or between two calls of a store,
   * for stores that are in the same process and need a while to get over it.
   */
  readonly killed?: "anywhere" | "between calls";
}

/** What came of it. All but the last three are counts of what must not be. */
export interface MovingReport {
  /** Steps that were acknowledged and are in no session, or are there more often than they were tried. */
  readonly lostUpdates: number;
  /** Sessions that opened after they had ended. */
  readonly resurrected: number;
  /** Sessions that did not open although nobody had ended them. */
  readonly innocents: number;
  /** Sessions that were extended, and then ended sooner than that. */
  readonly shortened: number;
  /** Sessions that opened for somebody else. */
  readonly mistaken: number;
  /** What a request or an extension failed with. */
  readonly errors: readonly string[];
  /** What there was of it, so that nothing is proven by nothing happening. */
  readonly did: Readonly<Record<string, number>>;
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
  tell(...words: unknown[]): void;
  /** Resolves with how it ended, once everything it has said was heard. */
  readonly gone: Promise<string>;
}

/** Moves the sessions of an application under load from one store to another, and counts what went wrong. */
export async function moveUnderLoad(given: MovingLoad): Promise<MovingReport> {
  const {
    seed = 1,
    sessions = 300,
    kills = 4,
    concurrency = 6,
    phase = 500,
    slowness = 3,
    killed: where = "anywhere",
  } = given;
  const random = seededRandom(seed);
  const browsers = new Map<string, Browser>();
  /** Sessions that somebody may have ended, and those that somebody has. */
  const mayBeOver = new Set<string>();
  const over = new Set<string>();
  const revoked = new Set<string>();
  const anonymous: string[] = [];
  const tried = new Map<string, number>();
  const done = new Map<string, number>();
  const did: Record<string, number> = {};
  const errors: string[] = [];
  const bad = { resurrected: 0, shortened: 0, mistaken: 0 };
  let copied = 0;
  let copiedByThis = 0;
  const copy = { complete: false };
  const running = new Set<Process>();
  const applications = new Set<Process>();

  function hear(what: unknown, first: unknown, ...more: unknown[]): void {
    switch (what) {
      case "browser":
        return meet(first as Browser);
      case "ending":
        return void mayBeOver.add(String(first));
      case "revoking":
        return void revoked.add(String(first));
      case "ended":
        mayBeOver.add(String(first));
        over.add(String(first));
        return broadcast("ended", first);
      case "anonymous":
        return void anonymous.push(String(first));
      case "try":
        return void tried.set(String(first), (tried.get(String(first)) ?? 0) + 1);
      case "done":
        return void done.set(String(first), (done.get(String(first)) ?? 0) + 1);
      case "did":
        return void (did[String(first)] = (did[String(first)] ?? 0) + 1);
      case "copied":
        copiedByThis = Number(first);
        return;
      case "complete":
        copy.complete = true;
        return;
      case "resurrected":
      case "shortened":
      case "mistaken":
        bad[what] += 1;
        return void errors.push([what, first, ...more].join(" "));
      case "fault":
      case "error":
        errors.push([what, first, ...more].join(" "));
    }
  }

  function meet(browser: Browser): void {
    browsers.set(browser.n, browser);
    if (browser.kind === "passing") mayBeOver.add(browser.n);
    broadcast("browser", browser);
  }

  function broadcast(...words: unknown[]): void {
    for (const one of applications) one.tell(...words);
  }

  async function start(program: string, ...words: (string | number)[]): Promise<Process> {
    const child = spawn(process.execPath, [fixture(program), SECRET_KEY, ...words.map(String)], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    child.stdin.on("error", () => undefined);
    const tell = (...said: unknown[]) => void child.stdin.write(`${JSON.stringify(said)}\n`);
    let isReady = false;
    createInterface(child.stdout).on("line", (line) => {
      const [what, ...more] = JSON.parse(line) as unknown[];
      if (what === "ready") isReady = true;
      else hear(what, more[0], ...more.slice(1));
    });
    const one: Process = {
      child,
      tell,
      gone: new Promise((resolve) => {
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
      for (const browser of browsers.values()) one.tell("browser", browser);
      for (const n of over) one.tell("ended", n);
    }
    await until(`the ${program} has started`, () => isReady || child.exitCode !== null);
    return one;
  }

  let started = 0;
  const application = (name: string, from: string, to: string) =>
    start("application", seed * 100 + ++started, from, to, name, concurrency, slowness);

  /** Until so many more requests were served. */
  async function served(count: number): Promise<void> {
    const all = () => Object.values(did).reduce((sum, each) => sum + each, 0);
    const wanted = all() + count;
    await until(`${count} requests were served`, () => all() >= wanted);
  }

  async function stop(one: Process): Promise<void> {
    one.tell("stop");
    const how = await one.gone;
    if (how !== "0") errors.push(`an application ended with ${how}`);
  }

  function kill(one: Process): void {
    if (where === "anywhere") one.child.kill("SIGKILL");
    else one.tell("die");
  }

  async function copyWithKills(): Promise<number> {
    let killed = 0;
    for (let run = 1; !copy.complete; run += 1) {
      const before = copiedByThis;
      copiedByThis = 0;
      const copier = await start("copier", seed * 1000 + run, given.from, given.to, slowness);
      if (killed < kills) {
        const share = random() * (sessions / 3 / (kills + 2));
        await Promise.race([copier.gone, until("the copier got so far", () => copiedByThis >= share)]);
        kill(copier);
      }
      const how = await copier.gone;
      copied += copiedByThis;
      if (how === "SIGKILL") killed += 1;
      else if (how !== "0") throw new Error(`the copier ended with ${how}, having copied ${before + copiedByThis}`);
    }
    return killed;
  }

  try {
    await fill();
    const both = [given.from, given.to] as const;
    const [plain, victim, ...movers] = await Promise.all([
      application("plain", given.from, "-"),
      application("victim", ...both),
      application("mover1", ...both),
      application("mover2", ...both),
    ]);
    await served(phase);
    await stop(plain);
    const copying = copyWithKills();
    await Promise.race([copying, served(phase / 2)]);
    kill(victim);
    await victim.gone;
    const killed = await copying;
    const last = await application("new", "-", given.to);
    await served(phase);
    await Promise.all(movers.map(stop));
    await served(phase / 5);
    await stop(last);
    const found = await verify();
    return {
      ...bad,
      ...found,
      resurrected: bad.resurrected + found.resurrected,
      errors,
      did,
      kills: killed,
      copied,
    };
  } finally {
    for (const { child } of running) child.kill("SIGKILL");
    await Promise.all([...running].map(({ gone }) => gone));
  }

  async function fill(): Promise<void> {
    const store = await openStore(given.from);
    const all = createSessions<Record<string, unknown>>({ secretKey: SECRET_KEY, store, idleTimeout: "1h" });
    for (let n = 0; n < sessions; n += 1) {
      const userId = `user ${n % 40}`;
      const session = await all.open(new Request("http://shop.example/"));
      session.signIn(userId);
      const response = await all.commit(session, new Response("ok"));
      const cookie = response.headers.getSetCookie()[0]!.split(";", 1)[0]!;
      meet({ n: `first-${n}`, cookie, userId, kind: (["writer", "reader", "absent"] as const)[n % 3]! });
    }
    await all.close();
  }

  /** With the new store alone. */
  async function verify(): Promise<Pick<MovingReport, "lostUpdates" | "resurrected" | "innocents">> {
    const isGuilty = ({ n, userId }: Browser) => mayBeOver.has(n) || revoked.has(userId);
    const innocent = new Set(anonymous.filter((n) => !isGuilty(browsers.get(n)!)));
    let [lostUpdates, resurrected] = [0, 0];
    const store = await openStore(given.to);
    const all = createSessions<Record<string, unknown>>({ secretKey: SECRET_KEY, store, idleTimeout: "1h" });
    all.on("error", ({ error }) => errors.push(String(error)));
    for (const browser of browsers.values()) {
      const { n, cookie, userId } = browser;
      const session = await all.open(new Request("http://shop.example/", { headers: { cookie } }));
      if (session.userId === undefined) {
        if (!isGuilty(browser)) innocent.add(n);
        continue;
      }
      if (over.has(n)) resurrected += 1;
      if (session.userId !== userId) bad.mistaken += 1;
      for (const [key, most] of tried) {
        const [name, whose] = key.split(" ");
        if (whose !== n) continue;
        const kept = Number(session.data[name!] ?? 0);
        const least = done.get(key) ?? 0;
        if (kept < least || kept > most) lostUpdates += 1;
      }
    }
    await all.close();
    return { lostUpdates, resurrected, innocents: innocent.size };
  }
}
