// `npm start`: the login application, from a fresh clone on. It runs in this very process rather than in a child, so
// that whoever signals or kills this process reaches the server.
import { existsSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { exitWith, prepare, ROOT, SetupError } from "./setup.mjs";

const server = join(ROOT, "examples/login/server.ts");

try {
  prepare();
  if (!existsSync(server)) throw new SetupError("examples/login/server.ts is missing.");
} catch (error) {
  exitWith(error);
}

if (process.env.npm_lifecycle_event === "start") endWithNpm();

process.setSourceMapsEnabled(true);
process.argv = [process.argv[0], server, ...process.argv.slice(2)];

// Only now: before prepare() there may have been no tsx to import.
const { register } = await import("tsx/esm/api");
register();
await import(pathToFileURL(server).href);

/** npm ends the shell between it and this process, and nobody else: a server that is stopped by npm's id would stay. */
function endWithNpm() {
  const shell = process.ppid;
  const check = setInterval(() => {
    if (process.ppid === shell) return;
    clearInterval(check);
    process.kill(process.pid, "SIGTERM");
  }, 500);
  check.unref();
}
