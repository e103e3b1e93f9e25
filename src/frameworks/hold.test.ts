import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import {
  Agent,
  createServer,
  request,
  type IncomingMessage,
  type RequestListener,
  type Server,
  type ServerResponse,
} from "node:http";
import { connect, type Socket } from "node:net";
import { createServer as createHttp2, connect as connectHttp2 } from "node:http2";
import { once } from "node:events";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { brotliDecompressSync, gunzipSync } from "node:zlib";
import compression from "compression";
import express, { type ErrorRequestHandler, type RequestHandler } from "express";
import express4 from "express4";
import { describe, expect, it, onTestFinished } from "vitest";
import { holdResponse, type Gate } from "./hold.ts";

const LARGE = Buffer.from(
  Array.from({ length: 60_000 }, (_, i) => `line ${i} ${(i * 7919) % 104_729}, and so on`).join("\n"),
);
const SMALL = Buffer.from("a few words");

const GET = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";

const lines = (text: string, name: string) => text.split("\r\n").filter((line) => line.toLowerCase().startsWith(name));

describe("holdResponse", () => {
  describe("while held", () => {
    const handlers: Record<string, RequestListener> = {
      "end(body)": (_req, res) => void res.end("hello"),
      "write and end": (_req, res) => {
        res.write("hel");
        res.end("lo");
      },
      "writeHead and end": (_req, res) => void res.writeHead(200, { "X-A": "1" }).end("hello"),
      flushHeaders: (_req, res) => {
        res.flushHeaders();
        res.end("hello");
      },
      pipe: (_req, res) => void Readable.from(["hel", "lo"]).pipe(res),
      "an empty end": (_req, res) => void res.end(),
    };
    for (const [name, handler] of Object.entries(handlers)) {
      it(`sends no byte before the gate opens: ${name}`, async () => {
        const gate = testGate({ cookie: "sid=1" });
        const { port } = await serveHeld(gate, handler);
        const client = dial(port, GET);
        await gate.asked;
        await settle(port);
        expect(client.text()).toBe("");
        gate.open();
        const text = await client.until(/\r\n\r\n(hello|5\r\nhello\r\n0\r\n\r\n|3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n|$)/);
        expect(text).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
        expect(lines(text, "set-cookie")).toEqual(["set-cookie: sid=1"]);
        expect(gate.timesAsked).toBe(1);
      });
    }

    it("looks sent to the program, and native again afterwards", async () => {
      const gate = testGate();
      const seen: unknown[] = [];
      const { port } = await serveHeld(gate, (_req, res) => {
        const look = () => seen.push([res.headersSent, res.writableEnded]);
        look();
        res.setHeader("x", "y");
        res.write("a");
        look();
        expect(() => res.setHeader("x", "y")).toThrow(/after they are sent/);
        expect(() => res.appendHeader("x", "y")).toThrow(expect.objectContaining({ code: "ERR_HTTP_HEADERS_SENT" }));
        expect(() => res.setHeaders(new Map([["z", "y"]]))).toThrow(/after they are sent/);
        expect(() => res.removeHeader("x")).toThrow(/after they are sent/);
        expect(() => res.writeHead(500)).toThrow(/after they are sent/);
        expect(() => res.writeHead(200, { x: "y" })).toThrow(/after they are sent/);
        res.end();
        look();
      });
      const answer = ask(port);
      const res = await gate.asked;
      gate.open();
      expect((await answer).body.toString()).toBe("a");
      expect(seen).toEqual([
        [false, false],
        [true, false],
        [true, true],
      ]);
      expect([res.headersSent, res.writableEnded]).toEqual([true, true]);
      for (const name of ["headersSent", "writableEnded", "setHeader", "appendHeader", "removeHeader"]) {
        expect(Object.hasOwn(res, name)).toBe(false);
      }
    });

    it("keeps the status that the head had, and a setHeader of somebody's own", async () => {
      const gate = testGate();
      const { port } = await serve((_req, res) => {
        const own = (res.setHeader = res.setHeader.bind(res));
        holdResponse(res, gate);
        res.statusCode = 201;
        res.end("a");
        res.statusCode = 500;
        expect(res.setHeader).not.toBe(own);
        void gate.asked.then(() => gate.open());
        res.on("finish", () => expect(res.setHeader).toBe(own));
      });
      expect(await ask(port)).toMatchObject({ status: 201, body: Buffer.from("a") });
    });

    it("sends the head alone when it is flushed, with no 'drain' that nobody waits for", async () => {
      const gate = testGate();
      let drains = 0;
      const { port } = await serveHeld(gate, (_req, res) => res.on("drain", () => drains++).flushHeaders());
      const client = dial(port, GET);
      await gate.asked;
      await settle(port);
      expect(client.text()).toBe("");
      gate.open();
      await client.until(/^HTTP\/1\.1 200 OK[^]*\r\n\r\n$/);
      expect(drains).toBe(0);
    });

    it.each(["without", "before"])("tells once that it drained, compression %s", async (place) => {
      const gate = testGate();
      let drains = 0;
      const { port } = await serve((req, res) => {
        if (place === "before") Reflect.apply(compression(), undefined, [req, res, () => {}]);
        holdResponse(res, gate);
        res.on("drain", () => {
          drains++;
          setImmediate(() => res.end("b"));
        });
        expect(res.write("a")).toBe(false);
      });
      const answer = ask(port);
      await gate.asked;
      gate.open();
      expect((await answer).body.toString()).toBe("ab");
      expect(drains).toBe(1);
    });

    it("leaves it to the socket to tell where the socket is full", async () => {
      const gate = testGate();
      const drained = deferred();
      let drains = 0;
      const { port } = await serveHeld(gate, (_req, res) => {
        res.on("drain", () => {
          drains++;
          drained.resolve();
          res.end();
        });
        res.write(Buffer.alloc(32 * 1024 * 1024));
      });
      const client = dial(port, GET);
      client.socket.pause();
      await gate.asked;
      gate.open();
      await settle(port, 20);
      expect(drains).toBe(0);
      client.socket.removeAllListeners("data").resume();
      await drained.promise;
      expect(drains).toBe(1);
    });

    it("ignores the implicit heads that old middleware sends while res._header is empty", async () => {
      const gate = testGate();
      const { port } = await serveHeld(gate, (_req, res) => {
        res.statusCode = 201;
        const implicitHeader = () => void Reflect.apply(Reflect.get(res, "_implicitHeader"), res, []);
        implicitHeader();
        res.write("a");
        implicitHeader();
        res.end("b");
      });
      const answer = ask(port);
      await gate.asked;
      gate.open();
      expect(await answer).toMatchObject({ status: 201, body: Buffer.from("ab") });
    });

    it("lets informational responses through", async () => {
      const gate = testGate();
      const { port } = await serveHeld(gate, (_req, res) => {
        res.writeContinue();
        res.writeProcessing();
        res.writeEarlyHints({ link: "</style.css>; rel=preload" });
        res.end("hello");
        res.writeEarlyHints({ link: "</late.css>; rel=preload" });
      });
      const client = dial(port, GET);
      await client.until(/late\.css/);
      await gate.asked;
      await settle(port);
      expect(client.text().match(/HTTP\/1\.1 \d+/g)).toEqual(["100", "102", "103", "103"].map((n) => `HTTP/1.1 ${n}`));
      gate.open();
      await client.until(/HTTP\/1\.1 200 OK[^]*hello/);
    });

    it("keeps the order of pipelined responses", async () => {
      const gates = [testGate(), testGate()];
      let n = 0;
      const { port } = await serve((_req, res) => {
        const mine = n++;
        holdResponse(res, gates[mine] ?? testGate({ open: true }));
        res.end(`answer ${mine}`);
      });
      const client = dial(port, GET + GET + GET);
      await Promise.all(gates.map((gate) => gate.asked));
      gates[1]?.open();
      await settle(port);
      expect(client.text()).toBe("");
      gates[0]?.open();
      const text = await client.until(/answer 2/);
      expect(text.match(/answer \d/g)).toEqual(["answer 0", "answer 1", "answer 2"]);
    });

    it("keeps callbacks and their order", async () => {
      const gate = testGate();
      const order: string[] = [];
      const done = deferred();
      const { port } = await serveHeld(gate, (_req, res) => {
        res.on("finish", () => order.push("finish"));
        res.write("a", () => order.push("write"));
        res.write("b", "latin1", () => order.push("write 2"));
        res.end("c", "utf8", () => {
          order.push("end");
          done.resolve();
        });
      });
      const answer = ask(port);
      await gate.asked;
      await settle(port, 1);
      expect(order).toEqual([]);
      gate.open();
      await done.promise;
      expect((await answer).body.toString()).toBe("abc");
      expect(order).toEqual(["write", "write 2", "finish", "end"]);
    });

    it("takes end(callback) alone", async () => {
      const gate = testGate();
      const done = deferred();
      const { port } = await serveHeld(gate, (_req, res) => void res.end(() => done.resolve()));
      const answer = ask(port);
      await gate.asked;
      gate.open();
      await done.promise;
      expect((await answer).headers["content-length"]).toBe("0");
    });

    it("holds twice where it is mounted twice", async () => {
      const first = testGate({ cookie: "first=1" });
      const second = testGate({ cookie: "second=2" });
      const { port } = await serve((_req, res) => {
        holdResponse(res, first);
        holdResponse(res, second);
        void Readable.from([LARGE.subarray(0, 100_000), LARGE.subarray(100_000)]).pipe(res);
      });
      const answer = ask(port);
      await second.asked;
      second.open();
      await first.asked;
      first.open();
      const { headers, body } = await answer;
      expect(body.equals(LARGE)).toBe(true);
      expect(headers["set-cookie"]).toEqual(["second=2", "first=1"]);
    });
  });

  describe.each([true, false])("the head (gate open at once: %s)", (open) => {
    async function headOf(handler: RequestListener, options: Parameters<typeof ask>[1] = {}, cookie = "sid=1") {
      const gate = testGate({ open, cookie });
      const { port } = await serveHeld(gate, handler);
      const answer = ask(port, options);
      await gate.asked;
      gate.open();
      return answer;
    }
    const cookies = ["a=1", "b=2"];

    it.each<[string, (res: ServerResponse) => unknown, string[]]>([
      ["an object", (res) => res.writeHead(200, { "Set-Cookie": "a=1", "X-A": "1" }), ["a=1", "sid=1"]],
      [
        "an object with a list",
        (res) => res.writeHead(200, { "Set-Cookie": cookies, "X-A": "1" }),
        ["a=1", "b=2", "sid=1"],
      ],
      [
        "a message and an object",
        (res) => res.writeHead(200, "Fine", { "set-cookie": cookies, "X-A": "1" }),
        ["a=1", "b=2", "sid=1"],
      ],
      [
        "undefined and an object",
        (res) => Reflect.apply(res.writeHead, res, [200, undefined, { "Set-Cookie": "a=1", "X-A": "1" }]),
        ["a=1", "sid=1"],
      ],
      [
        "a flat list",
        (res) => res.writeHead(200, ["Set-Cookie", "a=1", "X-A", "1", "set-cookie", "b=2"]),
        ["a=1", "b=2", "sid=1"],
      ],
      [
        "a flat list with a list",
        (res) => res.writeHead(200, ["Set-Cookie", cookies, "X-A", "1"]),
        ["a=1", "b=2", "sid=1"],
      ],
      [
        "pairs",
        (res) =>
          Reflect.apply(res.writeHead, res, [
            200,
            [
              ["Set-Cookie", "a=1"],
              ["X-A", "1"],
              ["Set-Cookie", "b=2"],
            ],
          ]),
        ["a=1", "b=2", "sid=1"],
      ],
      [
        "over what was set",
        (res) => res.setHeader("Set-Cookie", "old=1").writeHead(200, { "Set-Cookie": "a=1", "X-A": "1" }),
        ["a=1", "sid=1"],
      ],
      [
        "setHeader",
        (res) => res.setHeader("Set-Cookie", cookies).setHeader("X-A", "1").writeHead(200),
        ["a=1", "b=2", "sid=1"],
      ],
    ])("adds to the program's: %s", async (name, write, expected) => {
      const answer = await headOf((_req, res) => {
        write(res);
        res.end("x");
      });
      expect(answer.headers["set-cookie"]).toEqual(expected);
      expect(answer.headers["x-a"]).toBe("1");
      expect(answer.message).toBe(name.startsWith("a message") ? "Fine" : "OK");
      expect(cookies).toEqual(["a=1", "b=2"]);
    });

    it.each<[string, (cookie: string[]) => Parameters<ServerResponse["writeHead"]>[1]]>([
      ["object", (cookie) => ({ "Set-Cookie": cookie })],
      ["list", (cookie) => ["Set-Cookie", cookie]],
    ])("does not put one client's cookie into a list that the program shares, in an %s", async (_form, headers) => {
      const shared = ["a=1"];
      const gate: Gate = {
        beforeHead(res) {
          const add = () => void res.appendHeader("Set-Cookie", "sid=1");
          if (!open) return Promise.resolve(add);
          add();
          return undefined;
        },
        onFailure: () => {},
      };
      const { port } = await serveHeld(gate, (_req, res) => void res.writeHead(200, headers(shared)).end());
      await ask(port);
      expect((await ask(port)).headers["set-cookie"]).toEqual(["a=1", "sid=1"]);
      expect(shared).toEqual(["a=1"]);
    });

    it("keeps the implicit Content-Length", async () => {
      const answer = await headOf((_req, res) => void res.end("héllo"));
      expect(answer.headers["content-length"]).toBe("6");
      expect(answer.headers["transfer-encoding"]).toBeUndefined();
    });

    it("keeps an explicit Content-Length, status and message", async () => {
      const answer = await headOf(
        (_req, res) => void res.writeHead(404, "Gone fishing", { "Content-Length": 2 }).end("no"),
      );
      expect(answer).toMatchObject({ status: 404, message: "Gone fishing", body: Buffer.from("no") });
      expect(answer.headers["content-length"]).toBe("2");
    });

    it("answers HEAD without a body, also to a pipe", async () => {
      const answer = await headOf((_req, res) => void res.setHeader("Content-Length", "10").end("0123456789"), {
        method: "HEAD",
      });
      expect(answer).toMatchObject({ status: 200, body: Buffer.alloc(0) });
      expect(answer.headers["content-length"]).toBe("10");
      const ended = deferred();
      const source = Readable.from([LARGE.subarray(0, 50_000), LARGE.subarray(50_000, 90_000)]).on(
        "end",
        ended.resolve,
      );
      await headOf((_req, res) => void source.pipe(res), { method: "HEAD" });
      await ended.promise;
    });

    it.each([204, 304])("answers %s without a body", async (status) => {
      const answer = await headOf((_req, res) => void res.writeHead(status).end());
      expect(answer).toMatchObject({ status, body: Buffer.alloc(0) });
      expect(answer.headers["transfer-encoding"]).toBeUndefined();
      expect(answer.headers["content-length"]).toBeUndefined();
    });

    it("keeps trailers", async () => {
      const gate = testGate({ open });
      const { port } = await serveHeld(gate, (_req, res) => {
        res.writeHead(200, { Trailer: "X-Sum" });
        res.write("a");
        res.addTrailers({ "X-Sum": "1" });
        res.end();
      });
      const client = dial(port, GET);
      await gate.asked;
      gate.open();
      expect(await client.until(/0\r\nX-Sum: 1\r\n\r\n$/)).toContain("Trailer: X-Sum");
    });

    it("lets those hear of the head who listen for it, and asks the gate after those mounted after it", async () => {
      const order: string[] = [];
      const gate = testGate({ open });
      const listen = (res: ServerResponse, name: string) => {
        const writeHead = res.writeHead.bind(res);
        res.writeHead = (...args: [number]) => {
          order.push(`${name}, asked ${gate.timesAsked}`);
          res.setHeader(name, "1");
          return writeHead(...args);
        };
      };
      const { port } = await serve((_req, res) => {
        listen(res, "before");
        holdResponse(res, gate);
        listen(res, "after");
        res.end("hello");
      });
      const answer = ask(port);
      await gate.asked;
      gate.open();
      expect((await answer).headers).toMatchObject({ before: "1", after: "1", "content-length": "5" });
      expect(order).toEqual(["after, asked 0", "before, asked 1"]);
    });

    it("leaves the connection usable", async () => {
      const agent = new Agent({ keepAlive: true, maxSockets: 1 });
      onTestFinished(() => agent.destroy());
      const ports = new Set<number | undefined>();
      const { port } = await serve((req, res) => {
        const gate = testGate({ open });
        holdResponse(res, gate);
        ports.add(req.socket.remotePort);
        res.write("hel");
        res.end("lo");
        gate.open();
      });
      for (let i = 0; i < 5; i++) expect((await ask(port, { agent })).body.toString()).toBe("hello");
      expect(ports.size).toBe(1);
    });
  });

  describe("bodies", () => {
    const ways: Record<string, (res: ServerResponse, body: Buffer) => void | Promise<void>> = {
      ended: (res, body) => void res.end(body),
      written: (res, body) => {
        res.write(body.subarray(0, 5));
        res.write(body.subarray(5));
        res.end();
      },
      "written, waiting for drain": async (res, body) => {
        for (let at = 0; at < body.length; at += 10_000) {
          if (!res.write(body.subarray(at, at + 10_000))) await once(res, "drain");
        }
        res.end();
      },
      piped: (res, body) => void source(body).pipe(res),
      pipelined: (res, body) => pipeline(source(body), res),
      "pipelined from a generator": (res, body) =>
        pipeline(async function* () {
          for await (const chunk of source(body)) yield chunk;
        }, res),
    };
    const source = (body: Buffer) => {
      let at = 0;
      return new Readable({
        read() {
          const chunk = body.subarray(at, (at += 9_000));
          this.push(chunk.length > 0 ? chunk : null);
        },
      });
    };
    for (const place of ["without", "before", "after", "before and after"]) {
      for (const open of [true, false]) {
        for (const size of ["small", "large"]) {
          it.each(Object.keys(ways))(
            `arrive ${size}, compression ${place}, ${open ? "not held" : "held"}, %s`,
            async (way) => {
              const body = size === "large" ? LARGE : SMALL;
              const gate = testGate({ open, cookie: "sid=1" });
              const done = deferred();
              const app = express();
              if (place.startsWith("before")) app.use(compression());
              app.use((_req, res, next) => {
                holdResponse(res, gate);
                next();
              });
              if (place.endsWith("after")) app.use(compression());
              app.get("/", async (_req, res) => {
                res.type("text/plain");
                await ways[way]?.(res, body);
                done.resolve();
              });
              const { port } = await serve(app);
              const answer = ask(port, { headers: { "Accept-Encoding": "gzip" } });
              await gate.asked;
              if (!open) await settle(port, 1);
              gate.open();
              const { headers, body: arrived } = await answer;
              expect(arrived.equals(body)).toBe(true);
              expect(headers["set-cookie"]).toEqual(["sid=1"]);
              if (place !== "without" && size === "large") expect(headers["content-encoding"]).toBe("gzip");
              await done.promise;
              expect(gate.timesAsked).toBe(1);
              expect(gate.failures).toEqual([]);
            },
          );
        }
      }
    }

    it.each(["without", "before", "after"])("keep the pressure on a slow client, compression %s", async (place) => {
      const gate = testGate();
      const chunk = Buffer.alloc(64 * 1024, "x");
      // What gzip can't shrink, so that the socket fills.
      for (let i = 0, seed = 1; i < chunk.length; i++) chunk[i] = (seed = (seed * 48_271) % 2_147_483_647) & 255;
      let left = 128;
      let most = 0;
      const response = deferred<ServerResponse>();
      const compress = compression({ level: 0, filter: () => true });
      const app = express();
      if (place === "before") app.use(compress);
      app.use((_req, res, next) => {
        holdResponse(res, gate);
        next();
      });
      if (place === "after") app.use(compress);
      app.get("/", (_req, res) => {
        response.resolve(res);
        new Readable({
          highWaterMark: 64 * 1024,
          read() {
            most = Math.max(most, res.writableLength);
            this.push(left-- > 0 ? chunk : null);
          },
        }).pipe(res);
      });
      const { port } = await serve(app);
      const client = dial(
        port,
        "GET / HTTP/1.1\r\nHost: localhost\r\nAccept-Encoding: gzip\r\nConnection: close\r\n\r\n",
      );
      client.socket.pause();
      await gate.asked;
      await settle(port);
      expect(left).toBeGreaterThan(120);
      gate.open();
      await settle(port, 20);
      client.socket.removeAllListeners("data");
      let arrived = 0;
      client.socket.on("data", (data: Buffer) => {
        arrived += data.length;
        client.socket.pause();
        setImmediate(() => client.socket.resume());
      });
      client.socket.resume();
      await client.closed;
      expect(arrived).toBeGreaterThan(128 * chunk.length);
      expect((await response.promise).writableFinished).toBe(true);
      expect(most).toBeLessThan(400 * 1024);
    });
  });

  describe.each([
    ["5", express],
    ["4", express4],
  ])("in Express %s", (_version, createApp) => {
    function appWith(gate: (next: (error: unknown) => void) => Gate) {
      const app = createApp();
      app.set("env", "test");
      app.use((_req, res, next) => {
        res.setHeader("Access-Control-Allow-Origin", "*");
        res.setHeader("Set-Cookie", ["before=1"]);
        next();
      });
      app.use((_req, res, next) => {
        holdResponse(res, gate(next));
        next();
      });
      return app;
    }
    const broken = Object.assign(new Error("store is down"), { status: 503, expose: true });

    it("sends files", async () => {
      const folder = mkdtempSync(join(tmpdir(), "hold-"));
      onTestFinished(() => rmSync(folder, { recursive: true }));
      writeFileSync(join(folder, "large.txt"), LARGE);
      const gate = testGate();
      const sent = deferred<unknown>();
      const app = appWith(() => gate);
      app.get("/", (_req, res) => res.sendFile(join(folder, "large.txt"), (error) => sent.resolve(error)));
      const { port } = await serve(app);
      const answer = ask(port);
      await gate.asked;
      await settle(port);
      gate.open();
      const { body, headers } = await answer;
      expect(body.equals(LARGE)).toBe(true);
      expect(headers["content-length"]).toBe(String(LARGE.length));
      expect(await sent.promise).toBeUndefined();
    });

    it("answers 304 to a matching ETag", async () => {
      const app = appWith(() => {
        const gate = testGate();
        gate.open();
        return gate;
      });
      app.get("/", (_req, res) => void res.send("hello"));
      const { port } = await serve(app);
      const { headers } = await ask(port);
      expect(headers["content-length"]).toBe("5");
      const again = await ask(port, { headers: { "If-None-Match": headers.etag ?? "" } });
      expect(again).toMatchObject({ status: 304, body: Buffer.alloc(0) });
    });

    const success: Record<string, RequestHandler> = {
      send: (_req, res) => {
        res.appendHeader("Set-Cookie", "mine=1");
        res.set({ "X-Secret": "1", Date: "never" }).status(201).send("success");
      },
      json: (_req, res) => void res.json({ success: true }),
      redirect: (_req, res) => res.redirect("/elsewhere"),
      pipe: (_req, res) =>
        void Readable.from(["success", "success"]).pipe(res.type("text/plain").set("Content-Length", "14")),
      "a file": (_req, res) => res.sendFile(import.meta.filename),
      write: (_req, res) => void res.writeHead(200, "Success", { "X-Secret": "1" }).write("success"),
    };
    for (const [name, handler] of Object.entries(success)) {
      for (const compressed of [false, true]) {
        for (const custom of [false, true]) {
          const errorPath = custom ? "an error handler" : "the default one";
          it(`gives an error and nothing of the success: ${name}, ${errorPath}, compressed: ${compressed}`, async () => {
            let gate = testGate();
            const app = appWith((next) => (gate = testGate({ cookie: "sid=1", onFailure: next })));
            if (compressed) app.use(compression({ threshold: 0 }));
            app.post("/", handler);
            const handle: ErrorRequestHandler = (error: Error, _req, res, _next) => {
              expect(res.headersSent).toBe(false);
              setImmediate(() => res.status(503).json({ problem: error.message }));
            };
            if (custom) app.use(handle);
            const { port } = await serve(app);
            const headers = { "Accept-Encoding": "gzip", "Content-Length": "4" };
            const answer = ask(port, { method: "POST", headers, body: "body" });
            while (gate.timesAsked === 0) await settle(port, 1);
            gate.break(broken);
            const { status, message, headers: got, body } = await answer;
            expect([status, message]).toEqual([503, "Service Unavailable"]);
            expect(body.toString()).not.toContain("success");
            expect(body.toString()).toContain("store is down");
            expect(got["content-encoding"]).toBeUndefined();
            expect(got["x-secret"]).toBeUndefined();
            expect(got["location"]).toBeUndefined();
            expect(got["access-control-allow-origin"]).toBe("*");
            expect(got["set-cookie"]).toEqual(["before=1"]);
            expect(got["date"]).toBeDefined();
            expect(gate.failures).toEqual([broken]);
            expect(gate.timesAsked).toBe(1);
          });
        }
      }
    }

    it("sends nothing twice for a handler that throws after its response", async () => {
      const gate = testGate();
      const app = appWith(() => gate);
      app.get("/", (_req, res) => {
        res.send("success");
        throw new Error("afterwards");
      });
      const handle: ErrorRequestHandler = (_error, _req, res, _next) => void res.status(500).send("a longer failure");
      app.use(handle);
      const { port } = await serve(app);
      const client = dial(port, GET);
      await gate.asked;
      gate.open();
      // As without us, Express finds the head sent and destroys the connection.
      await client.closed;
      expect(client.text()).not.toContain("failure");
    });
  });

  describe("after a failure", () => {
    const broken = new Error("store is down");

    it("keeps the connection for the next request", async () => {
      const agent = new Agent({ keepAlive: true, maxSockets: 1 });
      onTestFinished(() => agent.destroy());
      const ports = new Set<number | undefined>();
      const { port } = await serve((req, res) => {
        ports.add(req.socket.remotePort);
        const gate = testGate({ onFailure: () => void res.writeHead(503).end("down") });
        holdResponse(res, gate);
        res.end("success");
        gate.break(broken);
      });
      for (let i = 0; i < 3; i++)
        expect(await ask(port, { agent })).toMatchObject({ status: 503, body: Buffer.from("down") });
      expect(ports.size).toBe(1);
    });

    it("is an error even where the error path forgets to say so", async () => {
      const { port } = await serve((_req, res) => {
        const gate = testGate({ onFailure: () => void res.end("down") });
        holdResponse(res, gate);
        res.statusMessage = "Success";
        res.writeHead(200).end("success");
        gate.break(broken);
      });
      expect(await ask(port)).toMatchObject({
        status: 500,
        message: "Internal Server Error",
        body: Buffer.from("down"),
      });
    });

    it("answers where the error path comes late and sets nothing", async () => {
      const { port } = await serve((_req, res) => {
        const gate = testGate({ onFailure: () => void setImmediate(() => res.end("down")) });
        holdResponse(res, gate);
        res.end("success");
        gate.break(broken);
      });
      expect(await ask(port)).toMatchObject({ status: 500, body: Buffer.from("down") });
    });

    it.each([false, true])(
      "unpipes what was piped, and lets the error path pipe (compressed: %s)",
      async (compressed) => {
        // It says a little and then nothing more, so that no leftover of it wakes anybody.
        const source = new Readable({ read() {} });
        source.push(SMALL);
        const { port } = await serve((req, res) => {
          const onFailure = () => {
            expect(source.listenerCount("data")).toBe(0);
            Readable.from([LARGE, SMALL]).pipe(res);
          };
          const gate = testGate({ onFailure });
          holdResponse(res, gate);
          if (compressed) Reflect.apply(compression(), undefined, [req, res, () => {}]);
          res.setHeader("Content-Type", "text/plain");
          source.pipe(res);
          void gate.asked.then(() => gate.break(broken));
        });
        const answer = await ask(port, { headers: { "Accept-Encoding": "gzip", Connection: "keep-alive" } });
        expect(answer.status).toBe(500);
        expect(answer.headers.connection).toBe("close");
        expect(answer.body.equals(Buffer.concat([LARGE, SMALL]))).toBe(true);
      },
    );

    it("swallows what the program still writes, before the error response and after it", async () => {
      const errors: unknown[] = [];
      const run = async (res: ServerResponse) => {
        res.on("error", (error) => errors.push(error));
        const failed = deferred();
        const gate: ReturnType<typeof testGate> & Gate = testGate({ onFailure: () => failed.resolve() });
        gate.headersOnFailure = { "cache-control": "no-store" };
        holdResponse(res, gate);
        res.write("success");
        gate.break(broken);
        await failed.promise;
        expect(res.write("late")).toBe(false);
        res.end("late end");
        expect(res.headersSent).toBe(false);
        res.writeHead(503);
        res.end("down");
        expect(res.write("later")).toBe(false);
        expect(res.end("later end")).toBe(res);
        res.end(() => {});
      };
      const { port } = await serve((_req, res) => void run(res));
      const headers = expect.objectContaining({ "cache-control": "no-store" });
      expect(await ask(port)).toMatchObject({ status: 503, headers, body: Buffer.from("down") });
      await settle(port);
      expect(errors).toEqual([]);
    });

    it("takes an error while sending what was held for a failure", async () => {
      const failures: unknown[] = [];
      const { port } = await serve((_req, res) => {
        const onFailure = (error: unknown) => {
          failures.push(error);
          res.end("down");
        };
        const gate = testGate({ onFailure });
        holdResponse(res, gate);
        res.writeHead(99).end("success");
        gate.open();
      });
      expect(await ask(port)).toMatchObject({ status: 500, body: Buffer.from("down") });
      expect(failures).toEqual([expect.objectContaining({ code: "ERR_HTTP_INVALID_STATUS_CODE" })]);
    });

    it("takes a gate that throws for one that refuses", async () => {
      const { port } = await serve((_req, res) => {
        holdResponse(res, {
          beforeHead() {
            throw broken;
          },
          onFailure: (error) => void res.end(String(error)),
        });
        res.end("success");
      });
      expect(await ask(port)).toMatchObject({ status: 500, body: Buffer.from("Error: store is down") });
    });
  });

  describe("a last look", () => {
    const late = new Error("changed too late");

    it.each([true, false])("finds nothing, and the response ends (gate open at once: %s)", async (open) => {
      const gate = testGate({ open });
      let looks = 0;
      gate.lastLook = () => {
        looks++;
        return undefined;
      };
      const { port } = await serveHeld(gate, (_req, res) => {
        res.write("a");
        res.end("b");
        res.end();
      });
      const answer = ask(port);
      await gate.asked;
      gate.open();
      expect((await answer).body.toString()).toBe("ab");
      expect(looks).toBe(1);
    });

    it("is not taken by the call that sent the head", async () => {
      const gate = testGate({ open: true });
      gate.lastLook = () => late;
      const { port } = await serveHeld(gate, (_req, res) => void res.end("hello"));
      expect((await ask(port)).body.toString()).toBe("hello");
    });

    it.each(["without", "before", "after"])("leaves a streamed response incomplete, compression %s", async (place) => {
      const gate = testGate({ open: true });
      gate.lastLook = () => late;
      const app = express();
      if (place === "before") app.use(compression());
      app.use((_req, res, next) => {
        holdResponse(res, gate);
        next();
      });
      if (place === "after") app.use(compression());
      app.get("/", (_req, res) => {
        res.type("text/plain").write("streamed");
        setImmediate(() => res.end("end"));
      });
      const { port } = await serve(app);
      const client = dial(port, "GET / HTTP/1.1\r\nHost: localhost\r\nAccept-Encoding: gzip\r\n\r\n");
      await client.closed;
      expect(client.text()).not.toMatch(/0\r\n\r\n$/);
      expect(gate.failures).toEqual([late]);
      await expect(ask(port)).rejects.toThrow();
    });

    it("turns a response that is still held into an error", async () => {
      const failures: unknown[] = [];
      const { port } = await serve((_req, res) => {
        const onFailure = (error: unknown) => {
          failures.push(error);
          res.end("too late");
        };
        const gate = testGate({ onFailure });
        gate.lastLook = () => late;
        holdResponse(res, gate);
        res.write("success");
        res.end();
        gate.open();
      });
      expect(await ask(port)).toMatchObject({ status: 500, body: Buffer.from("too late") });
      expect(failures).toEqual([late]);
    });
  });

  describe("a client that leaves while held", () => {
    it.each(["without", "before", "after"])("does no harm, compression %s", async (place) => {
      for (const outcome of ["open", "break"] as const) {
        const gate = testGate();
        const left = deferred();
        const app = express();
        if (place === "before") app.use(compression());
        app.use((_req, res, next) => {
          res.on("close", left.resolve);
          holdResponse(res, gate);
          next();
        });
        if (place === "after") app.use(compression());
        const source = Readable.from([LARGE, LARGE]);
        app.get("/", (_req, res) => void source.pipe(res.type("text/plain")));
        const { port } = await serve(app);
        const client = dial(port, "GET / HTTP/1.1\r\nHost: localhost\r\nAccept-Encoding: gzip\r\n\r\n");
        await gate.asked;
        client.socket.destroy();
        await left.promise;
        const uncaught: unknown[] = [];
        const note = (error: unknown) => uncaught.push(error);
        process.on("uncaughtException", note).on("unhandledRejection", note);
        gate[outcome](new Error("store is down"));
        await settle(port);
        process.off("uncaughtException", note).off("unhandledRejection", note);
        expect(uncaught).toEqual([]);
        expect(source.listenerCount("data")).toBe(0);
      }
    });
  });

  describe("over HTTP/2", () => {
    async function serveHttp2(gate: Gate, handler: (res: ServerResponse) => void) {
      const server = createHttp2((_req, res) => {
        const response = res as unknown as ServerResponse;
        holdResponse(response, gate);
        handler(response);
      });
      await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
      const address = server.address();
      if (address === null || typeof address === "string") throw new Error("no port");
      const session = connectHttp2(`http://127.0.0.1:${address.port}`);
      onTestFinished(async () => {
        session.destroy();
        await new Promise((resolve) => server.close(resolve));
      });
      const stream = session.request({ ":path": "/" });
      const arrived = {
        headers: undefined as Record<string, unknown> | undefined,
        body: "",
        error: undefined as unknown,
      };
      stream.on("response", (headers) => (arrived.headers = headers));
      stream.setEncoding("utf8").on("data", (chunk: string) => (arrived.body += chunk));
      stream.on("error", (error) => (arrived.error = error));
      const closed = new Promise<typeof arrived>((resolve) => stream.on("close", () => resolve(arrived)));
      return { arrived, closed, stream };
    }

    it.each([true, false])("sends what was written (gate open at once: %s)", async (open) => {
      const gate = testGate({ open, cookie: "sid=1" });
      const { arrived, closed } = await serveHttp2(gate, (res) => {
        res.writeHead(201, { "set-cookie": "a=1" });
        res.write("hel");
        res.end("lo");
      });
      await gate.asked;
      if (!open) expect(arrived.headers).toBeUndefined();
      gate.open();
      expect(await closed).toMatchObject({
        headers: { ":status": 201, "set-cookie": ["a=1", "sid=1"] },
        body: "hello",
      });
    });

    it("pipes a large body", async () => {
      const gate = testGate();
      const { closed } = await serveHttp2(gate, (res) => void Readable.from([LARGE, LARGE, LARGE]).pipe(res));
      await gate.asked;
      gate.open();
      expect((await closed).body.length).toBe(3 * LARGE.length);
    });

    it("gives an error in place of the success", async () => {
      let held: ServerResponse | undefined;
      const gate = testGate({ onFailure: () => void held?.writeHead(503).end("down") });
      const { closed } = await serveHttp2(gate, (res) => {
        held = res;
        res.setHeader("x-secret", "1");
        res.end("success");
      });
      await gate.asked;
      gate.break(new Error("store is down"));
      const { headers, body } = await closed;
      expect(headers).toMatchObject({ ":status": 503 });
      expect(headers).not.toHaveProperty("x-secret");
      expect(body).toBe("down");
    });

    it("leaves a response incomplete that was changed too late", async () => {
      const gate = testGate({ open: true });
      gate.lastLook = () => new Error("late");
      const { closed, stream } = await serveHttp2(gate, (res) => {
        res.write("hello");
        setImmediate(() => res.end());
      });
      await closed;
      expect(stream.rstCode).not.toBe(0);
    });
  });
});

function deferred<T = void>() {
  let resolve!: (value: T) => void;
  let reject!: (error: unknown) => void;
  const promise = new Promise<T>((yes, no) => {
    resolve = yes;
    reject = no;
  });
  return { promise, resolve, reject };
}

/** A gate that the test opens: `asked` tells that a response waits at it. */
function testGate(options: { open?: boolean; cookie?: string; onFailure?: (error: unknown) => void } = {}) {
  const asked = deferred<ServerResponse>();
  const stored = deferred();
  const gate = {
    timesAsked: 0,
    failures: [] as unknown[],
    lastLook: undefined as (() => Error | undefined) | undefined,
    asked: asked.promise,
    open: () => stored.resolve(),
    break: (error: unknown) => stored.reject(error),
    beforeHead(res: ServerResponse) {
      gate.timesAsked++;
      asked.resolve(res);
      const addCookie = () => {
        if (options.cookie === undefined) return;
        const there = res.getHeader("set-cookie");
        res.setHeader("set-cookie", [...(there === undefined ? [] : [String(there)].flat()), options.cookie]);
        if (Array.isArray(there)) res.setHeader("set-cookie", [...there, options.cookie]);
      };
      if (!options.open) return stored.promise.then(() => addCookie);
      addCookie();
      return undefined;
    },
    onFailure(error: unknown) {
      gate.failures.push(error);
      options.onFailure?.(error);
    },
    beforeEnd: () => gate.lastLook?.(),
  };
  return gate satisfies Gate;
}

async function serve(listener: RequestListener): Promise<{ port: number; server: Server }> {
  const server = createServer((req, res) => {
    if (req.url === "/ping") res.end("pong");
    else listener(req, res);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  return { port: address.port, server };
}

/** A server with one handler behind `gate`. */
function serveHeld(gate: Gate, handler: RequestListener) {
  return serve((req, res) => {
    holdResponse(res, gate);
    handler(req, res);
  });
}

/** A connection of which every byte is seen. */
function dial(port: number, bytesToSend: string) {
  const socket: Socket = connect(port, "127.0.0.1");
  let bytes = Buffer.alloc(0);
  const waiting = new Set<() => void>();
  const closed = deferred();
  socket.on("data", (chunk) => {
    bytes = Buffer.concat([bytes, chunk]);
    for (const look of waiting) look();
  });
  socket.on("error", () => {});
  socket.on("close", () => closed.resolve());
  socket.write(bytesToSend);
  onTestFinished(() => void socket.destroy());
  return {
    socket,
    closed: closed.promise,
    text: () => bytes.toString("latin1"),
    send: (more: string) => socket.write(more),
    until: (pattern: RegExp) =>
      new Promise<string>((resolve, reject) => {
        const look = () => {
          const text = bytes.toString("latin1");
          if (!pattern.test(text)) return;
          waiting.delete(look);
          resolve(text);
        };
        waiting.add(look);
        socket.on("close", () => reject(new Error(`closed before ${String(pattern)}: ${bytes.toString("latin1")}`)));
        look();
      }),
  };
}

interface Answer {
  status: number;
  message: string;
  headers: IncomingMessage["headers"];
  raw: string[];
  body: Buffer;
}

/** One request over a connection of its own (or the agent's), decompressed. */
function ask(port: number, options: Parameters<typeof request>[1] & { body?: string } = {}): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const req = request({ host: "127.0.0.1", port, agent: false, ...options }, (res) => {
      const chunks: Buffer[] = [];
      res.on("data", (chunk: Buffer) => chunks.push(chunk));
      res.on("error", reject);
      res.on("end", () => {
        const encoding = res.headers["content-encoding"];
        const sent = Buffer.concat(chunks);
        const body = encoding === "gzip" ? gunzipSync(sent) : encoding === "br" ? brotliDecompressSync(sent) : sent;
        resolve({
          status: res.statusCode ?? 0,
          message: res.statusMessage ?? "",
          headers: res.headers,
          raw: res.rawHeaders,
          body,
        });
      });
    });
    req.on("error", reject);
    req.end(options.body);
  });
}

/** Other requests come and go: what was going to arrive has arrived. */
async function settle(port: number, rounds = 5): Promise<void> {
  for (let i = 0; i < rounds; i++) await ask(port, { path: "/ping" });
}
