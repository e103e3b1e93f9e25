// Makes histories with real servers that fail, and checks them: npm run histories -- --minutes 5 --engine redis
import { spawn, spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { provideServers, serversOf } from "./servers.mjs";
import { exitWith, npm, prepare, ROOT } from "./setup.mjs";

const NEEDED = ["REDIS_SERVER_PATH", "POSTGRES_PATH", "MARIADB_PATH", "NODE22_PATH", "BETTER_SQLITE3_PATH"];

const given = process.argv.slice(2);
try {
  prepare();
  for (const { name } of provideServers(serversOf(...NEEDED))) console.log(`${name} is missing.`);
  if (given.includes("--peers")) installPeers();
} catch (error) {
  exitWith(error);
}

// What only comparisons need is no dependency of the library's own tests.
function installPeers() {
  const bench = join(ROOT, "bench");
  if (existsSync(join(bench, "node_modules"))) return;
  console.log("Installing express-session and the others (once) …");
  const [command, ...args] = npm("install", "--no-save", "--no-audit", "--no-fund");
  const { status } = spawnSync(command, args, { cwd: bench, stdio: "inherit" });
  if (status !== 0) process.exit(1);
}

const words = ["--no-warnings", "--import", "tsx", "test/histories/main.ts", ...given];
const child = spawn(process.execPath, words, { cwd: ROOT, stdio: "inherit" });
// A terminal's Ctrl-C reaches the child by itself.
process.on("SIGINT", () => {});
process.on("SIGTERM", () => child.kill("SIGTERM"));
child.once("exit", (code) => process.exit(code ?? 1));
