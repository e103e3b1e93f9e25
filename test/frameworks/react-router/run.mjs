// Runs the contract of adapters, and the cases of React Router's own, against the built application.
import { readFileSync } from "node:fs";
import { adapterContract } from "sojourn/testing";
import { ownCases } from "./own.mjs";
import { start } from "./server.mjs";

const options = JSON.parse(readFileSync(new URL("options.json", import.meta.url), "utf8"));

// Errors that the cases plan.
console.error = () => {};
for (const { name, run } of [...adapterContract(start, options), ...ownCases]) {
  const wrong = await run().then(
    () => null,
    (error) => String(error?.stack ?? error),
  );
  console.log(JSON.stringify([name, wrong]));
}
process.exit();
