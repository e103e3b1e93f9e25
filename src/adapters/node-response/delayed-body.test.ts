import type { ServerResponse } from "node:http";
import { once } from "node:events";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import compression from "compression";
import express from "express";
import { describe, expect, it } from "vitest";
import { LARGE, SMALL, deferred, testHooks, serve, dial, ask, settle } from "../../../test/support/delayed-server.ts";
import { delayResponse } from "./delayed-response.ts";

describe("delayResponse", () => {
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
          `delivers a ${size} body, compression: ${place}, ${open ? "not delayed" : "delayed"}, %s`,
          async (way) => {
            const body = size === "large" ? LARGE : SMALL;
            const hooks = testHooks({ open, cookie: "sid=1" });
            const done = deferred();
            const app = express();
            if (place.startsWith("before")) app.use(compression());
            app.use((_req, res, next) => {
              delayResponse(res, hooks);
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
            await hooks.called;
            if (!open) await settle(port, 1);
            hooks.open();
            const { headers, body: arrived } = await answer;
            expect(arrived.equals(body)).toBe(true);
            expect(headers["set-cookie"]).toEqual(["sid=1"]);
            if (place !== "without" && size === "large") expect(headers["content-encoding"]).toBe("gzip");
            await done.promise;
            expect(hooks.timesCalled).toBe(1);
            expect(hooks.failures).toEqual([]);
          },
        );
      }
    }
  }

  it.each(["without", "before", "after"])("makes a source wait for a slow client, compression: %s", async (place) => {
    const hooks = testHooks();
    const chunk = Buffer.alloc(64 * 1024, "x");
    // gzip can't compress this, so the socket fills.
    for (let i = 0, seed = 1; i < chunk.length; i++) chunk[i] = (seed = (seed * 48_271) % 2_147_483_647) & 255;
    let left = 128;
    let most = 0;
    const response = deferred<ServerResponse>();
    const compress = compression({ level: 0, filter: () => true });
    const app = express();
    if (place === "before") app.use(compress);
    app.use((_req, res, next) => {
      delayResponse(res, hooks);
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
    await hooks.called;
    await settle(port);
    expect(left).toBeGreaterThan(120);
    hooks.open();
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
