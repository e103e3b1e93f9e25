import { createServer, request, type IncomingMessage, type ServerResponse } from "node:http";
import { createServer as createHttp2 } from "node:http2";
import type { AddressInfo } from "node:net";
import { afterEach, describe, expect, it, onTestFinished, vi } from "vitest";
import { behindGateway } from "../../../test/support/http/http2.ts";
import { KEYS } from "../../../test/support/stores.ts";
import type { Session } from "../../session.ts";
import { createSessions } from "../../sessions.ts";
import { memoryStore } from "../../stores/memory.ts";
import { faulty } from "../../testing/faulty.ts";
import { withSession } from "../node.ts";

afterEach(() => void vi.restoreAllMocks());

type Handler = (res: ServerResponse, session: Session<Record<string, unknown>>) => unknown;

interface Asked {
  version: "1.0" | "1.1" | "2";
  method: string;
  isSlow: boolean;
}

/** What comes of a handler: the response, with its body as far as it is complete. */
async function ask(handler: Handler, { version, method, isSlow }: Asked) {
  const store = memoryStore();
  const sessions = createSessions<Record<string, unknown>>({
    secretKey: KEYS[0],
    store: isSlow ? faulty(store) : store,
  });
  const listener = withSession(sessions, (req, res, session) => {
    // As Node treats a request of HTTP/1.0: nothing can be sent in chunks.
    if (version === "1.0") res.useChunkedEncodingByDefault = false;
    session.data["x"] = req.url;
    return handler(res, session);
  });
  let url: string;
  if (version === "2") {
    const gateway = await behindGateway(createHttp2(listener as never));
    onTestFinished(() => gateway.close());
    ({ url } = gateway);
  } else {
    const server = createServer({ rejectNonStandardBodyWrites: true }, listener);
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    onTestFinished(() => {
      server.closeAllConnections();
      server.close();
    });
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }
  const response = await new Promise<IncomingMessage>((resolve, reject) =>
    request(url, { method, agent: false }, resolve).on("error", reject).end(),
  );
  let body = "";
  for await (const chunk of response.setEncoding("utf8")) body += chunk as string;
  return { response, body };
}

const cases: Asked[] = (["1.0", "1.1", "2"] as const).flatMap((version) =>
  ["GET", "HEAD"].flatMap((method) => [false, true].map((isSlow) => ({ version, method, isSlow }))),
);

describe.each(cases)(
  "withSession's own answer to $method over HTTP/$version (the store answers later: $isSlow)",
  (asked) => {
    const ERROR = "Internal Server Error\n";

    it.each<[string, Handler]>([
      ["a length", (res) => res.setHeader("content-length", 5)],
      ["an encoding", (res) => res.setHeader("content-encoding", "gzip")],
      ["a coding of the transfer", (res) => res.setHeader("transfer-encoding", "gzip")],
      ["a validator", (res) => res.setHeader("etag", '"success"')],
      ["trailers", (res) => res.setHeader("trailer", "x-checksum")],
      ["a reason phrase", (res) => asked.version !== "2" && (res.statusMessage = "Fine")],
    ])("is whole where the response that failed had %s", async (_, prepare) => {
      vi.spyOn(console, "error").mockReturnValue();
      const { response, body } = await ask((res, session) => {
        prepare(res, session);
        throw new Error("planned error of a handler");
      }, asked);
      expect([response.statusCode, response.statusMessage]).toEqual([500, "Internal Server Error"]);
      expect(body).toBe(asked.method === "HEAD" ? "" : ERROR);
      const { headers } = response;
      expect(headers["content-length"]).toBe(String(ERROR.length));
      expect(headers).not.toHaveProperty("content-encoding");
      expect(headers).not.toHaveProperty("etag");
      expect(headers).not.toHaveProperty("trailer");
      expect(headers["set-cookie"]).toHaveLength(1);
    });

    it("is the response that was given first, where the handler throws after it", async () => {
      vi.spyOn(console, "error").mockReturnValue();
      const { response, body } = await ask((res) => {
        res.end(asked.method === "HEAD" ? undefined : "given");
        throw new Error("planned error of a handler");
      }, asked);
      expect([response.statusCode, body]).toEqual([200, asked.method === "HEAD" ? "" : "given"]);
      expect(response.headers["set-cookie"]).toHaveLength(1);
    });

    it("closes the connection where it can't be given, and throws nothing", async () => {
      const logged = vi.spyOn(console, "error").mockReturnValue();
      const failure = new Error("no such method any more");
      const asking = ask((res) => {
        res.writeHead = () => {
          throw failure;
        };
        throw new Error("planned error of a handler");
      }, asked);
      await expect(asking).rejects.toThrow();
      expect(logged).toHaveBeenCalledWith(failure);
    });
  },
);

describe.each(cases.filter(({ version }) => version !== "2"))(
  "what Node refuses to send, of $method over HTTP/$version (the store answers later: $isSlow)",
  (asked) => {
    it.each<[string, Handler]>([
      ["a reason phrase", (res) => void Object.assign(res, { statusMessage: "b\u0100d" }).end()],
      [
        "trailers without chunks",
        (res) => {
          res.setHeader("trailer", "x-checksum");
          res.useChunkedEncodingByDefault = false;
          res.end();
        },
      ],
    ])("is answered with 500, and ends no process: %s", async (_, handler) => {
      vi.spyOn(console, "error").mockReturnValue();
      const { response } = await ask(handler, asked);
      expect([response.statusCode, response.statusMessage]).toEqual([500, "Internal Server Error"]);
    });
  },
);
