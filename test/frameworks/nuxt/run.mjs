import { readFileSync } from "node:fs";

Object.assign(process.env, { HOST: "127.0.0.1", PORT: "0" });
const log = console.log;
// Nitro tells where it listens, and of the failures that the cases make.
console.log = console.error = () => {};
await import("./.output/server/index.mjs");
const options = JSON.parse(readFileSync(new URL("options.json", import.meta.url), "utf8"));
for (const { name, run } of globalThis.casesWith(options)) {
  const wrong = await run().then(
    () => null,
    (error) => error.message,
  );
  log(JSON.stringify([name, wrong]));
}
process.exit();
