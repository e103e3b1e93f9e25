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

describe("holdResponse", () => {
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
    it(`sends no byte of a held response before the gate opens, written by ${name}`, async () => {
      const gate = testHooks({ cookie: "sid=1" });
      const { port } = await serveDelayed(gate, handler);
      const client = dial(port, GET);
      await gate.asked;
      await settle(port);
      expect(client.text()).toBe("");
      gate.open();
      const text = await client.until(/\r\n\r\n(hello|5\r\nhello\r\n0\r\n\r\n|3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n|$)/);
      expect(text).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
      expect(lines(text, "set-cookie")).toEqual(["set-cookie: sid=1"]);
      expect(gate.timesAsked).toBe(1);
    });
  }

  it("makes a held response look sent to the program, and native again afterwards", async () => {
    const gate = testHooks();
    const seen: unknown[] = [];
    const { port } = await serveDelayed(gate, (_req, res) => {
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
    const res = await gate.asked;
    gate.open();
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

  it("keeps the status that a held head had, and a setHeader of somebody's own", async () => {
    const gate = testHooks();
    const { port } = await serve((_req, res) => {
      const own = (res.setHeader = res.setHeader.bind(res));
      delayResponse(res, gate);
      res.statusCode = 201;
      res.end("a");
      res.statusCode = 500;
      expect(res.setHeader).not.toBe(own);
      void gate.asked.then(() => gate.open());
      res.on("finish", () => expect(res.setHeader).toBe(own));
    });
    expect(await ask(port)).toMatchObject({ status: 201, body: Buffer.from("a") });
  });

  it("sends a held head alone when it is flushed, with no 'drain' that nobody waits for", async () => {
    const gate = testHooks();
    let drains = 0;
    const { port } = await serveDelayed(gate, (_req, res) => res.on("drain", () => drains++).flushHeaders());
    const client = dial(port, GET);
    await gate.asked;
    await settle(port);
    expect(client.text()).toBe("");
    gate.open();
    await client.until(/^HTTP\/1\.1 200 OK[^]*\r\n\r\n$/);
    expect(drains).toBe(0);
  });

  it.each(["without", "before"])("tells once that a held response has drained, compression: %s", async (place) => {
    const gate = testHooks();
    let drains = 0;
    const { port } = await serve((req, res) => {
      if (place === "before") Reflect.apply(compression(), undefined, [req, res, () => {}]);
      delayResponse(res, gate);
      res.on("drain", () => {
        drains++;
        setImmediate(() => res.end("b"));
      });
      expect(res.write("a")).toBe(false);
    });
    const answer = ask(port);
    await gate.asked;
    gate.open();
    expect((await answer).body.toString()).toBe("ab");
    expect(drains).toBe(1);
  });

  it("leaves it to a full socket to tell that a held response has drained", async () => {
    const gate = testHooks();
    const drained = deferred();
    let drains = 0;
    const { port } = await serveDelayed(gate, (_req, res) => {
      res.on("drain", () => {
        drains++;
        drained.resolve();
        res.end();
      });
      res.write(Buffer.alloc(32 * 1024 * 1024));
    });
    const client = dial(port, GET);
    client.socket.pause();
    await gate.asked;
    gate.open();
    await settle(port, 20);
    expect(drains).toBe(0);
    client.socket.removeAllListeners("data").resume();
    await drained.promise;
    expect(drains).toBe(1);
  });

  it("ignores the implicit heads that old middleware sends while res._header is empty", async () => {
    const gate = testHooks();
    const { port } = await serveDelayed(gate, (_req, res) => {
      res.statusCode = 201;
      const implicitHeader = () => void Reflect.apply(Reflect.get(res, "_implicitHeader"), res, []);
      implicitHeader();
      res.write("a");
      implicitHeader();
      res.end("b");
    });
    const answer = ask(port);
    await gate.asked;
    gate.open();
    expect(await answer).toMatchObject({ status: 201, body: Buffer.from("ab") });
  });

  it("lets informational responses through while the final one is held", async () => {
    const gate = testHooks();
    const { port } = await serveDelayed(gate, (_req, res) => {
      res.writeContinue();
      res.writeProcessing();
      res.writeEarlyHints({ link: "</style.css>; rel=preload" });
      res.end("hello");
      res.writeEarlyHints({ link: "</late.css>; rel=preload" });
    });
    const client = dial(port, GET);
    await client.until(/late\.css/);
    await gate.asked;
    await settle(port);
    expect(client.text().match(/HTTP\/1\.1 \d+/g)).toEqual(["100", "102", "103", "103"].map((n) => `HTTP/1.1 ${n}`));
    gate.open();
    await client.until(/HTTP\/1\.1 200 OK[^]*hello/);
  });

  it("keeps the order of pipelined responses, whichever gate opens first", async () => {
    const gates = [testHooks(), testHooks()];
    let n = 0;
    const { port } = await serve((_req, res) => {
      const mine = n++;
      delayResponse(res, gates[mine] ?? testHooks({ open: true }));
      res.end(`answer ${mine}`);
    });
    const client = dial(port, GET + GET + GET);
    await Promise.all(gates.map((gate) => gate.asked));
    gates[1]?.open();
    await settle(port);
    expect(client.text()).toBe("");
    gates[0]?.open();
    const text = await client.until(/answer 2/);
    expect(text.match(/answer \d/g)).toEqual(["answer 0", "answer 1", "answer 2"]);
  });

  it("calls the callbacks of a held write and end in their order", async () => {
    const gate = testHooks();
    const order: string[] = [];
    const done = deferred();
    const { port } = await serveDelayed(gate, (_req, res) => {
      res.on("finish", () => order.push("finish"));
      res.write("a", () => order.push("write"));
      res.write("b", "latin1", () => order.push("write 2"));
      res.end("c", "utf8", () => {
        order.push("end");
        done.resolve();
      });
    });
    const answer = ask(port);
    await gate.asked;
    await settle(port, 1);
    expect(order).toEqual([]);
    gate.open();
    await done.promise;
    expect((await answer).body.toString()).toBe("abc");
    expect(order).toEqual(["write", "write 2", "finish", "end"]);
  });

  it("calls the callback of a held end(callback) without a body", async () => {
    const gate = testHooks();
    const done = deferred();
    const { port } = await serveDelayed(gate, (_req, res) => void res.end(() => done.resolve()));
    const answer = ask(port);
    await gate.asked;
    gate.open();
    await done.promise;
    expect((await answer).headers["content-length"]).toBe("0");
  });

  it("asks both gates where it is mounted twice", async () => {
    const first = testHooks({ cookie: "first=1" });
    const second = testHooks({ cookie: "second=2" });
    const { port } = await serve((_req, res) => {
      delayResponse(res, first);
      delayResponse(res, second);
      void Readable.from([LARGE.subarray(0, 100_000), LARGE.subarray(100_000)]).pipe(res);
    });
    const answer = ask(port);
    await second.asked;
    second.open();
    await first.asked;
    first.open();
    const { headers, body } = await answer;
    expect(body.equals(LARGE)).toBe(true);
    expect(headers["set-cookie"]).toEqual(["second=2", "first=1"]);
  });
});
