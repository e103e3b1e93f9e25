// Runs the simulation over the library as it is built: npm run simulate -- --minutes 30
import { spawn } from "node:child_process";
import { exitWith, prepare, ROOT } from "./setup.mjs";

try {
  prepare();
} catch (error) {
  exitWith(error);
}

const words = ["--no-warnings", "--import", "tsx", "test/simulation/main.ts", ...process.argv.slice(2)];
const child = spawn(process.execPath, words, { cwd: ROOT, stdio: "inherit" });
// A terminal's Ctrl-C reaches the child by itself.
process.on("SIGINT", () => {});
process.on("SIGTERM", () => child.kill("SIGTERM"));
child.once("exit", (code) => process.exit(code ?? 1));
