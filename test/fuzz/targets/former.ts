import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import * as fc from "fast-check";
import type { FormerSessions } from "../../../src/former.ts";
import { cookieSession, expressSession, fastifySession, ironSession, koaSession } from "../../../src/interop/adopt.ts";
import { anyText, INHERITED, mutated } from "../mutations.ts";
import { target } from "../target.ts";

const SECRET = "an old secret of the former application, 1";
const store = { get: () => undefined };

const base64 = (text: string) => createHmac("sha256", SECRET).update(text).digest("base64").replace(/=+$/, "");
const keygrip = (text: string) => createHmac("sha1", SECRET).update(text).digest("base64url");
const DATA = Buffer.from('{"userId":"ada"}').toString("base64");
/** Made with iron-session 9.0.1. */
const SEAL =
  "Fe26.2*1*b0a3d5d4cf0d62e45ffdef5fdecc19a54e1b517ee5d58db06d4265ee05df7026*DLQ39TNM4mxPLfGV2UgNQA*7yCNEJkJLTdDwZoIKHeXFjRQ1j-npzgZnn3GaJGULRI*1795711825436*0a4e2ad6eeb8e9b728a09f5cc1bc353c9435fc9065934393368b15121043cda2*Ceu0FLczWDwbQpcnydLy2LU1cLTtt2lhB4NJTgho1HQ~2";

interface Former {
  readonly source: FormerSessions;
  /** The values of an authentic session, by the names of their cookies. */
  readonly cookies: Readonly<Record<string, string>>;
}

const FORMER: readonly Former[] = [
  {
    source: expressSession({ secret: SECRET, store }),
    cookies: { "connect.sid": encodeURIComponent(`s:an-id.${base64("an-id")}`) },
  },
  {
    source: fastifySession({ secret: SECRET, store }),
    cookies: { sessionId: encodeURIComponent(`an-id.${base64("an-id")}`) },
  },
  {
    source: cookieSession({ keys: [SECRET] }),
    cookies: { session: DATA, "session.sig": keygrip(`session=${DATA}`) },
  },
  {
    source: koaSession({ keys: [SECRET] }),
    cookies: { "koa.sess": DATA, "koa.sess.sig": keygrip(`koa.sess=${DATA}`) },
  },
  {
    source: ironSession({
      password: "an old password of thirty-two characters",
      cookieName: "app",
      clock: () => 1_795_711_000_000,
    }),
    cookies: { app: SEAL },
  },
];
const keysOf = (source: FormerSessions, cookies: Readonly<Record<string, readonly string[]>>) =>
  source.find((name) => (Object.hasOwn(cookies, name) ? cookies[name]! : [])).map(({ key }) => key);
const AUTHENTIC = FORMER.map(({ source, cookies }) =>
  keysOf(source, Object.fromEntries(Object.entries(cookies).map(([name, value]) => [name, [value]]))),
);

const samples = fc.constantFrom(...FORMER.flatMap(({ cookies }) => Object.values(cookies)));
const value = fc.oneof(
  mutated(samples, [...INHERITED, "*", ".", "%", "%2", "%00", "~", "=", "s:"]),
  samples,
  anyText(30),
);

export const formerTargets = [
  target({
    name: "former cookies: find",
    runs: 1500,
    inputs: fc.record({
      which: fc.nat(FORMER.length - 1),
      values: fc.array(fc.array(value, { maxLength: 6 }), { maxLength: 2 }),
    }),
    check({ which, values }) {
      const { source, cookies } = FORMER[which]!;
      assert.equal(AUTHENTIC[which]!.length, 1);
      const names = Object.keys(cookies);
      const given = Object.fromEntries(names.map((name, i) => [name, values[i] ?? []]));
      for (const key of keysOf(source, given)) assert.equal(key, AUTHENTIC[which]![0]);
    },
  }),
];
