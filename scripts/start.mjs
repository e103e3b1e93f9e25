// `npm start`: the login application, from a fresh clone on. It runs in this very process rather than in a child, so
// that whoever signals or kills this process reaches the server.
import { existsSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { endWithNpm } from "./end-with-npm.mjs";
import { exitWith, prepare, ROOT, SetupError } from "./setup.mjs";

const server = join(ROOT, "examples/login/server.ts");

try {
  prepare();
  if (!existsSync(server)) throw new SetupError("examples/login/server.ts is missing.");
} catch (error) {
  exitWith(error);
}

endWithNpm("start");

process.setSourceMapsEnabled(true);
process.argv = [process.argv[0], server, ...process.argv.slice(2)];

// Only now: before prepare() there may have been no tsx to import.
const { register } = await import("tsx/esm/api");
register();
await import(pathToFileURL(server).href);
