import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { ROOT, workshop } from "../support/http/blocks.ts";

/** The published entry of each source that an adapter of the library may import. */
const ENTRIES: Readonly<Record<string, string>> = {
  "../errors.ts": "sojourn",
  "../session.ts": "sojourn",
  "../sessions.ts": "sojourn",
  "./adapter.ts": "sojourn/adapter",
  "./answer-request.ts": "sojourn/adapter/fetch",
  "./inner-requests.ts": "sojourn/adapter/inner-requests",
  "./context.ts": "sojourn/context",
  // Parts of adapters, which are compiled with them.
  "./cached-route.ts": "./cached-route.ts",
  "./fastify-held-stream.ts": "./fastify-held-stream.ts",
  "./fastify-held-reply.ts": "./fastify-held-reply.ts",
  "./fastify-register.ts": "./fastify-register.ts",
  "./node-response/entry.ts": "sojourn/adapter/node",
};

const ADAPTERS = [
  "astro",
  "cached-route",
  "express",
  "fastify",
  "fastify-held-stream",
  "fastify-held-reply",
  "fastify-register",
  "fetch",
  "h3",
  "hono",
  "koa",
  "node",
  "sveltekit",
];

/** Their frameworks are not installed here. */
const NOT_COMPILED = ["react-router", "tanstack-start"];

const RELATIVE = /from "(\.[^"]+)";/g;

const sourceOf = (name: string): string => readFileSync(join(ROOT, `src/adapters/${name}.ts`), "utf8");

/** An adapter as somebody else would publish it: every import is of a published entry. */
const published = (source: string): string =>
  source.replaceAll(RELATIVE, (line, from: string) => line.replace(from, ENTRIES[from] ?? from));

describe("the adapters of the library", () => {
  const place = workshop();
  afterAll(place.clear);

  it.each([...ADAPTERS, ...NOT_COMPILED])("import sources of published entries only: %s", (name) => {
    const imported = Array.from(sourceOf(name).matchAll(RELATIVE), ([, from]) => from!);
    expect(imported.filter((from) => ENTRIES[from] === undefined)).toEqual([]);
  });

  it("compile with nothing but what is published", async () => {
    const files = ADAPTERS.map((name) => `${name}.ts`);
    for (const name of ADAPTERS) place.file(`${name}.ts`, published(sourceOf(name)));
    expect(await place.typeErrors([], files)).toBe("");
  });
});
