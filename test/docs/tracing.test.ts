import { afterAll, expect, it } from "vitest";
import { blocksOf, document, workshop } from "../support/http/blocks.ts";

const { run, clear } = workshop();
afterAll(clear);

const BEFORE = `
import { createSessions } from "sojourn";
import { memoryStore } from "sojourn/memory";
const kept = memoryStore();
let isBroken = false;
const store = {
  ...kept,
  async read(id: string) {
    if (isBroken) throw new Error("the disk is gone");
    return kept.read(id);
  },
};
`;
const AFTER = `
import { BasicTracerProvider, InMemorySpanExporter, SimpleSpanProcessor } from "@opentelemetry/sdk-trace-base";
const exporter = new InMemorySpanExporter();
trace.setGlobalTracerProvider(new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] }));

const session = await sessions.open(new Request("http://localhost/"));
session.signIn("ada");
const response = await sessions.commit(session, new Response());
const cookie = response.headers.getSetCookie()[0]!.split(";")[0]!;
exporter.reset();

const again = await sessions.open(new Request("http://localhost/", { headers: { cookie } }));
isBroken = true;
await sessions.open(new Request("http://localhost/", { headers: { cookie } })).catch(() => {});
isBroken = false;
await sessions.revoke(again.id);
const finished = exporter.getFinishedSpans();
const nameOf = (id: string | undefined) => finished.find((span) => span.spanContext().spanId === id)?.name;
console.log(JSON.stringify(finished.map((span) => ({
  name: span.name,
  parent: nameOf(span.parentSpanContext?.spanId),
  isOfSession: span.attributes["session.id"] === again.id,
  isError: span.status.code === SpanStatusCode.ERROR,
  exceptions: span.events.length,
}))));
`;

it("the example of OpenTelemetry makes a span of each operation, with the calls of the store within, and marks errors", async () => {
  const [block] = blocksOf(document("docs/tracing.md"));
  const { stdout } = await run(`${BEFORE}\n${block!.code}\n${AFTER}`);
  const spans = JSON.parse(stdout) as { name: string; parent?: string; isError: boolean }[];
  const ok = { isOfSession: true, isError: false, exceptions: 0 };
  const failed = { isOfSession: true, isError: true, exceptions: 1 };
  expect(spans.slice(0, 4)).toEqual([
    { name: "session store read", parent: "session open", ...ok },
    { name: "session open", ...ok },
    { name: "session store read", parent: "session open", ...failed },
    { name: "session open", ...failed },
  ]);
  expect(spans.at(-1)).toEqual({ name: "session revoke revoke", ...ok });
  expect(spans.slice(4, -1).map(({ parent }) => parent)).toEqual(spans.slice(4, -1).map(() => "session revoke revoke"));
});
