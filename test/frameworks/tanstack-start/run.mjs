// Runs the contract of adapters, and the cases of TanStack Start's own, against the built application.
import { readFileSync } from "node:fs";
import { start } from "./server.mjs";
import { ownCases } from "./own.mjs";

const options = JSON.parse(readFileSync(new URL("options.json", import.meta.url), "utf8"));
const { adapterContract } = globalThis.sojourn;

// Errors that the cases plan.
console.error = () => {};
console.info = () => {};
for (const { name, run } of [...adapterContract(start, options), ...ownCases]) {
  const wrong = await run().then(
    () => null,
    (error) => String(error?.stack ?? error),
  );
  console.log(JSON.stringify([name, wrong]));
}
process.exit();
