import assert from "node:assert/strict";
import { inspect } from "node:util";
import * as fc from "fast-check";
import { SessionError } from "../../../src/errors.ts";
import * as cacheHeaders from "../../../src/request/cache-headers.ts";
import { splitList, unquote } from "../../../src/request/header-list.ts";
import { checkOrigin } from "../../../src/request/origin.ts";
import { hostOf, isSecure, type AnyRequest } from "../../../src/request/request.ts";
import { growth } from "../growth.ts";
import { anyText, INHERITED, mutated } from "../mutations.ts";
import { target, thrownBy } from "../target.ts";

type Headers_ = Readonly<Record<string, string | undefined>>;
const nodeRequest = (headers: Headers_, encrypted = false): AnyRequest => ({
  headers: { ...headers },
  socket: { encrypted },
});
const fetchRequest = (headers: Headers_, encrypted = false): AnyRequest => ({
  url: `http${encrypted ? "s" : ""}://own.example/`,
  headers: { get: (name: string) => headers[name] ?? null },
});

const token = fc.string({ unit: fc.constantFrom(...Array.from("abpr019-_.!#$%&'*+^`|~")), minLength: 1, maxLength: 6 });
const quoted = anyText(8).map((text) => `"${text.replaceAll(/["\\]/g, "\\$&")}"`);
const blank = fc.constantFrom("", " ", "\t", "  ");

// Forwarded

const nodeName = fc.oneof(token, fc.constantFrom('"[2001:db8::1]:4711"', "_hidden", "unknown"), quoted);
const protocol = fc.constantFrom("https", "http", '"https"', '"h\\ttps"', "HTTPS", "Http", '"http"', "wss", "httpsx");
const pair = fc.oneof(
  fc.tuple(fc.constantFrom("for", "by", "host", "For", "x-proto", ...INHERITED), nodeName),
  fc.tuple(fc.constantFrom("proto", "Proto", "PROTO"), protocol),
);
const element = fc
  .uniqueArray(pair, { maxLength: 4, selector: ([name]) => name.toLowerCase() })
  .chain((pairs) => fc.tuple(fc.constant(pairs), fc.constantFrom(";", "; ", " ;", ";;")));
const forwarded = fc.array(element, { minLength: 1, maxLength: 3 }).map((elements) => ({
  text: elements.map(([pairs, separator]) => pairs.map((p) => p.join("=")).join(separator)).join(", "),
  proto: elements[0]![0].find(([name]) => name.toLowerCase() === "proto")?.[1],
}));

// Caches

const member = fc.oneof(
  fc.constantFrom("Cookie", "cookie", "COOKIE", "*", "Accept", "Origin", "cookies", "x-cookie", ...INHERITED),
  token,
);
const vary = fc.tuple(fc.array(member, { maxLength: 4 }), blank).map(([members, space]) => members.join(`,${space}`));
const directive = fc.oneof(
  fc.constantFrom("private", "no-store", "public", "max-age=60", 'private="x-name"', "Private", "NO-STORE", "no-cache"),
  fc.tuple(token, quoted).map((p) => p.join("=")),
);
const cacheControl = fc.array(directive, { maxLength: 4 }).map((members) => members.join(", "));

// Origin

const HOSTS = [
  "own.example",
  "own.example:443",
  "own.example:80",
  "OWN.example",
  "own.example:8443",
  "[::1]",
  "[::1]:80",
];
const ORIGINS = HOSTS.flatMap((host) => [`https://${host}`, `http://${host}`]);

export const headerTargets = [
  target({
    name: "header list: members",
    inputs: fc.tuple(
      fc.array(
        fc.oneof(
          token,
          quoted,
          fc.tuple(token, quoted).map((p) => p.join("=")),
        ),
      ),
      blank,
      blank,
    ),
    check([members, before, after]) {
      for (const separator of [",", ";"] as const) {
        const text = members.map((each) => before + each + after).join(separator);
        assert.deepEqual(splitList(text, separator), members.length === 0 ? [""] : members);
      }
    },
  }),
  target({
    name: "header list: quoted strings",
    inputs: anyText(12),
    check(text) {
      assert.equal(unquote(`"${text.replaceAll(/["\\]/g, "\\$&")}"`), text);
      assert.equal(typeof unquote(text), "string");
      // Nothing is lost or made up between the separators.
      const found = splitList(text, ",");
      assert.equal(found.join("").replaceAll(/[\s,]/g, ""), text.replaceAll(/[\s,]/g, ""));
    },
  }),
  target({
    name: "Forwarded: the protocol",
    inputs: forwarded,
    check({ text, proto }) {
      const isHttps = proto !== undefined && unquote(proto).toLowerCase() === "https";
      for (const request of [nodeRequest({ forwarded: text }), fetchRequest({ forwarded: text })]) {
        assert.equal(isSecure(request, true), isHttps);
        assert.equal(isSecure(request, false), false);
      }
    },
  }),
  target({
    name: "Forwarded: hostile text",
    runs: 1500,
    inputs: fc.tuple(
      mutated(
        forwarded.map(({ text }) => text),
        ["proto=https", ";", ",", '"', "\\", "=", " ", "https", "for="],
      ),
      fc.option(mutated(fc.constantFrom("https", "http", "https,http", "http, https"), [",", " "]), { nil: null }),
    ),
    check([text, xProto]) {
      const proto = xProto ?? undefined;
      const headers = { forwarded: text, "x-forwarded-proto": proto };
      for (const request of [nodeRequest(headers), fetchRequest(headers)]) {
        assert.equal(typeof isSecure(request, true), "boolean");
        assert.equal(isSecure(request, false), false);
      }
      if (proto === undefined && isSecure(nodeRequest(headers), true)) {
        // A strict reader, who believes an element of pairs and of nothing else.
        assert.match(text, FORWARDED_ELEMENT);
        assert.match(FORWARDED_ELEMENT.exec(text)![0], /(?:^|[;\s])proto[\s]*=/i);
      }
    },
  }),
  target({
    name: "Vary and Cache-Control: told to caches",
    inputs: fc.record({ vary, cacheControl, cdn: fc.boolean() }),
    check(given) {
      const head = new Headers();
      if (given.vary !== "") head.set("vary", given.vary);
      if (given.cacheControl !== "") head.set("cache-control", given.cacheControl.replaceAll(/[^\t -~]/g, "_"));
      if (given.cdn) head.set("vendor-cdn-cache-control", "public, max-age=9");
      const before = splitAtCommas(head.get("vary"));

      cacheHeaders.varyBy(head);
      const after = splitAtCommas(head.get("vary"));
      assert.ok(after.includes("cookie") || after.includes("*"), String(head.get("vary")));
      for (const each of before) assert.ok(after.includes(each), `${each} was lost`);
      cacheHeaders.varyBy(head);
      assert.deepEqual(splitAtCommas(head.get("vary")), after, "said twice");

      const marked = new Headers(head);
      cacheHeaders.markPrivate(marked);
      assert.ok(marked.has("cache-control"));
      cacheHeaders.forbidSharing(head);
      const directives = splitList(head.get("cache-control")!.toLowerCase(), ",");
      assert.ok(directives.includes("private") || directives.includes("no-store"));
      cacheHeaders.forbidCaching(head);
      assert.equal(head.get("cache-control"), "no-store");
      if (given.cdn) assert.equal(head.get("vendor-cdn-cache-control"), "no-store");
    },
  }),
  target({
    name: "Vary and Cache-Control: hostile text",
    inputs: mutated(fc.oneof(vary, cacheControl), ['"', "\\", ",", "*", "cookie", "private", " "]),
    check(text) {
      const lines = new Map([
        ["vary", text],
        ["cache-control", text],
      ]);
      const head: cacheHeaders.ResponseHeaders = {
        get: (name) => lines.get(name.toLowerCase()),
        set: (name, value) => void lines.set(name.toLowerCase(), value),
        append: (name, value) => void lines.set(name.toLowerCase(), value),
        keys: () => lines.keys(),
      };
      cacheHeaders.varyBy(head);
      const after = splitAtCommas(lines.get("vary")!);
      assert.ok(after.includes("cookie") || after.includes("*"), lines.get("vary"));
      cacheHeaders.varyBy(head);
      assert.deepEqual(splitAtCommas(lines.get("vary")!), after, "said twice");
      cacheHeaders.forbidSharing(head);
      const directives = splitAtCommas(lines.get("cache-control")!);
      assert.ok(directives.includes("private") || directives.includes("no-store"), lines.get("cache-control"));
    },
  }),
  target({
    name: "Origin: hostile text",
    runs: 1500,
    inputs: fc.record({
      origin: mutated(fc.constantFrom(...ORIGINS, "null", "https://evil.example"), [
        "/",
        "@",
        "#",
        "?",
        ":",
        ".",
        "\\",
        "evil",
        " ",
      ]),
      host: fc.option(mutated(fc.constantFrom(...HOSTS), ["/", "@", "#", "?", ":", ".", "\\", "evil", " ", ","])),
      encrypted: fc.boolean(),
    }),
    check({ origin, host: given, encrypted }) {
      const host = given ?? undefined;
      for (const request of [nodeRequest({ origin, host }, encrypted), fetchRequest({ origin, host }, encrypted)]) {
        const error = thrownBy(() => checkOrigin(request, ["https://listed.example"], false));
        if (error !== undefined) {
          assert.ok(error instanceof SessionError && error.code === "ERR_SESSION_ORIGIN", inspect(error));
          continue;
        }
        // An origin as browsers write it, of the very host that the request was for.
        const written = /^(https?):\/\/([^/?#@\\\s]+)$/i.exec(origin);
        assert.ok(written, `believed: ${origin}`);
        const [, scheme = "", authority = ""] = written;
        assert.ok(!encrypted || scheme.toLowerCase() === "https");
        const port = scheme.toLowerCase() === "https" ? /:443$/ : /:80$/;
        const bare = (text: string) => text.toLowerCase().replace(port, "").replace(/:$/, "");
        assert.equal(bare(authority), bare(hostOf(request) ?? ""), `believed: ${origin}`);
      }
    },
  }),
  ...([",", ";"] as const).map((separator) =>
    growth(`header list: ${separator}`, ["a", '"', "\\", ",", ";", " ", '"\\', "\t"], (text) =>
      splitList(text, separator),
    ),
  ),
  growth("header list: unquoted", ["a", '"', "\\", " "], (text) => unquote(`"${text}"`)),
  growth("Forwarded", ["a", '"', "\\", ",", ";", " ", "=", "proto=", "for=x;", "https"], (text) =>
    isSecure(nodeRequest({ forwarded: text, "x-forwarded-proto": text }), true),
  ),
  growth("Vary", ["a", '"', "\\", ",", "cookie", " ", "*"], (text) => {
    const head = new Headers({ vary: text, "cache-control": text });
    cacheHeaders.forbidSharing(head);
    cacheHeaders.varyBy(head);
  }),
  growth("Origin", ["a", "/", ":", "@", ".", "[", "%", "https://"], (text) =>
    checkOrigin(nodeRequest({ origin: `https://${text}`, host: text }), [], false),
  ),
];

const PAIR = String.raw`[!#$%&'*+\-.^_\`|~\w]+[ \t]*=[ \t]*(?:[^\s",;\\]*|"(?:[^"\\]|\\[^])*")`;
const FORWARDED_ELEMENT = new RegExp(String.raw`^[ \t]*(?:${PAIR})?(?:[ \t]*;[ \t]*(?:${PAIR})?)*[ \t]*(?=,|$)`);

/** As caches read a list of header names. */
const splitAtCommas = (text: string | null): string[] =>
  (text ?? "").split(",").flatMap((each) => each.trim().toLowerCase() || []);
