import { randomBytes } from "node:crypto";
import { createSessions } from "sojourn";
import { memoryStore } from "sojourn/memory";
import { cookieFor, faulty } from "sojourn/testing";
import { cases } from "./cases.mjs";
import { close, cookiesOf, pass, runCases, serve } from "./pages.mjs";

console.error = () => {};
const store = faulty({ ...memoryStore() });
const sessions = createSessions({ secretKey: randomBytes(32), store });
globalThis.sojournPages = { sessions, gate: pass };
process.env.PROTOCOL_HEADER = "x-forwarded-proto";
const { handler } = await import("./build/handler.js");
const ask = await serve((req, res) => {
  req.headers["x-forwarded-proto"] = "http";
  void handler(req, res);
});
const signedIn = (userId) => cookieFor(sessions, userId, { data: {} });
await runCases(cases, { ask, sessions, signedIn, close, cookiesOf, calls: store.calls });
