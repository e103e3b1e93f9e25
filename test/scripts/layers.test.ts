import { readdirSync, readFileSync } from "node:fs";
import { join, posix } from "node:path";
import { describe, expect, it } from "vitest";

const ROOT = join(import.meta.dirname, "../..");

/** What every layer may use. It knows nothing of what is built on it. */
const BASE =
  /^src\/(?:capabilities|checks|concurrency|coroutine|deadline|duration|errors|keyed-queue|methods|option-hints|printable|random|store|user-id)\.ts$/;

/** What a layer may import besides itself; of `types` nothing but types. */
interface Allowed {
  readonly values: readonly string[];
  readonly types?: readonly string[];
}

const LAYERS: Readonly<Record<string, Allowed>> = {
  base: { values: [] },
  changes: { values: ["base"], types: ["record"] },
  record: { values: ["base", "changes"], types: ["core"] },
  core: { values: ["base", "changes", "record"] },
  "stores/shared": { values: ["base"] },
  // A cache and a migration are given the stores that they stand before. `open` makes the store that a URL names.
  "stores/cached": { values: ["base", "stores/shared"] },
  "stores/migration": { values: ["base", "stores/shared"] },
  "stores/open": { values: ["base", "stores/shared", "an engine", "stores/memory"] },
  "stores/memory": { values: ["base", "stores/shared"] },
  "an engine": { values: ["base", "stores/shared"] },
  // It works on the cookies of a request, as no other store does.
  "cookie-store": { values: ["base", "record", "core"] },
  adapters: { values: ["base", "core"] },
  // It speaks to what lies under the core, because express-session shows a session to its store.
  "express-session": {
    values: ["base", "changes", "record", "core", "stores/shared", "stores/memory", "adapters", "interop"],
  },
  // It reads the cookies and data of other libraries, and imports none of them.
  interop: { values: ["base"], types: ["core"] },
  // The cases of the adapter contract use them.
  testing: { values: ["base", "core", "stores/memory", "adapters"] },
  cli: { values: ["base", "core"] },
};

/** Peers whose types a layer may use. */
const PACKAGES: Readonly<Record<string, readonly string[]>> = {
  adapters: ["@nestjs/common", "@nestjs/core", "@tanstack/react-start", "fastify", "hono", "koa", "socket.io", "vue"],
};
/** Frameworks without another way in than an import. Only their own adapters load them. */
const LOADED: Readonly<Record<string, readonly string[]>> = {
  "src/adapters/h3.ts": ["h3"],
  "src/adapters/nuxt/app.ts": ["#imports"],
  "src/adapters/nest/decorators.ts": ["@nestjs/common", "@nestjs/websockets"],
  "src/adapters/nest/module.ts": ["@nestjs/common", "@nestjs/core"],
  "src/adapters/next/next.ts": ["next/cache.js", "next/headers.js", "next/server.js"],
  "src/adapters/tanstack-start.ts": ["@tanstack/react-start/server"],
};

interface Import {
  readonly from: string;
  readonly isType: boolean;
}

function importsOf(source: string): Import[] {
  const code = source.replaceAll(/^\s*(?:\*|\/\*|\/\/).*$/gm, "");
  const found: Import[] = [];
  for (const [, clause = "", from] of code.matchAll(/^(?:import|export)\b([^;"']*?)\bfrom\s*"([^"]+)"/gm)) {
    const names = /^\s*\{([^}]*)\}\s*$/.exec(clause)?.[1]?.split(",");
    const isType = names
      ? names.every((name) => name.trim() === "" || name.trim().startsWith("type "))
      : /^\s*type\b/.test(clause);
    found.push({ from: from!, isType });
  }
  for (const [, from] of code.matchAll(/(?:^import|\bimport\()\s*"([^"]+)"/gm))
    found.push({ from: from!, isType: false });
  return found;
}

/** The layer of a file; an engine's folder is one of its own. */
function layerOf(file: string): string {
  if (BASE.test(file)) return "base";
  const [, first = "", second = ""] = /^src\/(?:([^/]+)\/)?([^/]+)/.exec(file)!;
  if (first === "" || first === "lifecycle" || first === "request") return "core";
  return first === "stores" ? `stores/${second.replace(/\.ts$/, "")}` : first;
}

const allowedFor = (layer: string): Allowed | undefined =>
  LAYERS[layer] ?? (layer.startsWith("stores/") ? LAYERS["an engine"] : undefined);

/** The imports of a file that go against the layers, and what would be allowed. */
function violations(file: string, source: string): string[] {
  const layer = layerOf(file);
  const allowed = allowedFor(layer);
  if (allowed === undefined) return [`${file} lies in no layer: say in this test what src/${layer} may import`];
  return importsOf(source).flatMap(({ from, isType }) => {
    const imports = `${file} imports ${isType ? "types of " : ""}${from}`;
    if (from.startsWith("node:")) return [];
    if (!from.startsWith(".")) {
      if ((isType && PACKAGES[layer]?.includes(from)) || LOADED[file]?.includes(from)) return [];
      return [`${imports}: no package is imported, but types of ${PACKAGES[layer]?.join(", ") ?? "none"} here`];
    }
    const target = layerOf(posix.join(posix.dirname(file), from));
    const known = isType ? [...allowed.values, ...(allowed.types ?? [])] : allowed.values;
    const isEngine = LAYERS[target] === undefined && target.startsWith("stores/");
    if (target === layer || known.includes(target) || (isEngine && known.includes("an engine"))) return [];
    return [`${imports}, of ${target}: ${layer} imports ${known.join(", ") || "nothing else"} and itself only`];
  });
}

const sources = readdirSync(join(ROOT, "src"), { recursive: true, encoding: "utf8" })
  .filter((file) => file.endsWith(".ts") && !file.endsWith(".test.ts"))
  .map((file) => `src/${file.replaceAll("\\", "/")}`);

describe("the layers of the library", () => {
  it("hold in every import", () => {
    expect(sources.length).toBeGreaterThan(80);
    expect(sources.flatMap((file) => violations(file, readFileSync(join(ROOT, file), "utf8")))).toEqual([]);
  });

  it.each([
    [
      "the root entry and a store",
      "src/index.ts",
      'export { memoryStore } from "./stores/memory.ts";',
      "stores/memory",
    ],
    [
      "the core and a store's type",
      "src/users.ts",
      'import type { A } from "./stores/redis/store.ts";',
      "stores/redis",
    ],
    ["the core and an adapter", "src/sessions.ts", 'import { a } from "./adapters/adapter.ts";', "of adapters"],
    ["a store and the core", "src/stores/memory.ts", 'import { a } from "../lifecycle/timeouts.ts";', "of core"],
    ["two stores", "src/stores/sqlite/store.ts", 'import {\n  a,\n} from "../file/files.ts";', "of stores/file"],
    ["a wrapping store and an engine", "src/stores/cached.ts", 'import { a } from "./memory.ts";', "of stores/memory"],
    [
      "an adapter and a store",
      "src/adapters/node.ts",
      'const a = await import("../stores/memory.ts");',
      "of stores/mem",
    ],
    ["the base and the core", "src/checks.ts", 'import type { Settings } from "./options.ts";', "of core"],
    ["an adapter and a framework", "src/adapters/hono.ts", 'import { Hono } from "hono";', "imports hono"],
    ["the root entry and a framework", "src/index.ts", 'import type { Context } from "hono";', "types of hono"],
    ["what lies in no layer", "src/anew/store.ts", "", "in no layer"],
  ])("are kept apart: %s", (_, file, source, said) => {
    expect(violations(file, source)).toEqual([expect.stringContaining(said)]);
  });

  it("tell types from values", () => {
    const types =
      'import { type A, type B } from "../record/record.ts";\nexport type { C } from "../record/record.ts";';
    expect(violations("src/changes/journal.ts", types)).toEqual([]);
    const both = 'import { type A, b } from "../record/record.ts";';
    expect(violations("src/changes/journal.ts", both)).toEqual([
      "src/changes/journal.ts imports ../record/record.ts, of record: changes imports base and itself only",
    ]);
  });
});
