// Runs all cases in a production server of Next.js, and prints a line of JSON for each: its name, and what was wrong or null.
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import next from "next";
import { adapterContract } from "sojourn/testing";
import { contractHandler } from "./contract.mjs";
import { pageCases } from "./page-cases.mjs";

// Next.js prints to the console, and this program's output is for the test alone.
console.log = console.error;

const options = JSON.parse(readFileSync(new URL("options.json", import.meta.url), "utf8"));
const suite = { handlers: new Map() };
globalThis.suite = suite;

let handle;

async function serve() {
  const server = createServer((request, response) => void handle(request, response));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return { server, host: `127.0.0.1:${server.address().port}` };
}

const pages = await serve();
// Next.js fetches the page that an action redirects to, from there.
const app = next({ dev: false, dir: import.meta.dirname, hostname: "127.0.0.1", port: pages.server.address().port });
await app.prepare();
handle = app.getRequestHandler();

const contract = adapterContract(async (parts) => {
  const handler = contractHandler(parts);
  const { server, host } = await serve();
  suite.handlers.set(host, handler);
  return server;
}, options);

const wanted = process.argv[2] ?? "";
for (const { name, run } of [...contract, ...pageCases(suite, pages)]) {
  if (!name.includes(wanted)) continue;
  const wrong = await run().then(
    () => null,
    (error) => String(error?.stack ?? error),
  );
  process.stdout.write(`${JSON.stringify([name, wrong])}\n`);
}
process.exit(0);
