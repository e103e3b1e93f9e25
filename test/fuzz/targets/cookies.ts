import assert from "node:assert/strict";
import * as fc from "fast-check";
import { createCookie } from "../../../src/request/cookie.ts";
import { TOKEN_LENGTH, verifyToken } from "../../../src/record/token.ts";
import { growth } from "../growth.ts";
import { anyText, INHERITED, mutated } from "../mutations.ts";
import { target } from "../target.ts";
import { AUTHENTIC, FOREIGN, KEYRING } from "./tokens.ts";

const DAY = 86_400_000;
const COOKIES = [
  { cookie: createCookie({}, DAY), nameOf: (secure: boolean) => (secure ? "__Host-session" : "session") },
  {
    cookie: createCookie({ name: "a.b", path: "/x" }, DAY),
    nameOf: (secure: boolean) => (secure ? "__Secure-a.b" : "a.b"),
  },
  { cookie: createCookie({ name: "__Host-s", secure: true }, DAY), nameOf: () => "__Host-s" },
];
const NAMES = [
  "session",
  "__Host-session",
  "__Secure-a.b",
  "a.b",
  "__Host-s",
  "aXb",
  "Session",
  "sessions",
  "__host-session",
];
const MOST = 16;

const name = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom(...NAMES) },
  fc.constantFrom(...INHERITED, "$Version", "session ", "session\t", '"session"', ""),
  anyText(),
);
const value = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom(...AUTHENTIC.keys(), ...FOREIGN) },
  fc.nat(30).map((n) => String.fromCharCode(65 + n).repeat(TOKEN_LENGTH)),
  fc.constantFrom(
    ...[...AUTHENTIC.keys()].flatMap((token) => [`"${token}"`, ` ${token}`, `${token} `, `${token}\u00a0`]),
  ),
  anyText(20),
);
const pair = fc.tuple(name, fc.constantFrom("=", "=", "=", " =", "= ", "", "==", "%3D"), value).map((p) => p.join(""));
const header = fc
  .array(fc.tuple(pair, fc.constantFrom("; ", ";", ";\t", ",", ";; ", " ; ", ";\u00a0")), { maxLength: 24 })
  .map((pairs) => pairs.flat().join(""));

export const cookieTargets = [
  target({
    name: "cookie: values",
    runs: 1500,
    inputs: fc.record({
      header: mutated(header, [...NAMES, ...INHERITED, ";", "=", '"', " ", "\t"]),
      secure: fc.boolean(),
      which: fc.nat(COOKIES.length - 1),
    }),
    check(input) {
      const { cookie, nameOf } = COOKIES[input.which]!;
      const found = cookie.values(input.header, input.secure);
      assert.deepEqual(found, expected(input.header, nameOf(input.secure)));
      for (const spelling of found) {
        const token = verifyToken(KEYRING, spelling);
        assert.deepEqual(token?.token, AUTHENTIC.get(spelling));
      }
    },
  }),
  growth(
    "cookie: values",
    ["session=", "a", ";", " ", "\t", "=", "x=1; ", "session=1;", "\u00a0", "__proto__="],
    (text) => COOKIES[0]!.cookie.values(text, false),
  ),
  growth(
    "cookie: many values of a token's length",
    ["a", "1", "session=", ";"],
    (text) => COOKIES[0]!.cookie.values(text, false),
    // Each is another one.
    (text) => Array.from(text, (_, i) => `session=${String(i).padStart(TOKEN_LENGTH, "x")}`).join(";"),
  ),
];

/** Cookies as the documentation says, without regard to speed. */
function expected(text: string, wanted: string): string[] {
  const all = text
    .split(";")
    .map((part) => part.replace(/^[ \t]+/, ""))
    .filter((part) => part.startsWith(`${wanted}=`))
    .map((part) => part.slice(wanted.length + 1));
  const values: string[] = [];
  for (const candidate of all) {
    if (values.filter(({ length }) => length === TOKEN_LENGTH).length === MOST) break;
    if (!values.includes(candidate)) values.push(candidate);
  }
  return values;
}
