// `npm run bench`: installs the peers into bench/, builds the library, and runs bench/main.mjs with the same arguments.
import { spawn } from "node:child_process";
import { join } from "node:path";
import { ensureInstalled, exitWith, prepare, ROOT } from "./setup.mjs";

const BENCH = join(ROOT, "bench");

try {
  prepare();
  if (!process.argv.includes("--help")) ensureInstalled(BENCH);
} catch (error) {
  exitWith(error);
}

const child = spawn(process.execPath, [join(BENCH, "main.mjs"), ...process.argv.slice(2)], { stdio: "inherit" });
// A terminal's Ctrl-C reaches the child by itself; this process only has to outlive it.
process.on("SIGINT", () => {});
process.on("SIGTERM", () => child.kill("SIGTERM"));
child.once("exit", (code) => process.exit(code ?? 1));
