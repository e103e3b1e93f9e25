import { Agent, type ServerResponse } from "node:http";
import { Readable } from "node:stream";
import compression from "compression";
import express from "express";
import { describe, expect, it, onTestFinished } from "vitest";
import { LARGE, SMALL, deferred, testHooks, serve, dial, ask, settle } from "../../../test/support/delayed-server.ts";
import { delayResponse } from "./delayed-response.ts";
import type { ResponseHooks } from "./response-hooks.ts";

describe("delayResponse, if beforeHeaders rejects", () => {
  const broken = new Error("store is down");

  it("keeps the connection open for the next request after an error response", async () => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    onTestFinished(() => agent.destroy());
    const ports = new Set<number | undefined>();
    const { port } = await serve((req, res) => {
      ports.add(req.socket.remotePort);
      const hooks = testHooks({ onFailure: () => void res.writeHead(503).end("down") });
      delayResponse(res, hooks);
      res.end("success");
      hooks.break(broken);
    });
    for (let i = 0; i < 3; i++)
      expect(await ask(port, { agent })).toMatchObject({ status: 503, body: Buffer.from("down") });
    expect(ports.size).toBe(1);
  });

  it("lets the error's response wait for its preparation, and discards what the program writes meanwhile", async () => {
    const [begun, prepared] = [deferred(), deferred()];
    const run = async (res: ServerResponse) => {
      const hooks: ReturnType<typeof testHooks> & ResponseHooks = testHooks({ onFailure: () => void res.end("down") });
      hooks.prepareFailure = () => (begun.resolve(), prepared.promise);
      hooks.beforeFailure = () => void res.setHeader("x-prepared", "1");
      delayResponse(res, hooks);
      res.write("success");
      hooks.break(broken);
      await begun.promise;
      expect([res.headersSent, hooks.failures]).toEqual([true, []]);
      res.end("more");
      prepared.resolve();
    };
    const { port } = await serve((_req, res) => void run(res));
    const headers = expect.objectContaining({ "x-prepared": "1" });
    expect(await ask(port)).toMatchObject({ status: 500, headers, body: Buffer.from("down") });
  });

  it("prepares the error's response where changes behind the first byte can't be stored, and no byte has left", async () => {
    const run = (res: ServerResponse) => {
      const hooks: ReturnType<typeof testHooks> & ResponseHooks = testHooks({ onFailure: () => void res.end("down") });
      hooks.checkBeforeEnd = () => broken;
      hooks.prepareFailure = async () => void (hooks.beforeFailure = () => void res.setHeader("x-prepared", "1"));
      delayResponse(res, hooks);
      res.write("success");
      res.end();
      hooks.open();
    };
    const { port } = await serve((_req, res) => run(res));
    const headers = expect.objectContaining({ "x-prepared": "1" });
    expect(await ask(port)).toMatchObject({ status: 500, headers, body: Buffer.from("down") });
  });

  it("answers 500 even if the error handler sets no status", async () => {
    const { port } = await serve((_req, res) => {
      const hooks = testHooks({ onFailure: () => void res.end("down") });
      delayResponse(res, hooks);
      res.statusMessage = "Success";
      res.writeHead(200).end("success");
      hooks.break(broken);
    });
    expect(await ask(port)).toMatchObject({
      status: 500,
      message: "Internal Server Error",
      body: Buffer.from("down"),
    });
  });

  it("answers 500 if the error handler runs late and sets no status", async () => {
    const { port } = await serve((_req, res) => {
      const hooks = testHooks({ onFailure: () => void setImmediate(() => res.end("down")) });
      delayResponse(res, hooks);
      res.end("success");
      hooks.break(broken);
    });
    expect(await ask(port)).toMatchObject({ status: 500, body: Buffer.from("down") });
  });

  it.each([false, true])(
    "unpipes the body of a refused response, and lets the error handler pipe one (compressed: %s)",
    async (compressed) => {
      // It sends a little and then nothing, so that no later chunk has an effect.
      const source = new Readable({ read() {} });
      source.push(SMALL);
      const { port } = await serve((req, res) => {
        const onFailure = () => {
          expect(source.listenerCount("data")).toBe(0);
          Readable.from([LARGE, SMALL]).pipe(res);
        };
        const hooks = testHooks({ onFailure });
        delayResponse(res, hooks);
        if (compressed) Reflect.apply(compression(), undefined, [req, res, () => {}]);
        res.setHeader("Content-Type", "text/plain");
        source.pipe(res);
        void hooks.called.then(() => hooks.break(broken));
      });
      const answer = await ask(port, { headers: { "Accept-Encoding": "gzip", Connection: "keep-alive" } });
      expect(answer.status).toBe(500);
      expect(answer.headers.connection).toBe("close");
      expect(answer.body.equals(Buffer.concat([LARGE, SMALL]))).toBe(true);
    },
  );

  it("discards writes of the program to a refused response, before the error response and after it", async () => {
    const errors: unknown[] = [];
    const run = async (res: ServerResponse) => {
      res.on("error", (error) => errors.push(error));
      const failed = deferred();
      const hooks: ReturnType<typeof testHooks> & ResponseHooks = testHooks({ onFailure: () => failed.resolve() });
      hooks.beforeFailure = () => void res.setHeader("cache-control", "no-store");
      delayResponse(res, hooks);
      res.write("success");
      hooks.break(broken);
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

  it("treats an error while it sends the delayed response as a failure", async () => {
    const failures: unknown[] = [];
    const { port } = await serve((_req, res) => {
      const onFailure = (error: unknown) => {
        failures.push(error);
        res.end("down");
      };
      const hooks = testHooks({ onFailure });
      delayResponse(res, hooks);
      // Node finds this when it makes the head, and not before.
      res.writeHead(200, { Trailer: "X-Sum", "Content-Length": 7 }).end("success");
      hooks.open();
    });
    expect(await ask(port)).toMatchObject({ status: 500, body: Buffer.from("down") });
    expect(failures).toEqual([expect.objectContaining({ code: "ERR_HTTP_TRAILER_INVALID" })]);
  });

  it("treats hooks that throw like hooks that reject", async () => {
    const { port } = await serve((_req, res) => {
      delayResponse(res, {
        beforeHeaders() {
          throw broken;
        },
        onFailure: (error) => void res.end(String(error)),
      });
      res.end("success");
    });
    expect(await ask(port)).toMatchObject({ status: 500, body: Buffer.from("Error: store is down") });
  });
});

describe("delayResponse, if the client disconnects", () => {
  it.each(["without", "before", "after"])(
    "works if the client disconnects while the response is delayed, compression: %s",
    async (place) => {
      for (const outcome of ["open", "break"] as const) {
        const hooks = testHooks();
        const left = deferred();
        const app = express();
        if (place === "before") app.use(compression());
        app.use((_req, res, next) => {
          res.on("close", left.resolve);
          delayResponse(res, hooks);
          next();
        });
        if (place === "after") app.use(compression());
        const source = Readable.from([LARGE, LARGE]);
        app.get("/", (_req, res) => void source.pipe(res.type("text/plain")));
        const { port } = await serve(app);
        const client = dial(port, "GET / HTTP/1.1\r\nHost: localhost\r\nAccept-Encoding: gzip\r\n\r\n");
        await hooks.called;
        client.socket.destroy();
        await left.promise;
        const uncaught: unknown[] = [];
        const note = (error: unknown) => uncaught.push(error);
        process.on("uncaughtException", note).on("unhandledRejection", note);
        hooks[outcome](new Error("store is down"));
        await settle(port);
        process.off("uncaughtException", note).off("unhandledRejection", note);
        expect(uncaught).toEqual([]);
        expect(source.listenerCount("data")).toBe(0);
      }
    },
  );
});
