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
const { handler } = await import("./dist/server/entry.mjs");
const ask = await serve((req, res) => void handler(req, res));
const signedIn = (userId) => cookieFor(sessions, userId, { data: {} });
await runCases(cases, { ask, sessions, signedIn, close, cookiesOf, calls: store.calls });
