import { createServer, request, type IncomingMessage, type RequestListener, type ServerResponse } from "node:http";
import { createServer as createHttp2, type Http2Server } from "node:http2";
import type { AddressInfo } from "node:net";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import Fastify from "fastify";
import { afterEach, describe, expect, it } from "vitest";
import { behindGateway } from "../../../test/support/http/http2.ts";
import { KEYS } from "../../../test/support/stores.ts";
import { createSessions } from "../../sessions.ts";
import { memoryStore } from "../../stores/memory.ts";
import { faulty } from "../../testing/faulty.ts";
import { sessionPlugin } from "../fastify.ts";
import { withSession } from "../node.ts";
import { heldBodyOf } from "./held-body.ts";

const ends: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0)) await end();
});

type Handler = (res: ServerResponse, change: () => void) => unknown;

async function serve(listener: RequestListener, version: 1 | 2): Promise<string> {
  if (version === 2) return gatewayTo(createHttp2(listener as never));
  const server = createServer(listener);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  ends.push(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

async function gatewayTo(server: Http2Server): Promise<string> {
  const gateway = await behindGateway(server);
  ends.push(() => gateway.close());
  return gateway.url;
}

interface Asked {
  method?: string;
  version?: 1 | 2;
  /** The store answers with promises. */
  isSlow?: boolean;
}

/** Gives what a client receives. The session is changed before the headers, and by `change` after them. */
async function ask(handler: Handler, { method = "GET", version = 1, isSlow = false }: Asked = {}) {
  const store = memoryStore();
  const sessions = createSessions<Record<string, unknown>>({
    secretKey: KEYS[0],
    store: isSlow ? faulty(store) : store,
  });
  const url = await serve(
    withSession(sessions, (_req, res, session) => {
      session.data["first"] = 1;
      return handler(res, () => void (session.data["late"] = 1));
    }),
    version,
  );
  const response = await new Promise<IncomingMessage>((resolve, reject) =>
    request(url, { method, agent: false }, resolve).on("error", reject).end(),
  );
  let body = "";
  for await (const chunk of response.setEncoding("latin1")) body += chunk as string;
  const cookie = response.headers["set-cookie"]?.[0]?.split(";")[0] ?? "";
  const { data } = await sessions.open(new Request("http://localhost/", { headers: { cookie } }));
  return { status: response.statusCode!, body, stored: data["late"] };
}

const WAYS: readonly [string, Handler][] = [
  [
    "several chunks and an empty end",
    (res, change) => {
      res.write("ab");
      res.write("c");
      change();
      res.end();
    },
  ],
  [
    "a last chunk that is given to end",
    (res, change) => {
      res.write("a");
      change();
      res.end("bc");
    },
  ],
  [
    "a writer that waits for the callback of each chunk",
    async (res, change) => {
      for (const chunk of ["a", "b", "c"]) await new Promise<void>((resolve) => res.write(chunk, () => resolve()));
      change();
      res.end();
    },
  ],
  [
    "bytes beyond the length, which belong to no response",
    (res, change) => {
      res.write("abcd");
      res.write("efg", "latin1");
      change();
      res.end("h");
    },
  ],
  [
    "a buffer that the program uses again",
    (res, change) => {
      res.write("a");
      const buffer = Buffer.from("bc");
      res.write(buffer, () => {
        buffer.fill("x");
        change();
        res.end();
      });
    },
  ],
  [
    "a text in another encoding",
    (res, change) => {
      res.write("6162", "hex");
      res.write("63", "hex");
      change();
      res.end();
    },
  ],
  [
    "a pipeline",
    async (res, change) => {
      await pipeline(Readable.from(["a", "bc"]), res, { end: false });
      change();
      res.end();
    },
  ],
  [
    "headers that are sent on their own, and one call for the body",
    (res, change) => {
      res.flushHeaders();
      change();
      res.end("abc");
    },
  ],
  [
    "a middleware that has put methods over those of the response",
    async (res, change) => {
      const { write, end } = res as unknown as Record<"write" | "end", (...args: unknown[]) => unknown>;
      Object.assign(res, {
        write: (...args: unknown[]) => write.apply(res, args),
        end: (...args: unknown[]) => end.apply(res, args),
      });
      await new Promise<void>((resolve) => res.write("a", () => resolve()));
      change();
      res.end("YmM=", "base64");
    },
  ],
  [
    "an end that is waited for",
    async (res, change) => {
      res.write("ab");
      change();
      await new Promise<void>((resolve) => res.end("c", resolve));
    },
  ],
];

const versions = [1, 2] as const;
const cases = versions.flatMap((version) => [false, true].map((isSlow) => ({ version, isSlow })));

describe.each(cases)(
  "a response whose session is changed while it is sent, over HTTP/$version (the store answers later: $isSlow)",
  (asked) => {
    it.each(WAYS)("arrives whole where it declares its length, and is stored: %s", async (_, handler) => {
      const answer = await ask((res, change) => {
        res.setHeader("content-length", 3);
        return handler(res, change);
      }, asked);
      expect(answer).toEqual({ status: 200, body: "abc", stored: 1 });
    });

    it("arrives whole where it has one byte, and is stored", async () => {
      const answer = await ask((res, change) => {
        res.setHeader("content-length", 1);
        res.write("a");
        change();
        res.end();
      }, asked);
      expect(answer).toEqual({ status: 200, body: "a", stored: 1 });
    });

    const isWithoutSurplus = ([name]: (typeof WAYS)[number]) => !name.startsWith("bytes beyond");
    it.each(WAYS.filter(isWithoutSurplus))("arrives whole without a length, and is stored: %s", async (_, handler) => {
      expect(await ask(handler, asked)).toEqual({ status: 200, body: "abc", stored: 1 });
    });
  },
);

describe("a response of a declared length, whose session is changed while it is sent", () => {
  it("arrives whole through a pipeline that has to wait for 'drain' all the time", async () => {
    const chunks = Array.from({ length: 64 }, () => Buffer.alloc(32_768, "x"));
    const { body, stored } = await ask(async (res, change) => {
      res.setHeader("content-length", chunks.length * 32_768);
      await pipeline(Readable.from(chunks), res, { end: false });
      change();
      res.end();
    });
    expect(body.length).toBe(chunks.length * 32_768);
    expect(stored).toBe(1);
  });

  it.each([
    ["HEAD", "HEAD", 200],
    ["status 204", "GET", 204],
    ["status 304", "GET", 304],
  ])("has no byte to wait for: %s", async (_, method, status) => {
    const answer = await ask(
      (res, change) => {
        res.statusCode = status;
        res.setHeader("content-length", 3);
        res.write("a");
        change();
        res.end();
      },
      { method },
    );
    expect(answer).toEqual({ status, body: "", stored: 1 });
  });

  it.each<[BufferEncoding, string[]]>([
    ["base64", [Buffer.alloc(585, "x").toString("base64").replace(/.{76}/g, "$&\r\n"), "YQ==\n", "YWI", "Y*W*J*j"]],
    ["base64url", ["_-8", "YQ==", "  YWJj\n"]],
    ["hex", ["616", "61zz62", "", "62"]],
    ["latin1", ["é\u0151", "a"]],
    ["ascii", ["é", "a"]],
    ["utf16le", ["é\ud800", "a"]],
    ["utf8", ["é\ud800", "\udc00a", "€"]],
  ])("brings the very bytes that Node sends without a session, of texts in %s", async (encoding, texts) => {
    const bytes = Buffer.concat(texts.map((text) => Buffer.from(text, encoding)));
    const { body, stored } = await ask((res, change) => {
      res.setHeader("content-length", bytes.length);
      for (const text of texts) res.write(text, encoding);
      change();
      res.end();
    });
    expect(body).toBe(bytes.toString("latin1"));
    expect(stored).toBe(1);
  });

  it.each(versions)("arrives whole from Fastify where it has one byte, over HTTP/%s", async (version) => {
    const sessions = createSessions<Record<string, unknown>>({ secretKey: KEYS[0], store: memoryStore() });
    const served = version === 2 ? { http2: true } : {};
    const app = Fastify(served as object);
    await app.register(sessionPlugin(sessions));
    app.get("/", (asked, reply) => {
      const session = sessions.of(asked);
      session.data["first"] = 1;
      return reply.header("content-length", 1).send(
        Readable.from(
          (function* () {
            yield "a";
            session.data["late"] = 1;
          })(),
        ),
      );
    });
    await app.listen({ port: 0, host: "127.0.0.1" });
    ends.push(() => app.close());
    const { port } = app.server.address() as AddressInfo;
    const url = version === 2 ? await gatewayTo(app.server as unknown as Http2Server) : `http://127.0.0.1:${port}`;
    const response = await fetch(url, { headers: { connection: "close" } });
    expect(await response.text()).toBe("a");
    const cookie = response.headers.getSetCookie()[0]!.split(";")[0]!;
    const { data } = await sessions.open(new Request("http://localhost/", { headers: { cookie } }));
    expect(data).toEqual({ first: 1, late: 1 });
  });

  it("throws, where Node was asked to check the length", async () => {
    const errors: unknown[] = [];
    const server = createServer((_req, res) => {
      res.strictContentLength = true;
      res.setHeader("content-length", 3);
      const body = heldBodyOf(res, 3)!;
      for (const chunk of ["ab", "cd", "c", "d", ""]) {
        try {
          body.write(res.write, [chunk]);
        } catch (error) {
          errors.push(error);
        }
      }
      res.end(...(body.endArguments([]) as [Uint8Array]));
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    ends.push(() => server.close());
    const response = await fetch(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
    expect(await response.text()).toBe("abc");
    const mismatch = expect.objectContaining({ code: "ERR_HTTP_CONTENT_LENGTH_MISMATCH" });
    expect(errors).toEqual([mismatch, mismatch]);
  });
});
