import assert from "node:assert/strict";
import { IncomingMessage, ServerResponse } from "node:http";
import { Socket } from "node:net";
import { Duplex } from "node:stream";
import { setImmediate } from "node:timers/promises";
import * as fc from "fast-check";
import { delayResponse } from "../../../src/adapters/node-response/delayed-response.ts";
import { INHERITED } from "../mutations.ts";
import { asyncTarget } from "../target.ts";

// A bare response of node:http is the oracle: a delayed one must take the same calls, refuse the same ones, and send the same
// bytes but for the order of headers with different names.

type Value = string | number | boolean | null | readonly string[];
type Pair = readonly [name: string, value: Value];
type Form = "object" | "flat list" | "pairs" | "odd list" | "nothing" | "null" | "inherited";

type Call =
  | readonly ["setHeader" | "appendHeader", name: string, value: Value]
  | readonly ["removeHeader", name: string]
  | readonly ["setHeaders", form: "Map" | "Headers", pairs: readonly Pair[]]
  | readonly ["status", status: number]
  | readonly ["message", message: string]
  | readonly ["writeHead", status: number | string, message: string | null, form: Form, pairs: readonly Pair[]]
  | readonly ["write" | "end", chunk: string | null]
  | readonly ["addTrailers", form: "object" | "pairs", pairs: readonly Pair[]]
  | readonly ["flushHeaders" | "without Date" | "cork" | "uncork"];

type Manner = "at once" | "later";

const COOKIE = "ours=1";

const name = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom("X-A", "x-a", "X-B", "Set-Cookie", "set-cookie", "Content-Type", "Vary") },
  fc.constantFrom(
    "Content-Length",
    "Transfer-Encoding",
    "Connection",
    "Date",
    "Trailer",
    "Keep-Alive",
    "Cache-Control",
  ),
  fc.constantFrom("", "bad name", "x\u00fc", ...INHERITED),
);
const value: fc.Arbitrary<Value> = fc.oneof(
  { weight: 5, arbitrary: fc.constantFrom("1", "2", "a, b", "c=1", "d=2; Path=/", "text/plain") },
  { weight: 2, arbitrary: fc.array(fc.constantFrom("1", "e=1", "f=2"), { maxLength: 3 }) },
  fc.constantFrom("", 0, 3, true, null, "\u00e9", "\u20ac", "a\r\nx: y", "a\u0000"),
  fc.constantFrom(["a", "b\n"], ["\u20ac"], ["chunked"]),
);
const pairs = fc.array(fc.tuple(name, value), { maxLength: 4 });
const status = fc.oneof(
  { weight: 5, arbitrary: fc.constantFrom(200, 201, 302, 404, 500, 503) },
  fc.constantFrom(204, 304, 205, 100, 101, 999, 299.5, 0, 99, 1000, -1),
);
const message = fc.constantFrom("Fine", "", "OK", "a\r\nb", "\u20ac", "caf\u00e9");
const chunk = fc.constantFrom("a", "hello", "", "h\u00e9llo", null);

const call: fc.Arbitrary<Call> = fc.oneof(
  { weight: 4, arbitrary: fc.tuple(fc.constantFrom("setHeader" as const, "appendHeader" as const), name, value) },
  fc.tuple(fc.constant("removeHeader" as const), name),
  fc.tuple(fc.constant("setHeaders" as const), fc.constantFrom("Map" as const, "Headers" as const), pairs),
  fc.tuple(fc.constant("status" as const), status),
  fc.tuple(fc.constant("message" as const), message),
  {
    weight: 5,
    arbitrary: fc.tuple(
      fc.constant("writeHead" as const),
      fc.oneof(status, fc.constantFrom("200", "x")),
      fc.oneof(fc.constant(null), message),
      fc.constantFrom<Form[]>("object", "object", "flat list", "pairs", "odd list", "nothing", "null", "inherited"),
      pairs,
    ),
  },
  { weight: 3, arbitrary: fc.tuple(fc.constantFrom("write" as const, "end" as const), chunk) },
  fc.tuple(fc.constant("addTrailers" as const), fc.constantFrom("object" as const, "pairs" as const), pairs),
  fc.tuple(fc.constantFrom("flushHeaders" as const, "without Date" as const, "cork" as const, "uncork" as const)),
);

export const delayedTargets = [
  asyncTarget({
    name: "delayed response",
    runs: 2000,
    inputs: fc.record(
      {
        calls: fc.array(call, { maxLength: 7 }),
        method: fc.constantFrom("GET", "GET", "HEAD"),
        version: fc.constantFrom("1.1", "1.1", "1.0"),
        manner: fc.constantFrom<Manner[]>("at once", "later"),
        hasCookie: fc.boolean(),
      },
      { noNullPrototype: true },
    ),
    async check({ calls: given, method, version, manner, hasCookie }) {
      const end = given.findIndex(([what]) => what === "end");
      const calls = given
        .map((each, i) => (i === 0 ? each : withoutRepeats(each)))
        // Trailers after the end come too late, unless the end waits.
        .filter(([what], i) => end < 0 || i < end || what !== "addTrailers");
      const bare = await run(calls, method, version, () => {});
      const delayed = await run(calls, method, version, (res) => delay(res, manner, hasCookie));
      if (hasCookie) without(delayed, COOKIE);
      // Pairs are documented, and refused by some versions of Node where a header was set before.
      if (calls.some((each, i) => each[3] === "pairs" && bare.refusals[i] !== "")) return;
      for (const [i, refusal] of bare.refusals.entries()) {
        const [what, , text, form] = calls[i] ?? ["end"];
        if (refusal === "" || what === "setHeader" || what === "appendHeader" || what === "setHeaders") continue;
        if (refusal === "ERR_HTTP_HEADERS_SENT") {
          // The same head once more, without headers: some programs learn so whether it was sent.
          const isSame = manner === "later" && what === "writeHead" && text === null && form === "nothing";
          if (isSame) delayed.refusals[i] ||= refusal;
          continue;
        }
        assert.deepEqual(delayed.refusals.slice(0, i), bare.refusals.slice(0, i));
        // What Node finds only when it makes the head can't be refused at once while that waits: it fails instead.
        if (refusal === "ERR_HTTP_TRAILER_INVALID" && manner === "later") {
          assert.deepEqual(delayed.headers.get("x-failure"), [refusal]);
        } else assert.notEqual(delayed.refusals[i], "");
        // Node keeps pieces of a head that it has refused: its message, its length, that it has no body.
        return;
      }
      assert.deepEqual(delayed, bare);
    },
  }),
];

/** Where something was set before, versions of Node differ in which of two headers of one name they send: we send both. */
function withoutRepeats(each: Call): Call {
  if (each[0] !== "writeHead") return each;
  const byName = new Map(each[4].map((header) => [header[0].toLowerCase(), header]));
  return each.with(4, [...byName.values()]) as unknown as Call;
}

function delay(res: ServerResponse, manner: Manner, hasCookie: boolean): void {
  const setOurs = () => {
    const there = res.hasHeader("set-cookie") ? res.getHeader("set-cookie") : [];
    if (hasCookie) res.setHeader("Set-Cookie", [...(Array.isArray(there) ? there : [String(there)]), COOKIE]);
  };
  delayResponse(res, {
    beforeHeaders() {
      if (manner === "later") return Promise.resolve(setOurs);
      setOurs();
      return undefined;
    },
    onFailure(error) {
      res.setHeader("x-failure", codeOf(error));
      res.end();
    },
  });
}

interface Seen {
  /** The code of each call's error, or "". */
  readonly refusals: string[];
  readonly errors: string[];
  readonly head: string;
  readonly headers: Map<string, string[]>;
  readonly body: string;
}

async function run(
  calls: readonly Call[],
  method: string,
  version: string,
  prepare: (res: ServerResponse) => void,
): Promise<Seen> {
  const req = new IncomingMessage(new Socket());
  const [major, minor] = version.split(".").map(Number);
  Object.assign(req, { method, httpVersion: version, httpVersionMajor: major, httpVersionMinor: minor });
  const res = new ServerResponse(req);
  const sent: Buffer[] = [];
  const socket = new Duplex({
    read() {},
    write(bytes: Buffer, _encoding, done) {
      sent.push(bytes);
      done();
    },
  });
  const errors: string[] = [];
  res.on("error", (error) => errors.push(codeOf(error)));
  socket.on("error", (error) => errors.push(codeOf(error)));
  res.assignSocket(socket as Socket);
  prepare(res);

  // Node may add to a list that it was given.
  const refusals = [...structuredClone(calls), ["uncork"] as const, ["uncork"] as const, ["end", null] as const].map(
    (each) => {
      try {
        perform(res, each);
        return "";
      } catch (error) {
        return codeOf(error);
      }
    },
  );
  await setImmediate();
  req.socket.destroy();
  return { refusals, errors, ...parsed(Buffer.concat(sent).toString("latin1")) };
}

function perform(res: ServerResponse, each: Call): void {
  switch (each[0]) {
    case "setHeader":
    case "appendHeader":
      Reflect.apply(res[each[0]], res, [each[1], each[2]]);
      return;
    case "removeHeader":
      res.removeHeader(each[1]);
      return;
    case "setHeaders":
      res.setHeaders(each[1] === "Map" ? (new Map(each[2]) as Map<string, string>) : headersOf(each[2]));
      return;
    case "status":
      res.statusCode = each[1];
      return;
    case "message":
      res.statusMessage = each[1];
      return;
    case "writeHead": {
      const [, code, text, form, given] = each;
      const headers = headersIn(form, given);
      Reflect.apply(res.writeHead, res, [
        code,
        ...(text === null ? [] : [text]),
        ...(form === "nothing" ? [] : [headers]),
      ]);
      return;
    }
    case "write":
      // A chunk that is null is refused at once by the one, and in its turn by the other.
      res.write(each[1] ?? "");
      return;
    case "end":
      if (each[1] === null) res.end();
      else res.end(each[1]);
      return;
    case "addTrailers":
      Reflect.apply(res.addTrailers, res, [headersIn(each[1], each[2])]);
      return;
    case "without Date":
      res.sendDate = false;
      return;
    case "flushHeaders":
    case "cork":
    case "uncork":
      res[each[0]]();
  }
}

function headersOf(given: readonly Pair[]): Headers {
  const headers = new Headers();
  for (const [key, content] of given) {
    try {
      headers.append(key, String(content));
    } catch {
      // Headers refuse some names and values themselves.
    }
  }
  return headers;
}

function headersIn(form: Form, given: readonly Pair[]): unknown {
  switch (form) {
    case "object":
      return Object.fromEntries(given);
    case "inherited":
      return Object.create(Object.fromEntries(given)) as object;
    case "flat list":
      return given.flatMap(([key, content]) => [key, content]);
    case "odd list":
      return [...given.flatMap(([key, content]) => [key, content]), "X-Odd"];
    case "pairs":
      return given.map(([key, content]) => [key, content]);
    case "null":
      return null;
    case "nothing":
      return undefined;
  }
}

function parsed(text: string): Pick<Seen, "head" | "headers" | "body"> {
  const end = text.indexOf("\r\n\r\n");
  const [head = "", ...lines] = text.slice(0, end < 0 ? undefined : end).split("\r\n");
  const headers = new Map<string, string[]>();
  for (const line of lines) {
    const [, key = "", content = ""] = /^([^:]*): ?([^]*)$/.exec(line) ?? [];
    const lower = key.toLowerCase();
    const shown = lower === "date" && content.endsWith("GMT") ? "now" : content;
    headers.set(lower, [...(headers.get(lower) ?? []), shown]);
  }
  return { head, headers, body: end < 0 ? "" : text.slice(end + 4) };
}

function without({ headers }: Seen, cookie: string): void {
  const cookies = headers.get("set-cookie") ?? [];
  const left = cookies.filter((each) => each !== cookie);
  if (left.length > 0) headers.set("set-cookie", left);
  else headers.delete("set-cookie");
}

const codeOf = (error: unknown): string => (error as { code?: string }).code ?? String(error);
