import { describe, expect, it } from "vitest";
import { ask, serve, testHooks } from "../../../test/support/delayed-server.ts";
import { delayResponse } from "./delayed-response.ts";

describe("delayResponse, where the server is closed while a response waits,", () => {
  it.each([false, true])(
    "sends the response all the same, and then lets the server close (keep-alive: %s)",
    async (keepAlive) => {
      const hooks = testHooks({ cookie: "sid=1" });
      const { port, server } = await serve((_req, res) => {
        delayResponse(res, hooks);
        res.end("stored");
      });
      const headers = keepAlive ? { connection: "keep-alive" } : {};
      const asking = ask(port, { headers });
      const res = await hooks.called;
      const closed = new Promise((resolve) => void server.close(resolve));
      server.closeIdleConnections();
      expect([res.headersSent, res.writableEnded]).toEqual([true, true]);
      hooks.open();
      const { body, headers: answered } = await asking;
      expect([body.toString(), answered["set-cookie"]]).toEqual(["stored", ["sid=1"]]);
      server.closeIdleConnections();
      await closed;
    },
  );

  it("tells the response that its client has gone", async () => {
    const hooks = testHooks();
    const { port, server } = await serve((_req, res) => {
      delayResponse(res, hooks);
      res.end("stored");
    });
    const asking = ask(port);
    const res = await hooks.called;
    const isClosed = new Promise((resolve) => res.once("close", () => resolve(res.destroyed)));
    server.closeAllConnections();
    await expect(asking).rejects.toThrow();
    expect(await isClosed).toBe(true);
    hooks.open();
  });
});
