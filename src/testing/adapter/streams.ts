import assert from "node:assert/strict";
import { createGate, type AnySession, type Gate } from "./bench.ts";
import { eventually, expectAnswer, expectCaching } from "./checks.ts";
import type { Answer } from "./client.ts";
import type { AdapterRule, Declared } from "./contract.ts";

/** The rules of bodies that a handler's program makes while they are sent, and of changes after them. */
export const streamCases = ({ streams }: Declared): readonly AdapterRule[] => [
  ...(streams === "none" ? joinedCases : sentCases),
  ...(streams === "stored" ? storedCases : []),
  ...(streams === "reported" ? [reportedCase] : []),
  [
    "reports a change that comes after the end of the response",
    async (bench) => {
      let kept: AnySession | undefined;
      const { signedIn, dropped } = await bench.start({
        "/kept": (session) => {
          kept = session;
          return session.userId ?? "nobody";
        },
      });
      const client = await signedIn();
      expectAnswer(await client.get("/kept"), { body: "ada" }, "the response");
      kept!.data.late = 1;
      assert.ok(await eventually(() => dropped.length > 0), "the event dropped must tell of the change");
      assert.deepEqual(
        dropped.map(({ reason }) => reason),
        ["late"],
        "the reason of the event dropped",
      );
      expectAnswer(await client.get("/data"), { body: "{}" }, "the data after it");
    },
  ],
];

async function* changing(session: AnySession, gate: Gate): AsyncGenerator<string> {
  yield "begun\n";
  await gate.pass();
  session.data.after = 1;
  yield "done\n";
}

async function* breaking(session: AnySession, gate: Gate): AsyncGenerator<string> {
  yield "begun\n";
  await gate.pass();
  session.data.after = 1;
  throw new Error("planned error of a body");
}

/** Whether what has come is a response that looks complete. */
const LOOKS_COMPLETE = /\r\n0\r\n\r\n$/;

async function* trying(use: () => unknown): AsyncGenerator<string> {
  yield "begun\n";
  try {
    const used = await use();
    yield String(used);
  } catch (error) {
    yield (error as { code?: string }).code ?? String(error);
  }
}

// oxlint-disable-next-line require-yield -- it fails before
async function* failingAtOnce(): AsyncGenerator<string> {
  throw new Error("planned error of a body");
}

const LATE = "begun\nERR_SESSION_HEADERS_SENT";

const sentCases: readonly AdapterRule[] = [
  [
    "stores a change that is made before a streamed body, and sets its cookie",
    async (bench) => {
      const { visitor } = await bench.start({
        "/stream": (session) => {
          session.data.before = 1;
          return { body: trying(() => "done") };
        },
      });
      const client = visitor();
      expectAnswer(await client.get("/stream"), { body: "begun\ndone", caching: "no-store", cookies: 1 }, "the stream");
      expectAnswer(await client.get("/data"), { body: '{"before":1}' }, "the page after it");
    },
  ],
  [
    "refuses to sign in while a body is streamed",
    async (bench) => {
      const { visitor } = await bench.start({
        "/stream": (session) => ({
          status: session.isNew ? 200 : 409,
          body: trying(() => session.signIn("ada")),
        }),
      });
      expectAnswer(await visitor().get("/stream"), { body: LATE, caching: "vary" }, "a late sign-in");
    },
  ],
  [
    "refuses a first look at the session while a body is streamed, unless the option personal says so",
    async (bench) => {
      const look = {
        "/stream": (session: AnySession) => ({ body: trying(async () => (await session.load()).userId ?? "nobody") }),
      };
      const { signedIn, visitor } = await bench.start(look);
      for (const client of [await signedIn(), visitor()]) {
        expectAnswer(await client.get("/stream"), { body: LATE, caching: "nothing" }, "a late first look");
      }
      for (const lazy of [false, true]) {
        const personal = await bench.start(look, { options: { personal: true, lazy } });
        const user = await (await personal.signedIn()).get("/stream");
        expectAnswer(user, { body: "begun\nada", caching: "private" }, "a user's personal stream");
        const nobody = await personal.visitor().get("/stream");
        expectAnswer(nobody, { body: "begun\nnobody" }, "a visitor's personal stream");
        expectCaching(nobody, lazy ? cachingOf(nobody) : "vary", "a visitor's personal stream");
      }
    },
  ],
  [
    "ends the connection where a body fails after its first chunk, and stores or reports the changes made in it",
    async (bench) => {
      const gate = createGate();
      const { signedIn, dropped, watchers } = await bench.start({
        "/fails": (session) => {
          session.data.before = session.signal.aborted ? 0 : 1;
          return { body: breaking(session, gate) };
        },
      });
      const client = await signedIn();
      const connection = await client.connect("/fails");
      await connection.until("begun");
      gate.open();
      assert.ok(await eventually(() => connection.isClosed), "the connection must end");
      assert.doesNotMatch(connection.received, LOOKS_COMPLETE, "the response must not look complete");
      const data = async () => JSON.parse((await client.get("/data")).body) as { before?: number; after?: number };
      assert.equal((await data()).before, 1, "a change before the body must be stored");
      const isStored = async () => (await data()).after === 1 || dropped.length > 0;
      assert.ok(
        await eventually(isStored),
        "a change in the body must be stored, or the event dropped must tell of it",
      );
      assert.ok(await eventually(() => watchers() === 0), "nobody may watch the session any more");
    },
  ],
  [
    "gives no success for a body that fails before its first chunk",
    async (bench) => {
      const { signedIn } = await bench.start({
        "/fails": (session) => ({ status: session.isNew ? 409 : 200, body: failingAtOnce() }),
      });
      const connection = await (await signedIn()).connect("/fails");
      assert.ok(await eventually(() => connection.isClosed), "the connection must end");
      const { received } = connection;
      const isSuccess = received.startsWith("HTTP/1.1 200 ") && LOOKS_COMPLETE.test(received);
      assert.ok(!isSuccess, "the response must be an error, or be cut off");
    },
  ],
  [
    "stores or reports the changes that a body makes after its client has gone, and releases session.signal",
    async (bench) => {
      const gate = createGate();
      const { signedIn, dropped, watchers } = await bench.start({
        "/stream": (session) => ({ status: session.signal.aborted ? 409 : 200, body: changing(session, gate) }),
      });
      const client = await signedIn();
      const connection = await client.connect("/stream");
      await connection.until("begun");
      connection.destroy();
      await connection.until();
      expectAnswer(await client.get("/who"), { body: "ada" }, "the next request");
      gate.open();
      const isStored = async () => (await client.get("/data")).body === '{"after":1}' || dropped.length > 0;
      assert.ok(await eventually(isStored), "a change must be stored, or the event dropped must tell of it");
      assert.ok(await eventually(() => watchers() === 0), "nobody may watch the session any more");
    },
  ],
];

/** Whether a lazy adapter knows that the request is a visitor's, before it is read, is its own affair. */
function cachingOf({ headers }: Answer): "private" | "vary" {
  return headers["cache-control"] === "private" ? "private" : "vary";
}

/** A framework that leaves out the declared length sends the last byte in a chunk of its own. */
const WITH_LAST_BYTE = /begun\n[^]*done(?:\r\n1\r\n)?\n/;

const storedCases: readonly AdapterRule[] = [
  [
    "stores a change that is made while a body is streamed, before the last byte",
    async (bench) => {
      const gate = createGate();
      const { signedIn, hold, visitor } = await bench.start({
        "/stream": (session) => ({ status: session.isNew ? 409 : 200, body: changing(session, gate) }),
      });
      const client = await signedIn();
      const connection = await client.connect("/stream");
      await connection.until("begun");
      assert.match(connection.received, /begun/, "the first chunk must be sent while the handler runs on");
      const storing = hold("update");
      gate.open();
      const whole = connection.until();
      await storing.reachedBefore(whole);
      for (let n = 0; n < 3; n += 1) await visitor().get("/untouched");
      assert.doesNotMatch(connection.received, LOOKS_COMPLETE, "the last byte must wait for the store");
      storing.open();
      assert.match(await whole, /done[^]*\r\n0\r\n\r\n$/, "the response must be complete");
      expectAnswer(await client.get("/data"), { body: '{"after":1}' }, "the page after the stream");
    },
  ],
  [
    "stores such a change before the last byte also where the response declares its length",
    async (bench) => {
      const gate = createGate();
      const { signedIn, hold, visitor } = await bench.start({
        "/stream": (session) => ({
          status: session.isNew ? 409 : 200,
          headers: [["content-length", String("begun\ndone\n".length)]],
          body: changing(session, gate),
        }),
      });
      const client = await signedIn();
      const storing = hold("update");
      const connection = await client.connect("/stream");
      gate.open();
      const whole = connection.until();
      await storing.reachedBefore(whole);
      for (let n = 0; n < 3; n += 1) await visitor().get("/untouched");
      assert.doesNotMatch(connection.received, WITH_LAST_BYTE, "the last byte must wait for the store");
      storing.open();
      assert.match(await whole, WITH_LAST_BYTE, "the response must be complete");
      expectAnswer(await client.get("/data"), { body: '{"after":1}' }, "the page after the stream");
    },
  ],
  [
    "cuts off a streamed response whose last change can't be stored",
    async (bench) => {
      const gate = createGate();
      const { signedIn, failing, visitor } = await bench.start({
        "/stream": (session) => ({ status: session.isNew ? 409 : 200, body: changing(session, gate) }),
        "/new": (session) => ({ status: session.isNew ? 200 : 409, body: changing(session, gate) }),
      });
      const client = await signedIn();
      const connection = await client.connect("/stream");
      await connection.until("begun");
      failing.add("update");
      gate.open();
      assert.ok(await eventually(() => connection.isClosed), "the connection must end");
      assert.doesNotMatch(connection.received, LOOKS_COMPLETE, "the response must not look complete");
      failing.clear();
      expectAnswer(await client.get("/data"), { body: "{}" }, "the page after the stream");

      const visitors = await visitor().connect("/new");
      assert.ok(await eventually(() => visitors.isClosed), "the connection must end");
      assert.doesNotMatch(visitors.received, LOOKS_COMPLETE, "a session can't begin after the headers");
    },
  ],
];

const reportedCase: AdapterRule = [
  "reports a change that is made while a body is streamed, and stores nothing of it",
  async (bench) => {
    const gate = createGate();
    const { signedIn, dropped } = await bench.start({
      "/stream": (session) => ({ status: session.isNew ? 409 : 200, body: changing(session, gate) }),
    });
    const client = await signedIn();
    gate.open();
    expectAnswer(await client.get("/stream"), { body: "begun\ndone\n", caching: "private" }, "the stream");
    assert.ok(await eventually(() => dropped.length > 0), "the event dropped must tell of the change");
    expectAnswer(await client.get("/data"), { body: "{}" }, "the page after it");
  },
];

const joinedCases: readonly AdapterRule[] = [
  [
    "stores a change that is made while the body is made, and sets its cookie",
    async (bench) => {
      const gate = createGate();
      const { visitor } = await bench.start({ "/joined": (session) => ({ body: changing(session, gate) }) });
      gate.open();
      const client = visitor();
      const answer = await client.get("/joined");
      expectAnswer(answer, { body: "begun\ndone\n", caching: "no-store", cookies: 1 }, "the response");
      expectAnswer(await client.get("/data"), { body: '{"after":1}' }, "the page after it");
    },
  ],
];
