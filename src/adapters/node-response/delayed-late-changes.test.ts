import compression from "compression";
import express from "express";
import { describe, expect, it } from "vitest";
import { testHooks, serve, serveDelayed, dial, ask } from "../../../test/support/delayed-server.ts";
import { delayResponse } from "./delayed-response.ts";

describe("delayResponse with beforeEnd", () => {
  const late = new Error("changed too late");

  it.each([true, false])("ends a response if the check at its end finds nothing (sent at once: %s)", async (open) => {
    const hooks = testHooks({ open });
    let looks = 0;
    hooks.checkBeforeEnd = () => {
      looks++;
      return undefined;
    };
    const { port } = await serveDelayed(hooks, (_req, res) => {
      res.write("a");
      res.end("b");
      res.end();
    });
    const answer = ask(port);
    await hooks.called;
    hooks.open();
    expect((await answer).body.toString()).toBe("ab");
    expect(looks).toBe(1);
  });

  it("does not check again in the call that sends the headers", async () => {
    const hooks = testHooks({ open: true });
    hooks.checkBeforeEnd = () => late;
    const { port } = await serveDelayed(hooks, (_req, res) => void res.end("hello"));
    expect((await ask(port)).body.toString()).toBe("hello");
  });

  it.each(["without", "before", "after"])(
    "leaves a streamed response incomplete if the session was changed too late, compression: %s",
    async (place) => {
      const hooks = testHooks({ open: true });
      hooks.checkBeforeEnd = () => late;
      const app = express();
      if (place === "before") app.use(compression());
      app.use((_req, res, next) => {
        delayResponse(res, hooks);
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
      expect(hooks.failures).toEqual([late]);
      await expect(ask(port)).rejects.toThrow();
    },
  );

  it("turns a delayed response into an error if the session was changed too late", async () => {
    const failures: unknown[] = [];
    const { port } = await serve((_req, res) => {
      const onFailure = (error: unknown) => {
        failures.push(error);
        res.end("too late");
      };
      const hooks = testHooks({ onFailure });
      hooks.checkBeforeEnd = () => late;
      delayResponse(res, hooks);
      res.write("success");
      res.end();
      hooks.open();
    });
    expect(await ask(port)).toMatchObject({ status: 500, body: Buffer.from("too late") });
    expect(failures).toEqual([late]);
  });
});
