// Starts contenders, and asks them for something.
import { fork, spawnSync } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";

const CORES = { server: 0, load: 1 };

/** Starts a script in a process of its own. `core` binds it to one, where `taskset` exists. */
export async function startProcess(script, args, { node = process.execPath, execArgv = [], core, name = script } = {}) {
  const child = fork(join(import.meta.dirname, script), args, {
    execPath: node,
    execArgv: ["--no-warnings", ...execArgv],
    env: { ...process.env, NODE_ENV: "production" },
  });
  let ended = false;
  let fail;
  child.on("exit", (code, signal) => {
    ended = true;
    fail?.(new Error(`${name} ended with ${code ?? signal}`));
  });
  const answer = () =>
    new Promise((resolve, reject) => {
      if (ended) reject(new Error(`${name} has ended`));
      fail = reject;
      child.once("message", (message) => {
        fail = undefined;
        if (message.error) reject(new Error(`${name}: ${message.error}`));
        else resolve(message.answer);
      });
    });
  await answer();
  if (core !== undefined) bindToCore(child.pid, core);
  return {
    name,
    pid: child.pid,
    ask(order, rest) {
      const answered = answer();
      child.send({ order, ...rest });
      return answered;
    },
    async stop() {
      if (ended) return;
      const gone = once(child, "exit");
      child.disconnect();
      await gone;
    },
  };
}

export const startContender = ({ name }, place, options) =>
  startProcess("worker.mjs", [name, JSON.stringify(place ?? {})], { ...options, name });

/** For what need not be timed: on two cores, two take as long as one. */
export const twoAtOnce = (items, work) => someAtOnce(2, items, work);

/** More than two, where most of the time is waiting. */
export async function someAtOnce(number, items, work) {
  const waiting = [...items];
  const worker = async () => {
    while (waiting.length > 0) await work(waiting.shift());
  };
  await Promise.all(Array.from({ length: number }, worker));
}

let canBind;

/** Binds all threads of a process to the core of servers or to that of the load, where that can be done. */
export function bindToCore(pid, core) {
  canBind ??= spawnSync("taskset", ["--version"]).status === 0;
  if (canBind) spawnSync("taskset", ["-a", "-p", "-c", String(CORES[core]), String(pid)]);
}
