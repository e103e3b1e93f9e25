import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { appendFileSync, chmodSync, chownSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { randomInt } from "node:crypto";
import { connect, createServer, type AddressInfo, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";

// Starts real servers for tests. Each has a free loopback port and its own folder, and is ended by its process id.

/** The limit of a wait. It is shorter than the timeout of a test, so that the error names the condition. */
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
  /** Called until it returns `true`. */
  readonly ready: () => Promise<boolean>;
}

/** A program that a test controls. */
export interface Program {
  readonly pid: number;
  readonly running: boolean;
  /** Returns the last part of its output. */
  output(): string;
  /** Sends SIGKILL. The program can write nothing more. */
  kill(): Promise<void>;
  /** Sends SIGTERM, and SIGKILL if the program does not end. */
  stop(): Promise<void>;
  /** Sends SIGSTOP, to its child processes too. */
  pause(): void;
  resume(): void;
  /** Ends the program, starts it again and waits until it is ready. */
  restart(): Promise<void>;
}

/** Starts a program and waits until it is ready. It is ended when the tests end, even if they fail. */
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
    registerProgram(child.pid);
    ended = false;
    const appendOutput = (text: string) => (output = (output + text).slice(-MAX_OUTPUT));
    child.stdout?.setEncoding("utf8").on("data", appendOutput);
    child.stderr?.setEncoding("utf8").on("data", appendOutput);
    child.once("error", (error) => {
      appendOutput(String(error));
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
    const descendants = descendantsOf(child.pid!);
    signalTree(child.pid!, "SIGCONT");
    child.kill(signal);
    const last = setTimeout(() => child.kill("SIGKILL"), 10_000);
    await exit;
    clearTimeout(last);
    // The child processes would end by themselves, but later, and may still write into the folder.
    for (const pid of descendants) signalTree(pid, "SIGKILL");
    await until(`the children of ${name} have ended`, () => descendants.every((pid) => hasEnded(pid)));
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
      signalTree(child.pid!, "SIGSTOP");
      waitUntilStopped(child.pid!);
    },
    resume: () => signalTree(child.pid!, "SIGCONT"),
    async restart() {
      await end("SIGTERM");
      await start();
    },
  };
}

/** Sends a signal to a process and its descendants. PostgreSQL has a process for each connection. */
function signalTree(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    return; // it has just ended
  }
  for (const child of childrenOf(pid)) signalTree(child, signal);
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

/** Returns whether every thread of the process has ended. */
const hasEnded = (pid: number): boolean => threadStates(pid).every((state) => state === "Z" || state === "X");

/** The states of a thread that is stopped, or has ended. */
const STOPPED = new Set(["T", "Z", "X"]);

/** Waits until every thread is stopped. A thread may still run for a moment after the signal. */
function waitUntilStopped(pid: number): void {
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

/** Writes the process id into a file. If a test worker is killed, the next process can end the programs that it has started. */
function registerProgram(pid: number | undefined): void {
  const file = process.env["SOJOURN_TEST_PROGRAMS"];
  if (file !== undefined && pid !== undefined) appendFileSync(file, `${pid} ${startTime(pid)}\n`);
}

/** Returns the start time of a process, which differs from that of a later process with the same id. Empty if unknown. */
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

/** Calls `probe` until it returns neither `false` nor `undefined`. Throws an error with the condition's name at the limit. */
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

/** These ports are below those that systems assign by themselves. So no other program gets a server's port while it restarts. */
const FIRST_PORT = 12_000;
const LAST_PORT = 21_999;
/** A node of a cluster also listens on a second port, its first one plus this number. */
const BUS_PORT_OFFSET = 10_000;

/** Returns a free port of 127.0.0.1 with a free port for a cluster's bus. It is reserved until this process ends. */
export async function freePort(): Promise<number> {
  return until("there is a free port", async () => {
    const port = randomInt(FIRST_PORT, LAST_PORT + 1);
    // Other test processes listen on this address too, which reserves the port. On a system with one loopback address it is
    // not reserved.
    const reservation = await startListening(port, "127.0.0.2").catch(
      (error: NodeJS.ErrnoException) => error.code !== "EADDRINUSE",
    );
    if (reservation === false) return false;
    if (reservation !== true) reservation.unref();
    for (const each of [port, port + BUS_PORT_OFFSET]) {
      const trial = await startListening(each, "127.0.0.1").catch(() => undefined);
      if (trial === undefined) return false;
      trial.close();
      await once(trial, "close");
    }
    return port;
  });
}

async function startListening(port: number, host: string): Promise<Server> {
  const server = createServer((socket) => socket.destroy()).listen(port, host);
  await once(server, "listening");
  return server;
}

/** The account for servers: PostgreSQL and MariaDB refuse to run as root. */
export function unprivileged(): { uid?: number; gid?: number } {
  return process.getuid?.() === 0 ? { uid: NOBODY, gid: NOBODY } : {};
}

/** Makes a folder for a server. Call `removeFolder` after the server has ended. */
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

/** Returns whether a server accepts connections on the port. */
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

/** A proxy between a client and a server, which simulates faults of the network. */
export interface Proxy {
  readonly port: number;
  /** Resets all connections; new ones are accepted. */
  cut(): void;
  /** Resets all connections, and every new one. */
  refuse(): void;
  accept(): void;
  /** Delays each direction by so many milliseconds. */
  delay(milliseconds: number): void;
  /** Keeps connections open and delivers nothing, until `resumeTraffic`. */
  pauseTraffic(): void;
  resumeTraffic(): void;
  /** Delivers what clients send, and no reply to it, until `cut`. */
  loseReplies(): void;
  /** Nothing of the present connections is delivered any more, and nobody is told; new ones work. */
  silence(): void;
  connections(): number;
  stop(): Promise<void>;
}

export async function startProxy(target: { readonly port: number; readonly host?: string }): Promise<Proxy> {
  const pairs = new Set<readonly [Socket, Socket]>();
  const silent = new WeakSet<Socket>();
  let isRefusing = false;
  let paused: (() => void)[] | undefined;
  let latency = 0;
  let isLosingReplies = false;

  function forward(from: Socket, to: Socket, isReply: boolean): void {
    // Forwards one chunk after the other, so that the bytes keep their order when the delay changes.
    let last = Promise.resolve();
    const inOrder = (act: () => void) => {
      const waited = latency > 0 ? delay(latency) : undefined;
      last = last.then(async () => {
        await waited;
        if (paused) await new Promise<void>((resolve) => paused?.push(resolve));
        if (!silent.has(from)) act();
      });
    };
    from.on("data", (chunk) => inOrder(() => void (to.destroyed || (isReply && isLosingReplies) || to.write(chunk))));
    from.on("end", () => inOrder(() => void to.end()));
  }

  function reset(): void {
    for (const pair of pairs) for (const socket of pair) socket.resetAndDestroy();
    pairs.clear();
    isLosingReplies = false;
  }

  function resumeTraffic(): void {
    const waiting = paused ?? [];
    paused = undefined;
    for (const resume of waiting) resume();
  }

  const server = createServer((client) => {
    client.on("error", () => {});
    if (isRefusing) {
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
      forward(one, other, one === upstream);
      one.once("close", () => {
        pairs.delete(pair);
        // Bytes that are still being forwarded arrive first.
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
      isRefusing = true;
      reset();
    },
    accept() {
      isRefusing = false;
    },
    delay(milliseconds) {
      latency = milliseconds;
    },
    pauseTraffic() {
      paused ??= [];
    },
    resumeTraffic,
    loseReplies() {
      isLosingReplies = true;
    },
    silence() {
      for (const pair of pairs) for (const socket of pair) silent.add(socket);
    },
    connections: () => pairs.size,
    async stop() {
      resumeTraffic();
      reset();
      if (server.listening) await new Promise((resolve) => server.close(resolve));
    },
  };
}
