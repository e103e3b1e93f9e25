import { IncomingMessage, ServerResponse } from "node:http";
import { Socket } from "node:net";
import { setFlagsFromString } from "node:v8";
import express, { type RequestHandler } from "express";
import express4 from "express4";
import { describe, expect, it } from "vitest";
import { ask, serve } from "../../test/support/delayed-server.ts";
import { KEYS } from "../../test/support/stores.ts";
import { createSessions } from "../sessions.ts";
import { memoryStore } from "../stores/memory.ts";
import { useDictionaryMode } from "./dictionary-mode.ts";
import { sessionMiddleware } from "./express.ts";
import { withSession } from "./node.ts";

const v8 = Number.parseInt(process.versions.v8, 10);

setFlagsFromString("--allow-natives-syntax");
// oxlint-disable-next-line typescript/no-implied-eval -- no parser but V8's own knows the syntax.
const hasFastProperties = new Function("object", "return %HasFastProperties(object)") as (object: object) => boolean;
setFlagsFromString("--no-allow-natives-syntax");

/** The names of all properties, and of the symbols in the order of their names, with their descriptors. */
function describeObject(object: object) {
  const symbols = Object.getOwnPropertySymbols(object).toSorted((a, b) => (String(a) < String(b) ? -1 : 1));
  const names = [...Object.getOwnPropertyNames(object), ...symbols];
  return names.map((name) => [name, Object.getOwnPropertyDescriptor(object, name)]);
}

describe("useDictionaryMode", () => {
  it("leaves the names, their order, the values and the descriptors of Node's objects as they are", () => {
    const req = new IncomingMessage(new Socket());
    for (const object of [req, new ServerResponse(req)]) {
      const before = describeObject(object);
      const keys = Object.keys(object);
      useDictionaryMode(object);
      expect(describeObject(object)).toEqual(before);
      expect(Object.keys(object)).toEqual(keys);
    }
  });

  it.skipIf(v8 >= 13)("turns an object into a dictionary in V8 before 13", () => {
    const req = new IncomingMessage(new Socket());
    expect(hasFastProperties(req)).toBe(true);
    useDictionaryMode(req);
    expect(hasFastProperties(req)).toBe(false);
  });

  it("leaves an object alone that is frozen, sealed or not extensible, or has no symbol that can be removed", () => {
    const symbol = Symbol("kept");
    const fixed = Object.defineProperty({}, symbol, { value: 1 });
    const frozen = Object.freeze({ [symbol]: 1 });
    const sealed = Object.seal({ [symbol]: 1 });
    const closed = Object.preventExtensions({ [symbol]: 1 });
    for (const object of [fixed, frozen, sealed, closed]) {
      useDictionaryMode(object);
      expect(Reflect.get(object, symbol)).toBe(1);
    }
    const empty = {};
    useDictionaryMode(empty);
    expect(Reflect.ownKeys(empty)).toEqual([]);
  });
});

describe.each([
  ["5", express],
  ["4", express4],
])("sessionMiddleware in Express %s", (_version, createApp) => {
  it("adds only req.session to the request, and leaves getters and methods on their prototypes", async () => {
    const app = createApp().enable("trust proxy");
    let before: [string[], string[]];
    const keysOf: (req: object, res: object) => [string[], string[]] = (req, res) => [
      Object.getOwnPropertyNames(req),
      Object.getOwnPropertyNames(res).filter((name) => !["writeHead", "write", "end", "flushHeaders"].includes(name)),
    ];
    const look: RequestHandler = (req, res, next) => {
      before = keysOf(req, res);
      next();
    };
    app.use(look, sessionMiddleware(createSessions({ secretKey: KEYS[0], store: memoryStore() })));
    app.use((req, res) => {
      const [request, response] = keysOf(req, res);
      const own = ["ip", "protocol", "hostname", "fresh", "get"].filter((name) => Object.hasOwn(req, name));
      const { enumerable, configurable } = Object.getOwnPropertyDescriptor(req, "session")!;
      res.json({
        isSame: JSON.stringify([request.filter((name) => name !== "session"), response]) === JSON.stringify(before),
        last: request.at(-1),
        session: { enumerable, configurable },
        own,
        ip: req.ip,
        protocol: req.protocol,
        isFast: hasFastProperties(req) && hasFastProperties(res),
      });
    });
    const { port } = await serve(app);
    const headers = { "x-forwarded-for": "192.0.2.1", "x-forwarded-proto": "https" };
    const { body } = await ask(port, { headers });
    expect(JSON.parse(body.toString())).toMatchObject({
      isSame: true,
      last: "session",
      own: [],
      ip: "192.0.2.1",
      protocol: "https",
      session: { enumerable: true, configurable: true },
      ...(v8 < 13 ? { isFast: false } : {}),
    });
  });
});

describe("withSession of node:http", () => {
  it("leaves the request's properties fast, since nobody replaces their prototype", async () => {
    const sessions = createSessions({ secretKey: KEYS[0], store: memoryStore() });
    const { port } = await serve(withSession(sessions, (req, res) => void res.end(String(hasFastProperties(req)))));
    expect((await ask(port)).body.toString()).toBe("true");
  });
});
