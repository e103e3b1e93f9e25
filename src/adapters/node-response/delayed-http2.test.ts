import type { ServerResponse } from "node:http";
import { createServer as createHttp2, connect as connectHttp2 } from "node:http2";
import { Readable } from "node:stream";
import { describe, expect, it, onTestFinished } from "vitest";
import { LARGE, testHooks } from "../../../test/support/delayed-server.ts";
import { delayResponse } from "./delayed-response.ts";
import type { ResponseHooks } from "./response-hooks.ts";

describe("delayResponse over HTTP/2", () => {
  async function serveHttp2(hooks: ResponseHooks, handler: (res: ServerResponse) => void) {
    const server = createHttp2((_req, res) => {
      const response = res as unknown as ServerResponse;
      delayResponse(response, hooks);
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

  it.each([true, false])("sends what was written over HTTP/2 (gate open at once: %s)", async (open) => {
    const hooks = testHooks({ open, cookie: "sid=1" });
    const { arrived, closed } = await serveHttp2(hooks, (res) => {
      res.writeHead(201, { "set-cookie": "a=1" });
      res.write("hel");
      res.end("lo");
    });
    await hooks.called;
    if (!open) expect(arrived.headers).toBeUndefined();
    hooks.open();
    expect(await closed).toMatchObject({
      headers: { ":status": 201, "set-cookie": ["a=1", "sid=1"] },
      body: "hello",
    });
  });

  it("pipes a large delayed body over HTTP/2", async () => {
    const hooks = testHooks();
    const { closed } = await serveHttp2(hooks, (res) => void Readable.from([LARGE, LARGE, LARGE]).pipe(res));
    await hooks.called;
    hooks.open();
    expect((await closed).body.length).toBe(3 * LARGE.length);
  });

  it.each<[string, (res: ServerResponse, client: { close(code: number): void }) => unknown]>([
    ["the client resets it", (_res, client) => client.close(8)],
    ["the program destroys it", (res) => res.destroy()],
    [
      "the program closes its stream",
      (res) => (res as unknown as { stream: { close(code: number): void } }).stream.close(8),
    ],
  ])("releases a delayed response over HTTP/2 when %s, without an error", async (_, act) => {
    const hooks = testHooks();
    let response!: ServerResponse;
    const { closed, stream } = await serveHttp2(hooks, (res) => {
      response = res;
      res.write("held");
    });
    await hooks.called;
    const gone = new Promise((resolve) => response.once("close", resolve));
    act(response, stream);
    await gone;
    hooks.open();
    expect((await closed).body).toBe("");
    await new Promise((resolve) => setImmediate(resolve));
    expect(hooks.failures).toEqual([]);
  });

  it.each(["respond", "write", "end"] as const)(
    "refuses a program that calls %s() of the HTTP/2 stream instead of the response",
    async (method) => {
      const hooks = testHooks({ open: true, cookie: "sid=1" });
      let refusal: unknown;
      const { closed } = await serveHttp2(hooks, (res) => {
        const { stream } = res as unknown as { stream: Record<typeof method, (given?: unknown) => void> };
        try {
          stream[method](method === "respond" ? { ":status": 200 } : "early");
        } catch (error) {
          refusal = error;
        }
        res.end("whole");
      });
      expect(await closed).toMatchObject({ headers: { "set-cookie": ["sid=1"] }, body: "whole" });
      expect(refusal).toMatchObject({ message: expect.stringContaining("call res.write() and res.end()") as string });
    },
  );

  it("sends an error instead of a refused response over HTTP/2", async () => {
    let held: ServerResponse | undefined;
    const hooks = testHooks({ onFailure: () => void held?.writeHead(503).end("down") });
    const { closed } = await serveHttp2(hooks, (res) => {
      held = res;
      res.setHeader("x-secret", "1");
      res.end("success");
    });
    await hooks.called;
    hooks.break(new Error("store is down"));
    const { headers, body } = await closed;
    expect(headers).toMatchObject({ ":status": 503 });
    expect(headers).not.toHaveProperty("x-secret");
    expect(body).toBe("down");
  });

  it("leaves a response over HTTP/2 incomplete if the session was changed too late", async () => {
    const hooks = testHooks({ open: true });
    hooks.checkBeforeEnd = () => new Error("late");
    const { closed, stream } = await serveHttp2(hooks, (res) => {
      res.write("hello");
      setImmediate(() => res.end());
    });
    await closed;
    expect(stream.rstCode).not.toBe(0);
  });
});
