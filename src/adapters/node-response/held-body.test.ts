import { createServer, request, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { afterEach, describe, expect, it } from "vitest";
import { site } from "../../../test/support/stores.ts";
import { withSession } from "../node.ts";
import { heldBodyOf } from "./held-body.ts";

const ends: (() => void)[] = [];
afterEach(() => {
  for (const end of ends.splice(0)) end();
});

type Handler = (res: ServerResponse, change: () => void) => unknown;

/** Gives what a client receives. The session is changed before the headers, and by `change` after them. */
async function ask(handler: Handler, method = "GET"): Promise<{ status: number; body: string; stored: unknown }> {
  const shop = site();
  const server = createServer(
    withSession(shop.sessions, (_req, res, session) => {
      session.data["first"] = 1;
      return handler(res, () => void (session.data["late"] = 1));
    }),
  );
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  ends.push(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  const response = await new Promise<IncomingMessage>((resolve, reject) =>
    request({ port, host: "127.0.0.1", method, agent: false }, resolve).on("error", reject).end(),
  );
  let body = "";
  for await (const chunk of response.setEncoding("latin1")) body += chunk as string;
  const cookie = response.headers["set-cookie"]?.[0]?.split(";")[0] ?? "";
  const { data } = await shop.sessions.open(new Request("http://localhost/", { headers: { cookie } }));
  return { status: response.statusCode!, body, stored: data["late"] };
}

describe("a response of a declared length, whose session is changed while it is sent", () => {
  it.each<[string, Handler]>([
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
  ])("arrives whole, and is stored: %s", async (_, handler) => {
    const answer = await ask((res, change) => {
      res.setHeader("content-length", 3);
      return handler(res, change);
    });
    expect(answer).toEqual({ status: 200, body: "abc", stored: 1 });
  });

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
    const answer = await ask((res, change) => {
      res.statusCode = status;
      res.setHeader("content-length", 3);
      res.write("a");
      change();
      res.end();
    }, method);
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
