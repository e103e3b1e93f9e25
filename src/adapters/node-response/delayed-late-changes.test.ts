import compression from "compression";
import express from "express";
import { describe, expect, it } from "vitest";
import { testHooks, serve, serveDelayed, dial, ask } from "../../../test/support/delayed-server.ts";
import { delayResponse } from "./delayed-response.ts";

describe("holdResponse, with beforeEnd", () => {
  const late = new Error("changed too late");

  it.each([true, false])(
    "ends a response in which the last look finds nothing (gate open at once: %s)",
    async (open) => {
      const gate = testHooks({ open });
      let looks = 0;
      gate.lastLook = () => {
        looks++;
        return undefined;
      };
      const { port } = await serveDelayed(gate, (_req, res) => {
        res.write("a");
        res.end("b");
        res.end();
      });
      const answer = ask(port);
      await gate.asked;
      gate.open();
      expect((await answer).body.toString()).toBe("ab");
      expect(looks).toBe(1);
    },
  );

  it("takes no last look in the call that sends the head", async () => {
    const gate = testHooks({ open: true });
    gate.lastLook = () => late;
    const { port } = await serveDelayed(gate, (_req, res) => void res.end("hello"));
    expect((await ask(port)).body.toString()).toBe("hello");
  });

  it.each(["without", "before", "after"])(
    "leaves a streamed response incomplete that was changed too late, compression: %s",
    async (place) => {
      const gate = testHooks({ open: true });
      gate.lastLook = () => late;
      const app = express();
      if (place === "before") app.use(compression());
      app.use((_req, res, next) => {
        delayResponse(res, gate);
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
    },
  );

  it("turns a held response that was changed too late into an error", async () => {
    const failures: unknown[] = [];
    const { port } = await serve((_req, res) => {
      const onFailure = (error: unknown) => {
        failures.push(error);
        res.end("too late");
      };
      const gate = testHooks({ onFailure });
      gate.lastLook = () => late;
      delayResponse(res, gate);
      res.write("success");
      res.end();
      gate.open();
    });
    expect(await ask(port)).toMatchObject({ status: 500, body: Buffer.from("too late") });
    expect(failures).toEqual([late]);
  });
});
