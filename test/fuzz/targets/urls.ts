import assert from "node:assert/strict";
import { inspect } from "node:util";
import * as fc from "fast-check";
import { openStore } from "../../../src/stores/open/open.ts";
import { parseClusterUrl, parsePath, parseServerUrl, parseUrl } from "../../../src/stores/open/urls.ts";
import { growth } from "../growth.ts";
import { anyText, INHERITED, mutated, wellFormed } from "../mutations.ts";
import { asyncTarget, target, thrownBy } from "../target.ts";

/** No mutation makes this by chance. */
const PASSWORD = "Tr0ub4dor";
const secret = fc.oneof(
  fc.constantFrom(PASSWORD, `${PASSWORD}/#?@%:`, `${PASSWORD} é`),
  anyText(6).map((text) => PASSWORD + wellFormed(text)),
);
const user = fc.oneof(fc.constantFrom("", "app", "a:b@c"), fc.constantFrom(...INHERITED));
const host = fc.constantFrom("localhost", "127.0.0.1", "[::1]", "redis.example.com");
const port = fc.oneof(fc.constant(undefined), fc.integer({ min: 1, max: 65_535 }));
const server = fc.record({ user, secret, host, port, database: fc.option(fc.nat(999), { nil: undefined }) });
const authority = (name: string, password: string) => `${encodeURIComponent(name)}:${encodeURIComponent(password)}@`;
const place = (name: string, at: number | undefined) => (at === undefined ? name : `${name}:${at}`);

const SAMPLES = [
  `redis://app:${PASSWORD}@localhost:6379/0`,
  `redis://:${PASSWORD}@[::1]/`,
  `//app:${PASSWORD}@one:7000,two:7001,[::1]:7002`,
  `mysql://app:${PASSWORD}@db.example.com:3306/app?table=x`,
  "///var/lib/app/sessions",
  "/var/lib/app%20x/sessions.db",
];
const PIECES = [
  "/",
  "//",
  ":",
  "@",
  "?",
  "#",
  "%",
  "%2F",
  "%00",
  "%zz",
  "[",
  "]",
  ",",
  "\\",
  "..",
  "65536",
  "\n",
  "\t",
  "=",
];

export const urlTargets = [
  target({
    name: "store URL: a server",
    inputs: server,
    check({ user: name, secret: password, host: at, port: number, database }) {
      const url = `redis://${authority(name, password)}${place(at, number)}${database === undefined ? "" : `/${database}`}`;
      assert.deepEqual(parseServerUrl("redis", url), {
        host: at.replaceAll(/[[\]]/g, ""),
        port: number ?? 6379,
        username: name || undefined,
        password,
        database: database ?? 0,
      });
    },
  }),
  target({
    name: "store URL: a cluster",
    inputs: fc.record({ user, secret, nodes: fc.array(fc.tuple(host, port), { minLength: 1, maxLength: 4 }) }),
    check({ user: name, secret: password, nodes }) {
      const rest = `//${authority(name, password)}${nodes.map(([at, number]) => place(at, number)).join(",")}`;
      assert.deepEqual(parseClusterUrl("redis+cluster", rest), {
        username: name || undefined,
        password,
        nodes: nodes.map(([at, number]) => ({ host: at.replaceAll(/[[\]]/g, ""), port: number ?? 6379 })),
      });
    },
  }),
  target({
    name: "store URL: a path",
    inputs: fc.array(fc.oneof(anyText(6), fc.constantFrom("a b", "#", "?", "%", "é", "..", ...INHERITED)), {
      minLength: 1,
      maxLength: 4,
    }),
    check(parts) {
      // NUL is in no path, and a file URL has no room for segments that mean another directory.
      const names = parts.map(
        (part) =>
          wellFormed(part)
            .replaceAll(/[\0/\\]/g, "-")
            .replace(/^\.{1,2}$/, "x") || "x",
      );
      const path = `/${names.join("/")}`;
      const encoded = `/${names.map((name) => encodeURIComponent(name)).join("/")}`;
      assert.equal(parsePath("file", encoded), path);
      assert.equal(parsePath("file", `//${encoded}`), path);
    },
  }),
  target({
    name: "store URL: hostile text",
    runs: 1500,
    inputs: mutated(fc.constantFrom(...SAMPLES), PIECES),
    check(text) {
      const calls = [
        () => parseUrl("redis", text),
        () => parseServerUrl("redis", text),
        () => parseClusterUrl("redis+cluster", text),
        () => parsePath("file", text),
      ];
      for (const call of calls) {
        let found: unknown;
        isTypeError(
          thrownBy(() => {
            found = call();
          }),
        );
        if (found === undefined) continue;
        // What stands after a # would be left out without a word.
        if (call === calls[0] || call === calls[1]) assert.ok(!text.includes("#"), "a fragment is dropped");
        if (typeof found === "string") assert.equal(found.includes("#"), /#|%23/.test(text));
        if (typeof found === "string") continue;
        for (const each of [found, ...((found as { nodes?: object[] }).nodes ?? [])]) {
          const { host: name, port: number } = each as { host?: unknown; port?: unknown };
          if (call === calls[0]) continue;
          if (name !== undefined) assert.match(name as string, /^[^\s\p{Cc}/@,?#]+$/u);
          if (number !== undefined) assert.ok(Number.isInteger(number) && Number(number) <= 65_535);
        }
      }
    },
  }),
  asyncTarget({
    name: "store URL: unknown schemes and options",
    runs: 300,
    inputs: fc.tuple(
      fc.oneof(
        fc.constantFrom(...INHERITED, "mongodb", "redis+", "", "file+x", "sqlite+", "FILE", " file"),
        fc.string({ unit: fc.constantFrom("a", "z", "+"), maxLength: 5 }),
      ),
      mutated(fc.constantFrom(...SAMPLES), PIECES),
    ),
    async check([scheme, rest]) {
      const error: unknown = await openStore(`${scheme}:${rest}`).catch((reason: unknown) => reason);
      isTypeError(error);
      assert.match(String(error), /openStore takes a URL that begins with file:, sqlite:/);
    },
  }),
  ...[parseUrl, parseServerUrl].map((read) =>
    growth(
      `store URL: ${read.name}`,
      ["a", "/", ":", "@", "%41", "%", ".", "[", "0"],
      (text) => read("redis", text),
      (text) => `redis://${text}`,
    ),
  ),
  growth(
    "store URL: parseClusterUrl",
    ["a", "/", ":", "@", ",", "one:7000,", "[", "]", "0", "%41"],
    (text) => parseClusterUrl("redis", text),
    (text) => `//${text}`,
  ),
  growth("store URL: parsePath", ["a", "/", "%41", "%", ".", "..", "\\", "#"], (text) => parsePath("file", text)),
];

function isTypeError(error: unknown): void {
  if (error === undefined) return;
  assert.ok(error instanceof TypeError, inspect(error));
  assert.ok(
    !`${error.message}${String(error.cause)}`.includes(PASSWORD.slice(0, 5)),
    `shows a password: ${error.message}`,
  );
}
