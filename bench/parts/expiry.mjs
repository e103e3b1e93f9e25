// How long the event loop stands still while expired sessions are collected: a tenth of all, the others live on.
import { withDirectory } from "../lib/servers.mjs";
import { startProcess } from "../lib/processes.mjs";
import { watchOthers } from "../lib/cpu.mjs";
import { machineOf } from "../lib/rounds.mjs";

export const title = "Collecting expired sessions";
export const nodes = "one";

/** As many as can be made and removed within half a minute: of files, a million would take most of the run. */
const SUBJECTS = [
  ["sojourn · memoryStore", 1_000_000],
  ["memorystore", 1_000_000],
  ["sojourn · fileStore", 25_000],
  ["session-file-store", 25_000],
  ["sojourn · sqliteStore", 100_000],
  ["better-sqlite3-session-store", 100_000],
];

/** `rounds` is only for a quick look: with 1, there are a hundredth of the sessions. */
export async function run({ node, missing, rounds, log }) {
  const scale = rounds === undefined ? 1 : 0.01;
  const collections = [];
  const others = [];
  for (const [subject, count] of SUBJECTS) {
    if (/sqlite/i.test(subject) && missing.includes("better-sqlite3")) continue;
    await withDirectory(async (directory) => {
      const collector = await startProcess("collector.mjs", [subject, directory], { node });
      await collector.ask("fill", { count: count * scale });
      const othersSince = watchOthers();
      collections.push({ name: subject, sessions: count * scale, ...(await collector.ask("collect")) });
      others.push(othersSince());
      await collector.stop();
    });
    log(subject);
  }
  return { machine: machineOf(others), collections };
}
