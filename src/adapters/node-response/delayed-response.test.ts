import type { RequestListener } from "node:http";
import { Readable } from "node:stream";
import compression from "compression";
import { describe, expect, it } from "vitest";
import {
  LARGE,
  GET,
  lines,
  deferred,
  testHooks,
  serve,
  serveDelayed,
  dial,
  ask,
  settle,
} from "../../../test/support/delayed-server.ts";
import { delayResponse } from "./delayed-response.ts";

describe("delayResponse", () => {
  const handlers: Record<string, RequestListener> = {
    "end(body)": (_req, res) => void res.end("hello"),
    "write and end": (_req, res) => {
      res.write("hel");
      res.end("lo");
    },
    "writeHead and end": (_req, res) => void res.writeHead(200, { "X-A": "1" }).end("hello"),
    flushHeaders: (_req, res) => {
      res.flushHeaders();
      res.end("hello");
    },
    pipe: (_req, res) => void Readable.from(["hel", "lo"]).pipe(res),
    "an empty end": (_req, res) => void res.end(),
  };
  for (const [name, handler] of Object.entries(handlers)) {
    it(`sends no byte of a delayed response before the hooks agree, written by ${name}`, async () => {
      const hooks = testHooks({ cookie: "sid=1" });
      const { port } = await serveDelayed(hooks, handler);
      const client = dial(port, GET);
      await hooks.called;
      await settle(port);
      expect(client.text()).toBe("");
      hooks.open();
      const text = await client.until(/\r\n\r\n(hello|5\r\nhello\r\n0\r\n\r\n|3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n|$)/);
      expect(text).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
      expect(lines(text, "set-cookie")).toEqual(["set-cookie: sid=1"]);
      expect(hooks.timesCalled).toBe(1);
    });
  }

  it("makes a delayed response look sent to the program, and restores it afterwards", async () => {
    const hooks = testHooks();
    const seen: unknown[] = [];
    const { port } = await serveDelayed(hooks, (_req, res) => {
      const look = () => seen.push([res.headersSent, res.writableEnded]);
      look();
      res.setHeader("x", "y");
      res.write("a");
      look();
      expect(() => res.setHeader("x", "y")).toThrow(/after they are sent/);
      expect(() => res.appendHeader("x", "y")).toThrow(expect.objectContaining({ code: "ERR_HTTP_HEADERS_SENT" }));
      expect(() => res.setHeaders(new Map([["z", "y"]]))).toThrow(/after they are sent/);
      expect(() => res.removeHeader("x")).toThrow(/after they are sent/);
      expect(() => res.writeHead(500)).toThrow(/after they are sent/);
      expect(() => res.writeHead(200, { x: "y" })).toThrow(/after they are sent/);
      res.end();
      look();
    });
    const answer = ask(port);
    const res = await hooks.called;
    hooks.open();
    expect((await answer).body.toString()).toBe("a");
    expect(seen).toEqual([
      [false, false],
      [true, false],
      [true, true],
    ]);
    expect([res.headersSent, res.writableEnded]).toEqual([true, true]);
    for (const name of ["headersSent", "writableEnded", "setHeader", "appendHeader", "removeHeader"]) {
      expect(Object.hasOwn(res, name)).toBe(false);
    }
  });

  it("keeps the status of delayed headers, and a setHeader that somebody replaced", async () => {
    const hooks = testHooks();
    const { port } = await serve((_req, res) => {
      const own = (res.setHeader = res.setHeader.bind(res));
      delayResponse(res, hooks);
      res.statusCode = 201;
      res.end("a");
      res.statusCode = 500;
      expect(res.setHeader).not.toBe(own);
      void hooks.called.then(() => hooks.open());
      res.on("finish", () => expect(res.setHeader).toBe(own));
    });
    expect(await ask(port)).toMatchObject({ status: 201, body: Buffer.from("a") });
  });

  it("sends delayed headers alone when they are flushed, without a 'drain' that nobody waits for", async () => {
    const hooks = testHooks();
    let drains = 0;
    const { port } = await serveDelayed(hooks, (_req, res) => res.on("drain", () => drains++).flushHeaders());
    const client = dial(port, GET);
    await hooks.called;
    await settle(port);
    expect(client.text()).toBe("");
    hooks.open();
    await client.until(/^HTTP\/1\.1 200 OK[^]*\r\n\r\n$/);
    expect(drains).toBe(0);
  });

  it.each(["without", "before"])("emits 'drain' once for a delayed response, compression: %s", async (place) => {
    const hooks = testHooks();
    let drains = 0;
    const { port } = await serve((req, res) => {
      if (place === "before") Reflect.apply(compression(), undefined, [req, res, () => {}]);
      delayResponse(res, hooks);
      res.on("drain", () => {
        drains++;
        setImmediate(() => res.end("b"));
      });
      expect(res.write("a")).toBe(false);
    });
    const answer = ask(port);
    await hooks.called;
    hooks.open();
    expect((await answer).body.toString()).toBe("ab");
    expect(drains).toBe(1);
  });

  it("lets a full socket report that a delayed response has drained", async () => {
    const hooks = testHooks();
    const drained = deferred();
    let drains = 0;
    const { port } = await serveDelayed(hooks, (_req, res) => {
      res.on("drain", () => {
        drains++;
        drained.resolve();
        res.end();
      });
      res.write(Buffer.alloc(32 * 1024 * 1024));
    });
    const client = dial(port, GET);
    client.socket.pause();
    await hooks.called;
    hooks.open();
    await settle(port, 20);
    expect(drains).toBe(0);
    client.socket.removeAllListeners("data").resume();
    await drained.promise;
    expect(drains).toBe(1);
  });

  it("ignores the implicit headers that old middleware sends while res._header is empty", async () => {
    const hooks = testHooks();
    const { port } = await serveDelayed(hooks, (_req, res) => {
      res.statusCode = 201;
      const implicitHeader = () => void Reflect.apply(Reflect.get(res, "_implicitHeader"), res, []);
      implicitHeader();
      res.write("a");
      implicitHeader();
      res.end("b");
    });
    const answer = ask(port);
    await hooks.called;
    hooks.open();
    expect(await answer).toMatchObject({ status: 201, body: Buffer.from("ab") });
  });

  it("lets informational responses through while the final one is delayed", async () => {
    const hooks = testHooks();
    const { port } = await serveDelayed(hooks, (_req, res) => {
      res.writeContinue();
      res.writeProcessing();
      res.writeEarlyHints({ link: "</style.css>; rel=preload" });
      res.end("hello");
      res.writeEarlyHints({ link: "</late.css>; rel=preload" });
    });
    const client = dial(port, GET);
    await client.until(/late\.css/);
    await hooks.called;
    await settle(port);
    expect(client.text().match(/HTTP\/1\.1 \d+/g)).toEqual(["100", "102", "103", "103"].map((n) => `HTTP/1.1 ${n}`));
    hooks.open();
    await client.until(/HTTP\/1\.1 200 OK[^]*hello/);
  });

  it("keeps the order of pipelined responses, whichever is released first", async () => {
    const allHooks = [testHooks(), testHooks()];
    let n = 0;
    const { port } = await serve((_req, res) => {
      const mine = n++;
      delayResponse(res, allHooks[mine] ?? testHooks({ open: true }));
      res.end(`answer ${mine}`);
    });
    const client = dial(port, GET + GET + GET);
    await Promise.all(allHooks.map((hooks) => hooks.called));
    allHooks[1]?.open();
    await settle(port);
    expect(client.text()).toBe("");
    allHooks[0]?.open();
    const text = await client.until(/answer 2/);
    expect(text.match(/answer \d/g)).toEqual(["answer 0", "answer 1", "answer 2"]);
  });

  it("calls the callbacks of a delayed write and end in their order", async () => {
    const hooks = testHooks();
    const order: string[] = [];
    const done = deferred();
    const { port } = await serveDelayed(hooks, (_req, res) => {
      res.on("finish", () => order.push("finish"));
      res.write("a", () => order.push("write"));
      res.write("b", "latin1", () => order.push("write 2"));
      res.end("c", "utf8", () => {
        order.push("end");
        done.resolve();
      });
    });
    const answer = ask(port);
    await hooks.called;
    await settle(port, 1);
    expect(order).toEqual([]);
    hooks.open();
    await done.promise;
    expect((await answer).body.toString()).toBe("abc");
    expect(order).toEqual(["write", "write 2", "finish", "end"]);
  });

  it("calls the callback of a delayed end(callback) without a body", async () => {
    const hooks = testHooks();
    const done = deferred();
    const { port } = await serveDelayed(hooks, (_req, res) => void res.end(() => done.resolve()));
    const answer = ask(port);
    await hooks.called;
    hooks.open();
    await done.promise;
    expect((await answer).headers["content-length"]).toBe("0");
  });

  it("calls the hooks of both if it is mounted twice", async () => {
    const first = testHooks({ cookie: "first=1" });
    const second = testHooks({ cookie: "second=2" });
    const { port } = await serve((_req, res) => {
      delayResponse(res, first);
      delayResponse(res, second);
      void Readable.from([LARGE.subarray(0, 100_000), LARGE.subarray(100_000)]).pipe(res);
    });
    const answer = ask(port);
    await second.called;
    second.open();
    await first.called;
    first.open();
    const { headers, body } = await answer;
    expect(body.equals(LARGE)).toBe(true);
    expect(headers["set-cookie"]).toEqual(["second=2", "first=1"]);
  });
});
