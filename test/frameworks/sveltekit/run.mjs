// Runs the suite against the build. Each case has a server of its own; its port tells the build which application to serve.
import { createServer } from "node:http";
import { adapterContract } from "sojourn/testing";
import options from "./options.json" with { type: "json" };

Object.assign(process.env, { PROTOCOL_HEADER: "x-forwarded-proto", BODY_SIZE_LIMIT: String(options.bodyLimit) });
// The adapter and its framework log the failures that cases plan.
console.error = () => {};
globalThis.sojournSuite = { applications: new Map() };
const { handler } = await import("./build/handler.js");

function serve(parts) {
  const application = globalThis.sojournSuite.create(parts);
  const server = createServer((req, res) => {
    req.headers["x-forwarded-proto"] = "http";
    void handler(req, res);
  });
  server.listen(0, "127.0.0.1", () => {
    globalThis.sojournSuite.applications.set(String(server.address().port), application);
  });
  return server;
}

for (const { name, run } of adapterContract(serve, options)) {
  const wrong = await run().then(
    () => null,
    (error) => error.message,
  );
  console.log(JSON.stringify([name, wrong]));
}
process.exit();
