// The CPU time of processes, and of all others on the machine while something is measured.
import { readdirSync, readFileSync } from "node:fs";

const TICKS_PER_SECOND = 100;

/** More CPU of others than this, in cores, contaminates a round. */
export const CONTAMINATED = 0.1;

/** Seconds of CPU that a process and its descendants have used, of those that live. */
export function cpuOf(pid) {
  return descendantsOf(pid)
    .concat(pid)
    .reduce((sum, each) => sum + ownCpuOf(each), 0);
}

function ownCpuOf(pid) {
  try {
    const threads = readdirSync(`/proc/${pid}/task`);
    return threads.reduce((sum, thread) => sum + nanosecondsOf(pid, thread), 0) / 1e9;
  } catch {
    return 0; // it has just ended
  }
}

const nanosecondsOf = (pid, thread) => {
  try {
    return Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, "utf8").split(" ", 1)[0]);
  } catch {
    return 0;
  }
};

function descendantsOf(pid) {
  try {
    const children = readdirSync(`/proc/${pid}/task`).flatMap((thread) =>
      readFileSync(`/proc/${pid}/task/${thread}/children`, "utf8").split(" ").filter(Boolean).map(Number),
    );
    return children.flatMap((child) => [child, ...descendantsOf(child)]);
  } catch {
    return [];
  }
}

/** Seconds in which any core of the machine was not idle, or undefined where the system does not say. */
function busySeconds() {
  try {
    const [line] = readFileSync("/proc/stat", "utf8").split("\n", 1);
    const [user, nice, system, , , irq, softIrq, steal] = line.trim().split(/\s+/).slice(1).map(Number);
    return (user + nice + system + irq + softIrq + (steal ?? 0)) / TICKS_PER_SECOND;
  } catch {
    return undefined;
  }
}

/** Begins to watch; the function that it returns says how many cores others have kept busy since, on average. */
export function watchOthers() {
  const before = { busy: busySeconds(), own: cpuOf(process.pid), at: performance.now() };
  return () => {
    const seconds = (performance.now() - before.at) / 1000;
    const busy = busySeconds();
    if (before.busy === undefined || busy === undefined || seconds < 0.05) return undefined;
    const own = cpuOf(process.pid) - before.own;
    return Math.max(0, (busy - before.busy - own) / seconds);
  };
}
