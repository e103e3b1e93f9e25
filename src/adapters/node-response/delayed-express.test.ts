import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import compression from "compression";
import express, { type ErrorRequestHandler, type RequestHandler } from "express";
import express4 from "express4";
import { describe, expect, it, onTestFinished } from "vitest";
import { LARGE, GET, deferred, testHooks, serve, dial, ask, settle } from "../../../test/support/delayed-server.ts";
import { delayResponse } from "./delayed-response.ts";
import type { ResponseHooks } from "./response-hooks.ts";

describe.each([
  ["5", express],
  ["4", express4],
])("holdResponse in Express %s", (_version, createApp) => {
  function appWith(hooks: (next: (error: unknown) => void) => ResponseHooks) {
    const app = createApp();
    app.set("env", "test");
    app.use((_req, res, next) => {
      res.setHeader("Access-Control-Allow-Origin", "*");
      res.setHeader("Set-Cookie", ["before=1"]);
      next();
    });
    app.use((_req, res, next) => {
      delayResponse(res, hooks(next));
      next();
    });
    return app;
  }
  const broken = Object.assign(new Error("store is down"), { status: 503, expose: true });

  it("sends a delayed file", async () => {
    const folder = mkdtempSync(join(tmpdir(), "hold-"));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    writeFileSync(join(folder, "large.txt"), LARGE);
    const hooks = testHooks();
    const sent = deferred<unknown>();
    const app = appWith(() => hooks);
    app.get("/", (_req, res) => res.sendFile(join(folder, "large.txt"), (error) => sent.resolve(error)));
    const { port } = await serve(app);
    const answer = ask(port);
    await hooks.called;
    await settle(port);
    hooks.open();
    const { body, headers } = await answer;
    expect(body.equals(LARGE)).toBe(true);
    expect(headers["content-length"]).toBe(String(LARGE.length));
    expect(await sent.promise).toBeUndefined();
  });

  it("answers 304 to a matching ETag if responses are delayed", async () => {
    const app = appWith(() => {
      const hooks = testHooks();
      hooks.open();
      return hooks;
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
        const errorPath = custom ? "an error handler" : "the default error handler";
        it(`gives an error and nothing of a success sent by ${name}, through ${errorPath}, compressed: ${compressed}`, async () => {
          let hooks = testHooks();
          const app = appWith((next) => (hooks = testHooks({ cookie: "sid=1", onFailure: next })));
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
          while (hooks.timesCalled === 0) await settle(port, 1);
          hooks.break(broken);
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
          expect(hooks.failures).toEqual([broken]);
          expect(hooks.timesCalled).toBe(1);
        });
      }
    }
  }

  it("sends nothing twice if a handler throws after its delayed response", async () => {
    const hooks = testHooks();
    const app = appWith(() => hooks);
    app.get("/", (_req, res) => {
      res.send("success");
      throw new Error("afterwards");
    });
    const handle: ErrorRequestHandler = (_error, _req, res, _next) => void res.status(500).send("a longer failure");
    app.use(handle);
    const { port } = await serve(app);
    const client = dial(port, GET);
    await hooks.called;
    hooks.open();
    // As without Sojourn, Express finds that the headers were sent, and destroys the connection.
    await client.closed;
    expect(client.text()).not.toContain("failure");
  });
});
