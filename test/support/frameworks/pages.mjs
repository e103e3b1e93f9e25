// What the cases of pages use of the running application. It is copied into its folder.
import { createServer } from "node:http";

/** Gates at which pages wait, by their name. A gate that no case has closed is open. */
const gates = new Map();

export function close(name) {
  const gate = {};
  gate.reached = new Promise((resolve) => (gate.arrive = resolve));
  gate.opened = new Promise((resolve) => (gate.open = resolve));
  gates.set(name, gate);
  return gate;
}

export async function pass(name) {
  const gate = gates.get(name);
  gates.delete(name);
  gate?.arrive();
  await gate?.opened;
}

/** Serves a handler of node:http on a free port, and gives a function that asks it for a path. */
export async function serve(handler) {
  const server = createServer(handler);
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const origin = `http://127.0.0.1:${server.address().port}`;
  return (path, { cookie, ...init } = {}) =>
    fetch(origin + path, { redirect: "manual", ...init, headers: { ...init.headers, ...(cookie && { cookie }) } });
}

/** The session's cookies of a response, as the client sends them next. */
export const cookiesOf = (response) =>
  response.headers
    .getSetCookie()
    .filter((line) => line.startsWith("session="))
    .map((line) => line.split(";")[0]);

/** Runs the cases, and prints a line of JSON for each. */
export async function runCases(cases, site) {
  for (const [name, check] of cases) {
    const wrong = await check(site).then(
      () => null,
      (error) => error.stack,
    );
    console.log(JSON.stringify([name, wrong]));
  }
  process.exit();
}
