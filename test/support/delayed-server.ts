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
import { delayResponse, type ResponseHooks } from "../../src/adapters/node-response/delayed-response.ts";

// A server whose responses are held, a gate that the test opens, and clients that see every byte.

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

/** A gate that the test opens: `asked` tells that a response waits at it. */
export function testHooks(options: { open?: boolean; cookie?: string; onFailure?: (error: unknown) => void } = {}) {
  const asked = deferred<ServerResponse>();
  const stored = deferred();
  const gate = {
    timesAsked: 0,
    failures: [] as unknown[],
    lastLook: undefined as (() => Error | undefined) | undefined,
    asked: asked.promise,
    open: () => stored.resolve(),
    break: (error: unknown) => stored.reject(error),
    beforeHeaders(res: ServerResponse) {
      gate.timesAsked++;
      asked.resolve(res);
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
      gate.failures.push(error);
      options.onFailure?.(error);
    },
    beforeEnd(): Promise<void> | undefined {
      const error = gate.lastLook?.();
      return error && Promise.reject(error);
    },
  };
  return gate satisfies ResponseHooks;
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

/** A server with one handler behind `gate`. */
export function serveDelayed(gate: ResponseHooks, handler: RequestListener) {
  return serve((req, res) => {
    delayResponse(res, gate);
    handler(req, res);
  });
}

/** A connection of which every byte is seen. */
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

/** One request over a connection of its own (or the agent's), decompressed. */
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

/** Other requests come and go: what was going to arrive has arrived. */
export async function settle(port: number, rounds = 5): Promise<void> {
  for (let i = 0; i < rounds; i++) await ask(port, { path: "/ping" });
}
