import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { connect, createServer as createHttp2, type Http2Server } from "node:http2";
import type { AddressInfo } from "node:net";
import Fastify, { type FastifyReply, type FastifyRequest } from "fastify";
import { Hono } from "hono";
import { setImmediate as nextTurn } from "node:timers/promises";
import { getRequestListener } from "@hono/node-server";
import { afterEach, describe, expect, it, vi } from "vitest";
import { site } from "../../../test/support/stores.ts";
import type { Session } from "../../session.ts";
import { sessionPlugin as onFastify } from "../fastify.ts";
import { sessionMiddleware as onHono } from "../hono.ts";
import { withSession as onNode } from "../node.ts";

const ends: (() => void)[] = [];
afterEach(() => {
  for (const end of ends.splice(0)) end();
  vi.restoreAllMocks();
});

type Listener = (req: IncomingMessage, res: ServerResponse) => void;

async function listening(listener: Listener, version: 1 | 2): Promise<number> {
  const server =
    version === 1 ? createServer(listener) : createHttp2(listener as unknown as Parameters<Http2Server["on"]>[1]);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  ends.push(() => server.close());
  return (server.address() as AddressInfo).port;
}

/** The bytes that a client gets, and whether it considers them complete. */
async function ask(port: number, version: 1 | 2): Promise<{ status: number; body: string; isWhole: boolean }> {
  if (version === 1) {
    let [status, body, isWhole] = [0, "", true];
    try {
      const response = await fetch(`http://127.0.0.1:${port}/`);
      ({ status } = response);
      const decoder = new TextDecoder();
      for await (const chunk of response.body!) body += decoder.decode(chunk as Uint8Array);
    } catch {
      isWhole = false;
    }
    return { status, body, isWhole };
  }
  const client = connect(`http://127.0.0.1:${port}`);
  ends.push(() => client.destroy());
  const stream = client.request({ ":path": "/" });
  let [status, body, isWhole] = [0, "", true];
  stream.setEncoding("utf8");
  stream.on("response", (headers) => (status = headers[":status"]!));
  stream.on("data", (chunk: string) => (body += chunk));
  stream.on("error", () => (isWhole = false));
  await new Promise((resolve) => stream.on("close", resolve));
  return { status, body, isWhole };
}

/** Changes the session after the headers, without saving it. */
async function late(res: ServerResponse, session: Session<Record<string, unknown>>, length: boolean): Promise<void> {
  expect(session.isNew).toBe(true);
  if (length) res.setHeader("content-length", 100);
  res.write("begun\n");
  await nextTurn();
  session.data["late"] = 1;
  res.end("done\n");
}

const versions = [1, 2] as const;
const lengths = [true, false];
const cases = versions.flatMap((version) => lengths.map((length) => ({ version, length })));

describe.each(cases)(
  "sojourn for node:http over HTTP/$version (with a Content-Length: $length)",
  ({ version, length }) => {
    it("lets the client recognise an aborted response by an error", async () => {
      vi.spyOn(console, "error").mockReturnValue();
      const app = onNode(site().sessions, (_req, res, session) => late(res, session, length));
      const { body, isWhole } = await ask(await listening(app, version), version);
      expect(isWhole).toBe(false);
      expect("begun\n".startsWith(body)).toBe(true);
    });

    it.each<[string, (res: ServerResponse) => void]>([
      ["that destroys the response", (res) => void res.destroy()],
      ["that destroys the connection, as Express' does", (res) => void res.req.socket.destroy()],
      ["that ends the response", (res) => void res.end("sorry\n")],
      ["that does nothing", () => undefined],
    ])("lets the client tell that a response was cut, by an error handler %s", async (_, handle) => {
      const errors: unknown[] = [];
      const onError = (error: unknown, _req: unknown, res: ServerResponse) => {
        errors.push(error);
        handle(res);
      };
      const app = onNode(site().sessions, (_req, res, session) => late(res, session, length), { onError });
      expect(await ask(await listening(app, version), version)).toMatchObject({ isWhole: false });
      expect(errors).toEqual([expect.objectContaining({ code: "ERR_SESSION_HEADERS_SENT" })]);
    });

    it.each([
      ["its own", undefined],
      ["one that destroys the response", (_error: unknown, _req: unknown, res: ServerResponse) => void res.destroy()],
    ])("lets the client tell it where the handler throws in the middle, by %s error handler", async (_, onError) => {
      vi.spyOn(console, "error").mockReturnValue();
      const app = onNode(
        site().sessions,
        (_req, res) => {
          if (length) res.setHeader("content-length", 100);
          res.write("begun\n");
          throw new Error("the application's mistake");
        },
        onError && { onError },
      );
      const { body, isWhole } = await ask(await listening(app, version), version);
      expect(isWhole).toBe(false);
      expect("begun\n".startsWith(body)).toBe(true);
    });

    it("sends a response completely if nothing aborts it", async () => {
      const app = onNode(site().sessions, (_req, res, session) => {
        session.data["early"] = 1;
        res.write("begun\n");
        res.end("done\n");
      });
      expect(await ask(await listening(app, version), version)).toEqual({
        status: 200,
        body: "begun\ndone\n",
        isWhole: true,
      });
    });
  },
);

/** Creates a body that first reads the session in its middle. */
function lateLook(session: Session): ReadableStream<Uint8Array> {
  let n = 0;
  return new ReadableStream({
    async pull(controller) {
      await nextTurn();
      if ((n += 1) > 1) throw new Error(`never seen: ${session.userId}`);
      controller.enqueue(new TextEncoder().encode("begun\n"));
    },
  });
}

describe.each(versions)("a body that fails for its session, over HTTP/%s", (version) => {
  it("reaches the client as an aborted response under Hono", async () => {
    vi.spyOn(console, "error").mockReturnValue();
    const app = new Hono().use(onHono(site().sessions)).get("/", (c) => c.body(lateLook(c.var.session as Session)));
    const listener = getRequestListener(app.fetch) as Listener;
    expect(await ask(await listening(listener, version), version)).toMatchObject({ isWhole: false });
  });

  it("reaches the client as an aborted response under Fastify", async () => {
    const app = Fastify(version === 1 ? {} : ({ http2: true } as object));
    await app.register(onFastify(site().sessions));
    app.get("/", (request: FastifyRequest, reply: FastifyReply) => reply.send(lateLook(request.session)));
    await app.listen({ port: 0, host: "127.0.0.1" });
    ends.push(() => void app.close());
    const { port } = app.server.address() as AddressInfo;
    expect(await ask(port, version)).toMatchObject({ isWhole: false });
  });
});

describe("a complete response over HTTP/2", () => {
  it("is complete for the client, although it is destroyed after its end", async () => {
    const app = onNode(site().sessions, (_req, res) => {
      res.on("finish", () => res.destroy());
      res.end("all of it");
    });
    expect(await ask(await listening(app, 2), 2)).toEqual({ status: 200, body: "all of it", isWhole: true });
  });
});
