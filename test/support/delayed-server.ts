import {
  createServer,
  request,
  type IncomingMessage,
  type RequestListener,
  type Server,
  type ServerResponse,
} from "node:http";
import { connect, type Socket } from "node:net";
import { brotliDecompressSync, gunzipSync } from "node:zlib";
import { onTestFinished } from "vitest";
import { delayResponse } from "../../src/adapters/node-response/delayed-response.ts";
import type { ResponseHooks } from "../../src/adapters/node-response/response-hooks.ts";

// A server that delays its responses until the test releases them, and clients that record every byte.

export const LARGE = Buffer.from(
  Array.from({ length: 60_000 }, (_, i) => `line ${i} ${(i * 7919) % 104_729}, and so on`).join("\n"),
);
export const SMALL = Buffer.from("a few words");

export const GET = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";

export const lines = (text: string, name: string) =>
  text.split("\r\n").filter((line) => line.toLowerCase().startsWith(name));

export function deferred<T = void>() {
  let resolve!: (value: T) => void;
  let reject!: (error: unknown) => void;
  const promise = new Promise<T>((yes, no) => {
    resolve = yes;
    reject = no;
  });
  return { promise, resolve, reject };
}

/** Hooks that delay a response until the test calls `open`. `called` is fulfilled when a response waits. */
export function testHooks(options: { open?: boolean; cookie?: string; onFailure?: (error: unknown) => void } = {}) {
  const called = deferred<ServerResponse>();
  const stored = deferred();
  const hooks = {
    timesCalled: 0,
    failures: [] as unknown[],
    checkBeforeEnd: undefined as (() => Error | undefined) | undefined,
    called: called.promise,
    open: () => stored.resolve(),
    break: (error: unknown) => stored.reject(error),
    beforeHeaders(res: ServerResponse) {
      hooks.timesCalled++;
      called.resolve(res);
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
      hooks.failures.push(error);
      options.onFailure?.(error);
    },
    beforeEnd(): Promise<void> | undefined {
      const error = hooks.checkBeforeEnd?.();
      return error && Promise.reject(error);
    },
  };
  return hooks satisfies ResponseHooks;
}

export async function serve(listener: RequestListener): Promise<{ port: number; server: Server }> {
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

/** Starts a server with one handler, whose response `hooks` delay. */
export function serveDelayed(hooks: ResponseHooks, handler: RequestListener) {
  return serve((req, res) => {
    delayResponse(res, hooks);
    handler(req, res);
  });
}

/** Opens a connection and records every byte. */
export function dial(port: number, bytesToSend: string) {
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

export interface Answer {
  status: number;
  message: string;
  headers: IncomingMessage["headers"];
  raw: string[];
  body: Buffer;
}

/** Sends one request over a new connection (or the agent's), and decompresses the response. */
export function ask(port: number, options: Parameters<typeof request>[1] & { body?: string } = {}): Promise<Answer> {
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

/** Waits for other requests, so that bytes on their way have arrived. */
export async function settle(port: number, rounds = 5): Promise<void> {
  for (let i = 0; i < rounds; i++) await ask(port, { path: "/ping" });
}
