// `npm run example -- koa`: installs, builds and starts one of the examples, with a secret key that it makes at the first start.
import { randomBytes } from "node:crypto";
import { spawn } from "node:child_process";
import { appendFileSync, existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parseEnv } from "node:util";
import { endWithNpm } from "./end-with-npm.mjs";
import { environmentFor, exampleNames, folderOf, installExample, manifestOf, nodeFor, runScript } from "./examples.mjs";
import { exitWith, npm, prepare, SetupError } from "./setup.mjs";

const [name] = process.argv.slice(2);
endWithNpm("example");

try {
  if (!name) throw new SetupError(`Which one? npm run example -- ${exampleNames().join(" | ")}`);
  const { scripts } = manifestOf(name);
  prepare();
  const node = nodeFor(name);
  if (!node) throw new SetupError(`The example ${name} needs a newer Node, and none could be installed.`);
  installExample(name);
  const env = { ...process.env, SECRET_KEY: process.env.SECRET_KEY ?? keyOf(join(folderOf(name), ".env")) };
  if (scripts.build) {
    console.log(`Building the example ${name} …`);
    runScript(name, "build", node, { env });
  }
  start(node, env);
} catch (error) {
  exitWith(error);
}

/** The key of earlier starts, so that users stay signed in. */
function keyOf(file) {
  const before = existsSync(file) ? readFileSync(file, "utf8") : "";
  const found = parseEnv(before).SECRET_KEY;
  if (found) return found;
  const made = randomBytes(32).toString("base64url");
  appendFileSync(file, `${before === "" || before.endsWith("\n") ? "" : "\n"}SECRET_KEY=${made}\n`, { mode: 0o600 });
  console.log(`Made a secret key, in ${file}`);
  return made;
}

function start(node, env) {
  const [command, ...words] = npm("start");
  // npm and the framework start processes of their own. A group is ended as a whole.
  const child = spawn(command === process.execPath ? node : command, words, {
    cwd: folderOf(name),
    env: environmentFor(node, env),
    stdio: "inherit",
    detached: true,
  });
  const end = (signal) => {
    try {
      process.kill(-Number(child.pid), signal);
    } catch {
      // It has ended.
    }
  };
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => end(signal));
  child.once("exit", (code) => {
    end("SIGTERM");
    process.exit(code ?? 1);
  });
}
