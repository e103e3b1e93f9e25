import { fork, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { until } from "../support/throwaway.ts";

/** How a server process is started. */
export interface ServerProgram {
  /** The program, a URL of a file. */
  readonly file: URL;
  /** Its only argument. */
  readonly config: object;
  /** The Node that runs it. Default: this one. */
  readonly command?: string | undefined;
}

/** A server process that may be killed, and is started again. */
export interface Server {
  /** `undefined` while it does not run. */
  port(): number | undefined;
  /** Ends it by SIGKILL, and starts another one. */
  replace(): Promise<void>;
  stop(): Promise<void>;
}

/** What a server process prints that can't start, whatever its store does. */
const MISTAKE = /TypeError|SyntaxError|ERR_MODULE/;

/** Mistakes of the library or the application: answers with 500, and processes that have ended by themselves. */
export type Errors = string[];

export async function startServer(program: ServerProgram, errors: Errors): Promise<Server> {
  let child: ChildProcess | undefined;
  let port: number | undefined;

  async function start(): Promise<void> {
    // A server that starts while its store is away ends with an error, as a supervisor expects of it.
    await until("a server process listens", async () => {
      const { file, config, command } = program;
      const started = fork(fileURLToPath(file), [JSON.stringify(config)], {
        ...(command === undefined ? {} : { execPath: command }),
        execArgv: ["--no-warnings"],
        stdio: ["ignore", "ignore", "pipe", "ipc"],
      });
      child = started;
      let output = "";
      started.stderr?.on("data", (chunk) => (output = `${output}${String(chunk)}`.slice(-2000)));
      const listening = new Promise<boolean>((resolve) => {
        started.on("message", (message: { port?: number; error?: string }) => {
          if (message.error !== undefined) errors.push(message.error);
          if (message.port === undefined) return;
          port = message.port;
          resolve(true);
        });
        started.once("exit", (code) => {
          const hasCrashed = child === started && port !== undefined;
          if (hasCrashed || MISTAKE.test(output)) errors.push(`a server process ended with ${code}: ${output}`);
          if (child === started) port = undefined;
          resolve(false);
        });
      });
      return listening;
    });
  }

  async function kill(): Promise<void> {
    port = undefined;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const exit = once(child, "exit");
    child.kill("SIGKILL");
    await exit;
  }

  await start();
  return {
    port: () => port,
    async replace() {
      await kill();
      await start();
    },
    stop: kill,
  };
}
