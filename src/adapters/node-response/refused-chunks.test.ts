import { createServer } from "node:http";
import { connect, createServer as createHttp2, type Http2Server } from "node:http2";
import type { AddressInfo } from "node:net";
import { Readable } from "node:stream";
import express from "express";
import Fastify, { type FastifyRequest } from "fastify";
import { afterEach, describe, expect, it, vi } from "vitest";
import { ask, serve, testHooks } from "../../../test/support/delayed-server.ts";
import { site } from "../../../test/support/stores.ts";
import { requireUser, sessionMiddleware } from "../express.ts";
import { sessionPlugin } from "../fastify.ts";
import { withSession } from "../node.ts";
import { cookieFor } from "../../testing/application.ts";
import { delayResponse } from "./delayed-response.ts";
import type { ResponseHooks } from "./response-hooks.ts";

// A client may choose the argument of a write. An error that nobody catches would end the process: vitest reports it.

const ends: (() => unknown)[] = [];
afterEach(() => {
  for (const end of ends.splice(0)) end();
  vi.restoreAllMocks();
});

const CHUNK = "ERR_INVALID_ARG_TYPE";
const ENCODING = "ERR_UNKNOWN_ENCODING";

const refused: [string, unknown[], string][] = [
  ["a list", [["a", "b"]], CHUNK],
  ["an object", [{}], CHUNK],
  ["a number", [1], CHUNK],
  ["an unknown encoding", ["text", "utf-99"], ENCODING],
  ["a list of encodings", ["text", ["utf8", "hex"]], ENCODING],
  ["an unknown encoding of bytes", [Buffer.from("text"), "utf-99"], ENCODING],
  ["a text as a buffer", ["text", "buffer"], ENCODING],
];

type Methods = Record<"write" | "end", (...args: unknown[]) => unknown>;

function codeOf(call: () => unknown): unknown {
  try {
    call();
  } catch (error) {
    return (error as { code?: unknown }).code;
  }
  return undefined;
}

/** A server whose handler calls a method with such arguments, and then ends the response by good ones. */
async function tryAt(version: 1 | 2, when: "first" | "after a write", method: "write" | "end", args: unknown[]) {
  const codes: unknown[] = [];
  const { sessions } = site({ encrypted: true });
  const listener = withSession(sessions, (_req, res, session) => {
    session.data["early"] = 1;
    if (when === "after a write") res.write("rows: ");
    const given = res as unknown as Methods;
    codes.push(codeOf(() => given[method](...args)));
    if (codes[0] !== undefined || method === "write") res.end("good");
  });
  const server =
    version === 1 ? createServer(listener) : createHttp2(listener as unknown as Parameters<Http2Server["on"]>[1]);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  ends.push(() => {
    if ("closeAllConnections" in server) server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  return { body: version === 1 ? await text(`http://127.0.0.1:${port}/`) : await textOverHttp2(port), codes };
}

const text = async (url: string, headers: Record<string, string> = {}) => (await fetch(url, { headers })).text();

async function textOverHttp2(port: number): Promise<string> {
  const client = connect(`http://127.0.0.1:${port}`);
  ends.push(() => client.destroy());
  const stream = client.request({ ":path": "/" }).setEncoding("utf8");
  let body = "";
  for await (const chunk of stream) body += chunk as string;
  return body;
}

describe.each([1, 2] as const)("a response over HTTP/%s that waits for its session", (version) => {
  describe.each(["first", "after a write"] as const)("(%s)", (when) => {
    it.each(refused)("refuses at once what Node refuses in write: %s", async (_, args, code) => {
      const { body, codes } = await tryAt(version, when, "write", args);
      expect(codes).toEqual([code]);
      expect(body).toBe(when === "first" ? "good" : "rows: good");
    });

    it.each(refused)("refuses at once what Node refuses in end: %s", async (_, args, code) => {
      const { body, codes } = await tryAt(version, when, "end", args);
      expect(codes).toEqual([code]);
      expect(body).toBe(when === "first" ? "good" : "rows: good");
    });

    it.each<[string, unknown[]]>([
      ["no chunk", []],
      ["null", [null]],
      ["bytes with the encoding 'buffer'", [Buffer.from(""), "buffer"]],
      ["no encoding", ["", undefined]],
      ["an empty encoding", ["", ""]],
      ["a callback alone", [() => {}]],
    ])("takes what Node takes in end: %s", async (_, args) => {
      const { body, codes } = await tryAt(version, when, "end", args);
      expect(codes).toEqual([undefined]);
      expect(body).toBe(when === "first" ? "" : "rows: ");
    });
  });
});

describe("a handler that ends a streamed response with what a client has chosen, after it has changed the session,", () => {
  it("gets Node's error under Express, as it does without a session", async () => {
    const { sessions } = site({ encrypted: true });
    const errors: unknown[] = [];
    const app = express().use(sessionMiddleware(sessions));
    app.get("/login", (req, res) => {
      req.session.signIn("ada");
      res.send("in");
    });
    app.get("/export", (req, res) => {
      expect(req.session.userId).toBe("ada");
      res.write("rows: ");
      Object.assign(req.session.data, { exports: 1 });
      res.end(req.query["note"] as string);
    });
    app.use(((error, _req, res, _next) => {
      errors.push((error as { code?: unknown }).code);
      res.destroy();
    }) satisfies express.ErrorRequestHandler);
    const { port } = await serve(app);
    const cookie = (await ask(port, { path: "/login" })).headers["set-cookie"]![0]!.split(";")[0]!;
    await expect(ask(port, { path: "/export?note=a&note=b", headers: { cookie } })).rejects.toThrow();
    expect(errors).toEqual([CHUNK]);
  });

  it("gets a 500 from Fastify for a header that Node refuses", async () => {
    const { sessions } = site({ encrypted: true });
    const app = Fastify();
    await app.register(sessionPlugin(sessions));
    app.get("/", (request: FastifyRequest<{ Querystring: { note: string } }>, reply) => {
      request.session.signIn("ada");
      return reply.header("x-note", request.query.note).send("ok");
    });
    const response = await app.inject("/?note=a%0ab");
    expect([response.statusCode, response.json()]).toEqual([
      500,
      expect.objectContaining({ code: "ERR_INVALID_CHAR" }),
    ]);
  });

  it("gets Node's error under Fastify, from the raw response of a stream", async () => {
    const { sessions } = site({ encrypted: true });
    const codes: unknown[] = [];
    const app = Fastify();
    await app.register(sessionPlugin(sessions));
    app.get("/export", (request, reply) => {
      expect(request.session.userId).toBe("ada");
      const body = new Readable({ read() {} });
      setImmediate(() => {
        Object.assign(request.session.data, { exports: 1 });
        const raw = reply.raw as unknown as Methods;
        codes.push(codeOf(() => raw.write("a", "utf-99")));
        codes.push(codeOf(() => raw.end("a", "utf-99")));
        body.push("rows");
        body.push(null);
      });
      return reply.send(body);
    });
    const origin = await app.listen({ port: 0, host: "127.0.0.1" });
    ends.push(() => app.close());
    const cookie = await cookieFor(sessions, "ada");
    expect(await text(`${origin}/export`, { cookie })).toBe("rows");
    expect(codes).toEqual([ENCODING, ENCODING]);
  });
});

describe("delayResponse, if a method of the response throws when it is called later,", () => {
  const broken = new Error("no such method any more");
  const failing = () => {
    throw broken;
  };

  it.each(["while the headers wait", "while the end waits"])(
    "cuts the response off and reports it: %s",
    async (when) => {
      const hooks: ReturnType<typeof testHooks> & ResponseHooks = testHooks({ open: when === "while the end waits" });
      hooks.beforeEnd = () => Promise.resolve();
      const { port } = await serve((_req, res) => {
        // Middleware before us may throw for reasons of its own.
        res.end = failing;
        delayResponse(res, hooks);
        res.write("begun");
        res.end("done");
        hooks.open();
      });
      await expect(ask(port)).rejects.toThrow();
      expect(hooks.failures).toEqual([broken]);
    },
  );

  it("logs the error of an error handler that throws, too, and cuts the response off", async () => {
    const logged = vi.spyOn(console, "error").mockReturnValue();
    const hooks = testHooks({ onFailure: failing });
    const { port } = await serve((_req, res) => {
      delayResponse(res, hooks);
      res.end("done");
      hooks.break(new Error("store is down"));
    });
    await expect(ask(port)).rejects.toThrow();
    expect(logged.mock.calls).toEqual([[broken]]);
  });

  it("reports it under Fastify, where it comes from the end of a stream", async () => {
    const logged = vi.spyOn(console, "error").mockReturnValue();
    const { sessions } = site({ encrypted: true });
    const app = Fastify();
    app.addHook("onRequest", (request, reply, next) => {
      if (request.url === "/export") reply.raw.end = failing;
      next();
    });
    await app.register(sessionPlugin(sessions));
    app.get("/export", (request, reply) => {
      expect(request.session.userId).toBe("ada");
      const body = new Readable({ read() {} });
      setImmediate(() => {
        body.push("rows");
        setImmediate(() => {
          Object.assign(request.session.data, { exports: 1 });
          body.push(null);
        });
      });
      return reply.send(body);
    });
    const origin = await app.listen({ port: 0, host: "127.0.0.1" });
    ends.push(() => app.close());
    const cookie = await cookieFor(sessions, "ada");
    await expect(text(`${origin}/export`, { cookie })).rejects.toThrow();
    expect(logged.mock.calls).toEqual([[broken]]);
  });
});

describe("withSession, where the program's onError fails,", () => {
  it.each<[string, () => unknown]>([
    [
      "throws",
      () => {
        throw new Error("onError is broken");
      },
    ],
    ["rejects", () => Promise.reject(new Error("onError is broken"))],
  ])("answers by itself if it %s, and logs why", async (_, onError) => {
    const logged = vi.spyOn(console, "error").mockReturnValue();
    const listener = withSession(
      site().sessions,
      () => {
        throw new Error("the handler is broken");
      },
      { onError },
    );
    const { port } = await serve(listener);
    expect((await ask(port)).status).toBe(500);
    expect(logged.mock.calls).toEqual([[new Error("onError is broken")]]);
  });
});

describe("requireUser", () => {
  it("gives its error to Express where the response was sent while the session was read", async () => {
    const errors: unknown[] = [];
    const app = express().use(
      sessionMiddleware(site({ encrypted: true }).sessions, { lazy: (req) => req.url === "/" }),
    );
    app.get("/visit", (req, res) => {
      Object.assign(req.session.data, { visits: 1 });
      res.send("welcome");
    });
    const isReported = new Promise<void>((resolve) => {
      app.get("/", (_req, res, next) => {
        requireUser({ loginPage: "/login" })(_req, res, (error) => {
          errors.push((error as { code?: unknown }).code);
          resolve();
          next(error);
        });
        res.send("too slow");
      });
    });
    app.use((() => {}) as unknown as express.ErrorRequestHandler);
    const { port } = await serve(app);
    const cookie = (await ask(port, { path: "/visit" })).headers["set-cookie"]![0]!.split(";")[0]!;
    expect((await ask(port, { headers: { accept: "text/html", cookie } })).body.toString()).toBe("too slow");
    await isReported;
    expect(errors).toEqual(["ERR_HTTP_HEADERS_SENT"]);
  });
});
