import { createServer, OutgoingMessage, ServerResponse } from "node:http";
import { connect as connectHttp2, createServer as createHttp2, Http2ServerResponse } from "node:http2";
import { connect, type AddressInfo } from "node:net";
import { describe, expect, it, onTestFinished } from "vitest";
import { delayResponse } from "./delayed-response.ts";

const GET = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

type Call = (res: ServerResponse) => unknown;

/** Sends a response that is delayed until `open`, and returns all bytes that arrived. */
async function bytesOf(handle: (res: ServerResponse, open: () => void) => void): Promise<string> {
  const server = createServer((_req, res) => {
    let open!: () => void;
    const stored = new Promise<() => void>((resolve) => (open = () => resolve(() => res.setHeader("x-stored", "1"))));
    delayResponse(res, { beforeHeaders: () => stored, onFailure: () => res.destroy() });
    handle(res, open);
  });
  onTestFinished(() => void server.close());
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return new Promise((resolve) => {
    let received = "";
    const socket = connect((server.address() as AddressInfo).port, "127.0.0.1", () => socket.write(GET));
    socket.setEncoding("latin1").on("data", (chunk: string) => (received += chunk));
    socket.on("close", () => resolve(received));
  });
}

const bypasses: [string, Call][] = [
  ["write(text)", (res) => ServerResponse.prototype.write.call(res, "past", "utf8")],
  ["write(bytes)", (res) => ServerResponse.prototype.write.call(res, Buffer.from("past"), "utf8")],
  ["end(text)", (res) => ServerResponse.prototype.end.call(res, "past", "utf8")],
  ["end(bytes)", (res) => OutgoingMessage.prototype.end.call(res, Buffer.from("past"), "utf8")],
  ["end()", (res) => ServerResponse.prototype.end.call(res, undefined, "utf8")],
  ["flushHeaders()", (res) => ServerResponse.prototype.flushHeaders.call(res)],
];

describe.each(bypasses)("a delayed response, if a program calls %s of the prototype", (_name, call) => {
  const failing = (res: ServerResponse) => {
    try {
      call(res);
      return undefined;
    } catch (error) {
      return (error as Error).message;
    }
  };

  it("throws while the response is delayed, which is then sent completely with the session's headers", async () => {
    let message: string | undefined;
    const bytes = await bytesOf((res, open) => {
      res.write("own ");
      message = failing(res);
      res.end("bytes");
      open();
    });
    expect(message).toMatch(/waits until its session is stored/);
    expect(bytes).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
    expect(bytes).toContain("x-stored: 1\r\n");
    expect(bytes).toMatch(/\r\n\r\n4\r\nown \r\n5\r\nbytes\r\n0\r\n\r\n$/);
    expect(bytes).not.toMatch(/held|past/);
  });

  it("throws even if that would have been the first byte", async () => {
    let message: string | undefined;
    const bytes = await bytesOf((res, open) => {
      message = failing(res);
      open();
      setImmediate(() => res.end("own bytes"));
    });
    expect(message).toMatch(/waits until its session is stored/);
    expect(bytes).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
    expect(bytes).toContain("x-stored: 1\r\n");
    expect(bytes).not.toMatch(/held|past/);
  });
});

describe("a delayed response over HTTP/2, if a program writes past its own methods", () => {
  it.each<[string, (res: Http2ServerResponse) => unknown]>([
    ["write", (res) => Http2ServerResponse.prototype.write.call(res, "past", "utf8")],
    ["the stream's write", (res) => res.stream.write("past")],
    ["the stream's end", (res) => res.stream.end("past")],
  ])(
    "throws while the response is delayed, which is then sent completely with the session's headers: %s",
    async (_name, call) => {
      let message: string | undefined;
      const server = createHttp2((_req, res) => {
        let open!: () => void;
        const stored = new Promise<() => void>(
          (resolve) => (open = () => resolve(() => res.setHeader("x-stored", "1"))),
        );
        const response = res as unknown as ServerResponse;
        delayResponse(response, { beforeHeaders: () => stored, onFailure: () => response.destroy() });
        response.statusCode = 201;
        response.write("own ");
        try {
          call(res);
        } catch (error) {
          ({ message } = error as Error);
        }
        response.end("bytes");
        open();
      });
      onTestFinished(() => void server.close());
      await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
      const client = connectHttp2(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
      onTestFinished(() => client.destroy());
      const stream = client.request({ ":path": "/" }).setEncoding("utf8");
      let [head, body]: [unknown, string] = [undefined, ""];
      stream.on("response", (headers) => (head = { status: headers[":status"], stored: headers["x-stored"] }));
      for await (const chunk of stream) body += String(chunk);
      expect(message).toMatch(/waits until its session is stored/);
      expect([head, body]).toEqual([{ status: 201, stored: "1" }, "own bytes"]);
    },
  );
});
