import { Agent, type RequestListener, type ServerResponse } from "node:http";
import { Readable } from "node:stream";
import { describe, expect, it, onTestFinished } from "vitest";
import {
  LARGE,
  GET,
  deferred,
  testHooks,
  serve,
  serveDelayed,
  dial,
  ask,
} from "../../../test/support/delayed-server.ts";
import { delayResponse } from "./delayed-response.ts";
import type { ResponseHooks } from "./response-hooks.ts";

describe.each([true, false])("holdResponse, the gate open at once: %s", (open) => {
  async function headersOf(handler: RequestListener, options: Parameters<typeof ask>[1] = {}, cookie = "sid=1") {
    const hooks = testHooks({ open, cookie });
    const { port } = await serveDelayed(hooks, handler);
    const answer = ask(port, options);
    await hooks.called;
    hooks.open();
    return answer;
  }
  const cookies = ["a=1", "b=2"];

  it.each<[string, (res: ServerResponse) => unknown, string[]]>([
    ["an object", (res) => res.writeHead(200, { "Set-Cookie": "a=1", "X-A": "1" }), ["a=1", "sid=1"]],
    [
      "an object with a list",
      (res) => res.writeHead(200, { "Set-Cookie": cookies, "X-A": "1" }),
      ["a=1", "b=2", "sid=1"],
    ],
    [
      "a message and an object",
      (res) => res.writeHead(200, "Fine", { "set-cookie": cookies, "X-A": "1" }),
      ["a=1", "b=2", "sid=1"],
    ],
    [
      "undefined and an object",
      (res) => Reflect.apply(res.writeHead, res, [200, undefined, { "Set-Cookie": "a=1", "X-A": "1" }]),
      ["a=1", "sid=1"],
    ],
    [
      "a flat list",
      (res) => res.writeHead(200, ["Set-Cookie", "a=1", "X-A", "1", "set-cookie", "b=2"]),
      ["a=1", "b=2", "sid=1"],
    ],
    [
      "a flat list with a list",
      (res) => res.writeHead(200, ["Set-Cookie", cookies, "X-A", "1"]),
      ["a=1", "b=2", "sid=1"],
    ],
    [
      "pairs",
      (res) =>
        Reflect.apply(res.writeHead, res, [
          200,
          [
            ["Set-Cookie", "a=1"],
            ["X-A", "1"],
            ["Set-Cookie", "b=2"],
          ],
        ]),
      ["a=1", "b=2", "sid=1"],
    ],
    [
      "over what was set",
      (res) => res.setHeader("Set-Cookie", "old=1").writeHead(200, { "Set-Cookie": "a=1", "X-A": "1" }),
      ["a=1", "sid=1"],
    ],
    [
      "setHeader",
      (res) => res.setHeader("Set-Cookie", cookies).setHeader("X-A", "1").writeHead(200),
      ["a=1", "b=2", "sid=1"],
    ],
  ])("adds its cookie to those that the program gave by %s", async (name, write, expected) => {
    const answer = await headersOf((_req, res) => {
      write(res);
      res.end("x");
    });
    expect(answer.headers["set-cookie"]).toEqual(expected);
    expect(answer.headers["x-a"]).toBe("1");
    expect(answer.message).toBe(name.startsWith("a message") ? "Fine" : "OK");
    expect(cookies).toEqual(["a=1", "b=2"]);
  });

  it.each<[string, (cookie: string[]) => Parameters<ServerResponse["writeHead"]>[1]]>([
    ["object", (cookie) => ({ "Set-Cookie": cookie })],
    ["list", (cookie) => ["Set-Cookie", cookie]],
  ])("does not put one client's cookie into a list that the program shares, in an %s", async (_form, headers) => {
    const shared = ["a=1"];
    const hooks: ResponseHooks = {
      beforeHeaders(res) {
        const add = () => void res.appendHeader("Set-Cookie", "sid=1");
        if (!open) return Promise.resolve(add);
        add();
        return undefined;
      },
      onFailure: () => {},
    };
    const { port } = await serveDelayed(hooks, (_req, res) => void res.writeHead(200, headers(shared)).end());
    await ask(port);
    expect((await ask(port)).headers["set-cookie"]).toEqual(["a=1", "sid=1"]);
    expect(shared).toEqual(["a=1"]);
  });

  it("keeps the implicit Content-Length of a response", async () => {
    const answer = await headersOf((_req, res) => void res.end("héllo"));
    expect(answer.headers["content-length"]).toBe("6");
    expect(answer.headers["transfer-encoding"]).toBeUndefined();
  });

  it("keeps an explicit Content-Length, status and message of a response", async () => {
    const answer = await headersOf(
      (_req, res) => void res.writeHead(404, "Gone fishing", { "Content-Length": 2 }).end("no"),
    );
    expect(answer).toMatchObject({ status: 404, message: "Gone fishing", body: Buffer.from("no") });
    expect(answer.headers["content-length"]).toBe("2");
  });

  it("answers HEAD without a body, even where one is piped", async () => {
    const answer = await headersOf((_req, res) => void res.setHeader("Content-Length", "10").end("0123456789"), {
      method: "HEAD",
    });
    expect(answer).toMatchObject({ status: 200, body: Buffer.alloc(0) });
    expect(answer.headers["content-length"]).toBe("10");
    const ended = deferred();
    const source = Readable.from([LARGE.subarray(0, 50_000), LARGE.subarray(50_000, 90_000)]).on("end", ended.resolve);
    await headersOf((_req, res) => void source.pipe(res), { method: "HEAD" });
    await ended.promise;
  });

  it.each([204, 304])("answers %s without a body", async (status) => {
    const answer = await headersOf((_req, res) => void res.writeHead(status).end());
    expect(answer).toMatchObject({ status, body: Buffer.alloc(0) });
    expect(answer.headers["transfer-encoding"]).toBeUndefined();
    expect(answer.headers["content-length"]).toBeUndefined();
  });

  it("keeps a response's trailers", async () => {
    const hooks = testHooks({ open });
    const { port } = await serveDelayed(hooks, (_req, res) => {
      res.writeHead(200, { Trailer: "X-Sum" });
      res.write("a");
      res.addTrailers({ "X-Sum": "1" });
      res.end();
    });
    const client = dial(port, GET);
    await hooks.called;
    hooks.open();
    expect(await client.until(/0\r\nX-Sum: 1\r\n\r\n$/)).toContain("Trailer: X-Sum");
  });

  it("notifies middleware that listens for the headers, and calls beforeHeaders after middleware mounted later", async () => {
    const order: string[] = [];
    const hooks = testHooks({ open });
    const listen = (res: ServerResponse, name: string) => {
      const writeHead = res.writeHead.bind(res);
      res.writeHead = (...args: [number]) => {
        order.push(`${name}, asked ${hooks.timesCalled}`);
        res.setHeader(name, "1");
        return writeHead(...args);
      };
    };
    const { port } = await serve((_req, res) => {
      listen(res, "before");
      delayResponse(res, hooks);
      listen(res, "after");
      res.end("hello");
    });
    const answer = ask(port);
    await hooks.called;
    hooks.open();
    expect((await answer).headers).toMatchObject({ before: "1", after: "1", "content-length": "5" });
    expect(order).toEqual(["after, asked 0", "before, asked 1"]);
  });

  it("leaves the connection usable for the next response", async () => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    onTestFinished(() => agent.destroy());
    const ports = new Set<number | undefined>();
    const { port } = await serve((req, res) => {
      const hooks = testHooks({ open });
      delayResponse(res, hooks);
      ports.add(req.socket.remotePort);
      res.write("hel");
      res.end("lo");
      hooks.open();
    });
    for (let i = 0; i < 5; i++) expect((await ask(port, { agent })).body.toString()).toBe("hello");
    expect(ports.size).toBe(1);
  });

  it.each<[string, (res: ServerResponse) => unknown, string]>([
    ["a status", (res) => res.writeHead(99), "ERR_HTTP_INVALID_STATUS_CODE"],
    ["a status that was set", (res) => Object.assign(res, { statusCode: 99 }).end(), "ERR_HTTP_INVALID_STATUS_CODE"],
    ["a message", (res) => res.writeHead(200, "a\nb"), "ERR_INVALID_CHAR"],
    ["a name", (res) => res.writeHead(200, { "Content-Length": 2, "a b": "1" }), "ERR_INVALID_HTTP_TOKEN"],
    ["a value", (res) => res.writeHead(200, { "Content-Length": 2, "x-a": "1\n" }), "ERR_INVALID_CHAR"],
    ["a list", (res) => res.writeHead(200, ["Content-Length", "2", "x-a"]), "ERR_INVALID_ARG_VALUE"],
  ])("refuses %s that Node refuses, at once, and sends another head without its headers", async (_what, head, code) => {
    const refusals: unknown[] = [];
    const gate = testHooks({ open });
    const { port } = await serveDelayed(gate, (_req, res) => {
      try {
        head(res);
      } catch (error) {
        refusals.push(error);
        expect(gate.timesCalled).toBe(0);
      }
      res.writeHead(500).end("an error page");
    });
    const answer = ask(port);
    await gate.called;
    gate.open();
    expect(await answer).toMatchObject({ status: 500, body: Buffer.from("an error page") });
    expect(refusals).toMatchObject([{ code }]);
  });

  it("sends both headers whose names differ in case only, as Node does where nothing else was set", async () => {
    const answer = await headersOf(
      (_req, res) => void res.writeHead(200, { "Set-Cookie": "a=1", "set-cookie": "b=2" }).end(),
    );
    expect(answer.headers["set-cookie"]).toEqual(["a=1", "b=2", "sid=1"]);
  });
});
