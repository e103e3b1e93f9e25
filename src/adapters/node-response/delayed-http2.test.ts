import type { ServerResponse } from "node:http";
import { createServer as createHttp2, connect as connectHttp2 } from "node:http2";
import { Readable } from "node:stream";
import { describe, expect, it, onTestFinished } from "vitest";
import { LARGE, testHooks } from "../../../test/support/delayed-server.ts";
import { delayResponse, type ResponseHooks } from "./delayed-response.ts";

describe("holdResponse over HTTP/2", () => {
  async function serveHttp2(gate: ResponseHooks, handler: (res: ServerResponse) => void) {
    const server = createHttp2((_req, res) => {
      const response = res as unknown as ServerResponse;
      delayResponse(response, gate);
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
    const gate = testHooks({ open, cookie: "sid=1" });
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

  it("pipes a large held body over HTTP/2", async () => {
    const gate = testHooks();
    const { closed } = await serveHttp2(gate, (res) => void Readable.from([LARGE, LARGE, LARGE]).pipe(res));
    await gate.asked;
    gate.open();
    expect((await closed).body.length).toBe(3 * LARGE.length);
  });

  it.each<[string, (res: ServerResponse, client: { close(code: number): void }) => unknown]>([
    ["the client resets it", (_res, client) => client.close(8)],
    ["the program destroys it", (res) => res.destroy()],
    [
      "the program closes its stream",
      (res) => (res as unknown as { stream: { close(code: number): void } }).stream.close(8),
    ],
  ])("lets go of a held response over HTTP/2 when %s, without an error", async (_, act) => {
    const gate = testHooks();
    let response!: ServerResponse;
    const { closed, stream } = await serveHttp2(gate, (res) => {
      response = res;
      res.write("held");
    });
    await gate.asked;
    const gone = new Promise((resolve) => response.once("close", resolve));
    act(response, stream);
    await gone;
    gate.open();
    expect((await closed).body).toBe("");
    await new Promise((resolve) => setImmediate(resolve));
    expect(gate.failures).toEqual([]);
  });

  it.each(["respond", "write", "end"] as const)(
    "refuses a program that calls %s() of the HTTP/2 stream instead of the response",
    async (method) => {
      const gate = testHooks({ open: true, cookie: "sid=1" });
      let refusal: unknown;
      const { closed } = await serveHttp2(gate, (res) => {
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

  it("gives an error in place of a refused success over HTTP/2", async () => {
    let held: ServerResponse | undefined;
    const gate = testHooks({ onFailure: () => void held?.writeHead(503).end("down") });
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

  it("leaves a response incomplete over HTTP/2 that was changed too late", async () => {
    const gate = testHooks({ open: true });
    gate.lastLook = () => new Error("late");
    const { closed, stream } = await serveHttp2(gate, (res) => {
      res.write("hello");
      setImmediate(() => res.end());
    });
    await closed;
    expect(stream.rstCode).not.toBe(0);
  });
});
