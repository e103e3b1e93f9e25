import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { appendFileSync, chmodSync, chownSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { randomInt } from "node:crypto";
import { connect, createServer, type AddressInfo, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";

// Real servers for tests: each on a free loopback port, in a folder of its own, ended by its process id.

/** Ends what hangs, before the test's own timeout does: so what hung has a name. Nothing that works takes as long. */
export const HUNG_MS = 150_000;
const PAUSE_MS = 20;
const MAX_OUTPUT = 20_000;
const NOBODY = 65_534;

export interface ProgramOptions {
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly cwd?: string;
  readonly env?: NodeJS.ProcessEnv;
  readonly uid?: number | undefined;
  readonly gid?: number | undefined;
  /** Asked until it says so. */
  readonly ready: () => Promise<boolean>;
}

/** A program under a test's control. */
export interface Program {
  readonly pid: number;
  readonly running: boolean;
  /** The end of what it has printed. */
  output(): string;
  /** SIGKILL: it has no time to write anything. */
  kill(): Promise<void>;
  /** SIGTERM, and SIGKILL for who does not listen. */
  stop(): Promise<void>;
  /** SIGSTOP, for its children too. */
  pause(): void;
  resume(): void;
  /** The same command line once more; waits until it is ready. */
  restart(): Promise<void>;
}

/** Starts a program and waits until it is ready. It ends with the tests, whatever becomes of them. */
export async function startProgram(options: ProgramOptions): Promise<Program> {
  const { name, command, args, cwd, env, uid, gid, ready } = options;
  let child!: ChildProcess;
  let output = "";
  let ended = true;

  async function start(): Promise<void> {
    child = spawn(command, args, {
      cwd,
      env: { ...process.env, ...env },
      stdio: ["ignore", "pipe", "pipe"],
      ...(uid === undefined ? {} : { uid }),
      ...(gid === undefined ? {} : { gid }),
    });
    const started = child;
    register(child.pid);
    ended = false;
    const note = (text: string) => (output = (output + text).slice(-MAX_OUTPUT));
    child.stdout?.setEncoding("utf8").on("data", note);
    child.stderr?.setEncoding("utf8").on("data", note);
    child.once("error", (error) => {
      note(String(error));
      if (child === started) ended = true;
    });
    child.once("exit", () => {
      programs.delete(started);
      if (child === started) ended = true;
    });
    programs.add(child);
    await until(`${name} is ready`, async () => {
      if (ended) throw new Error(`${name} ended before it was ready:\n${output}`);
      return ready().catch(() => false);
    });
  }

  async function end(signal: NodeJS.Signals): Promise<void> {
    if (ended) return;
    const exit = once(child, "exit");
    const family = descendantsOf(child.pid!);
    signalFamily(child.pid!, "SIGCONT");
    child.kill(signal);
    const last = setTimeout(() => child.kill("SIGKILL"), 10_000);
    await exit;
    clearTimeout(last);
    // They would notice, but not at once, and may be writing into its folder.
    for (const pid of family) signalFamily(pid, "SIGKILL");
    await until(`the children of ${name} have ended`, () => family.every((pid) => hasEnded(pid)));
  }

  await start();
  return {
    get pid() {
      return child.pid!;
    },
    get running() {
      return !ended;
    },
    output: () => output,
    kill: () => end("SIGKILL"),
    stop: () => end("SIGTERM"),
    pause() {
      signalFamily(child.pid!, "SIGSTOP");
      awaitStop(child.pid!);
    },
    resume: () => signalFamily(child.pid!, "SIGCONT"),
    async restart() {
      await end("SIGTERM");
      await start();
    },
  };
}

/** PostgreSQL has a process for each connection: stopping the first alone would stop nothing. */
function signalFamily(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    return; // it has just ended
  }
  for (const child of childrenOf(pid)) signalFamily(child, signal);
}

function childrenOf(pid: number): number[] {
  try {
    return readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").split(" ").filter(Boolean).map(Number);
  } catch {
    return []; // it has just ended, or this system has no such folder
  }
}

function descendantsOf(pid: number): number[] {
  return childrenOf(pid).flatMap((child) => [child, ...descendantsOf(child)]);
}

/** No thread is left, or none that does anything more. */
const hasEnded = (pid: number): boolean => threadStates(pid).every((state) => state === "Z" || state === "X");

/** Stopped, or ended and not yet buried. */
const STOPPED = new Set(["T", "Z", "X"]);

/** A thread may still answer for a moment after the signal. */
function awaitStop(pid: number): void {
  for (const began = performance.now(); performance.now() - began < HUNG_MS;) {
    if ([pid, ...childrenOf(pid)].flatMap(threadStates).every((state) => STOPPED.has(state))) return;
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1);
  }
  throw new Error("waited in vain until the program is stopped");
}

function threadStates(pid: number): string[] {
  try {
    return readdirSync(`/proc/${pid}/task`).map((thread) => {
      const stat = readFileSync(`/proc/${pid}/task/${thread}/stat`, "utf8");
      return stat[stat.lastIndexOf(")") + 2]!;
    });
  } catch {
    return [];
  }
}

/** A worker that is killed for taking too long ends nothing: what it started is written down for who comes after. */
function register(pid: number | undefined): void {
  const file = process.env["SOJOURN_TEST_PROGRAMS"];
  if (file !== undefined && pid !== undefined) appendFileSync(file, `${pid} ${startTime(pid)}\n`);
}

/** Tells a process from a later one of the same id; empty where that can't be told. */
export function startTime(pid: number): string {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    return stat.slice(stat.lastIndexOf(")")).split(" ")[20] ?? "";
  } catch {
    return "";
  }
}

const programs = new Set<ChildProcess>();
process.once("exit", () => {
  for (const child of programs) child.kill("SIGKILL");
});

/** Asks until the answer is neither `false` nor `undefined`; gives up with an error that names what it waited for. */
export async function until<T>(
  what: string,
  probe: () => Promise<T | false | undefined> | T | false | undefined,
): Promise<T> {
  for (const began = performance.now(); performance.now() - began < HUNG_MS;) {
    const answer = await probe();
    if (answer !== false && answer !== undefined) return answer;
    await delay(PAUSE_MS);
  }
  throw new Error(`waited in vain until ${what}`);
}

/** Below those that systems give to whoever asks for any: between two starts of a server nobody else gets its port. */
const FIRST_PORT = 12_000;
const LAST_PORT = 21_999;
/** A cluster's node listens on a second port, so many further up. */
const BUS = 10_000;

/** A port of 127.0.0.1 on which nobody listens, nor on the one of a cluster's bus: this process's as long as it runs. */
export async function freePort(): Promise<number> {
  return until("there is a free port", async () => {
    const port = randomInt(FIRST_PORT, LAST_PORT + 1);
    // Whoever chooses a port is to listen here too. Where a system has one loopback address only, it is chance alone.
    const claim = await listening(port, "127.0.0.2").catch(
      (error: NodeJS.ErrnoException) => error.code !== "EADDRINUSE",
    );
    if (claim === false) return false;
    if (claim !== true) claim.unref();
    for (const each of [port, port + BUS]) {
      const trial = await listening(each, "127.0.0.1").catch(() => undefined);
      if (trial === undefined) return false;
      trial.close();
      await once(trial, "close");
    }
    return port;
  });
}

async function listening(port: number, host: string): Promise<Server> {
  const server = createServer((socket) => socket.destroy()).listen(port, host);
  await once(server, "listening");
  return server;
}

/** Whom to run as: PostgreSQL and MariaDB refuse to be root. */
export function unprivileged(): { uid?: number; gid?: number } {
  return process.getuid?.() === 0 ? { uid: NOBODY, gid: NOBODY } : {};
}

/** A folder of a server's own: `removeFolder` it when that has ended. */
export function throwawayFolder(prefix = "sojourn-server-"): string {
  const folder = mkdtempSync(join(tmpdir(), prefix));
  const { uid, gid } = unprivileged();
  if (uid !== undefined && gid !== undefined) chownSync(folder, uid, gid);
  chmodSync(folder, 0o700);
  folders.add(folder);
  return folder;
}

export function removeFolder(folder: string): void {
  rmSync(folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 });
  folders.delete(folder);
}

const folders = new Set<string>();
process.once("exit", () => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

/** Whether something accepts connections there. */
export async function accepts(port: number): Promise<boolean> {
  const socket = connect(port, "127.0.0.1");
  try {
    await once(socket, "connect");
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}

/** The network between a client and a server. */
export interface Proxy {
  readonly port: number;
  /** Resets all connections; new ones are accepted. */
  cut(): void;
  /** Resets all connections, and every new one. */
  refuse(): void;
  accept(): void;
  /** Holds back each direction by so many milliseconds. */
  delay(milliseconds: number): void;
  /** Connections stay open and nothing arrives, until `release`. */
  hold(): void;
  release(): void;
  connections(): number;
  stop(): Promise<void>;
}

export async function startProxy(target: { readonly port: number; readonly host?: string }): Promise<Proxy> {
  const pairs = new Set<readonly [Socket, Socket]>();
  let refusing = false;
  let held: (() => void)[] | undefined;
  let latency = 0;

  function carry(from: Socket, to: Socket): void {
    // One after the other, so that bytes of different delays keep their order.
    let last = Promise.resolve();
    const inTurn = (act: () => void) => {
      const waited = latency > 0 ? delay(latency) : undefined;
      last = last.then(async () => {
        await waited;
        if (held) await new Promise<void>((resolve) => held?.push(resolve));
        act();
      });
    };
    from.on("data", (chunk) => inTurn(() => void (to.destroyed || to.write(chunk))));
    from.on("end", () => inTurn(() => void to.end()));
  }

  function reset(): void {
    for (const pair of pairs) for (const socket of pair) socket.resetAndDestroy();
    pairs.clear();
  }

  function release(): void {
    const waiting = held ?? [];
    held = undefined;
    for (const letGo of waiting) letGo();
  }

  const server = createServer((client) => {
    client.on("error", () => {});
    if (refusing) {
      client.resetAndDestroy();
      return;
    }
    const upstream = connect(target.port, target.host ?? "127.0.0.1");
    upstream.on("error", () => client.resetAndDestroy());
    const pair = [client, upstream] as const;
    pairs.add(pair);
    for (const [one, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      one.setNoDelay(true);
      carry(one, other);
      one.once("close", () => {
        pairs.delete(pair);
        // What is still on its way arrives first.
        if (one.errored) other.destroy();
      });
    }
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");

  return {
    port: (server.address() as AddressInfo).port,
    cut: reset,
    refuse() {
      refusing = true;
      reset();
    },
    accept() {
      refusing = false;
    },
    delay(milliseconds) {
      latency = milliseconds;
    },
    hold() {
      held ??= [];
    },
    release,
    connections: () => pairs.size,
    async stop() {
      release();
      reset();
      if (server.listening) await new Promise((resolve) => server.close(resolve));
    },
  };
}
