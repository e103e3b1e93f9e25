import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import express from "express";
import expressSession from "express-session";
import type { Sessions } from "sojourn";
import type { CallbackStore } from "sojourn/adopt";
import { afterAll, beforeEach, describe, expect, it, vi } from "vitest";
import { document, filesOf, workshop } from "../support/http/blocks.ts";
import { ask } from "../support/http/client.ts";
import { originFor, SECRET_KEY } from "../support/http/servers.ts";

const page = document("docs/coming-from-express-session.md");
const OLD_SECRETS = ["the newer of the old secrets", "an older one"];

/** Sends a request as a browser with these cookies does, and changes them as the response says. */
async function visit(url: string, cookies: Map<string, string>, method = "GET") {
  const cookie = [...cookies].map((pair) => pair.join("=")).join("; ");
  const answer = await ask(url, cookies.size > 0 ? { method, cookie } : { method });
  for (const line of answer.setCookies) {
    const [, name, value, rest] = /^([^=]+)=([^;]*)(.*)$/.exec(line)!;
    if (/Max-Age=0|Expires=Thu, 01 Jan 1970/.test(rest!)) cookies.delete(name!);
    else cookies.set(name!, value!);
  }
  return answer;
}

const countOf = (store: expressSession.MemoryStore) =>
  new Promise((resolve) => store.length((_error, count) => resolve(count)));

describe("the move from express-session", () => {
  const place = workshop();
  afterAll(place.clear);
  const files = filesOf(page);
  const paths = Object.fromEntries(files.map(({ name, code }) => [name, place.file(name, code)]));
  beforeEach(() => {
    vi.stubEnv("SECRET_KEY", SECRET_KEY);
    const directory = mkdtempSync(join(tmpdir(), "sojourn-test-"));
    vi.stubEnv("TMPDIR", directory);
    return () => {
      vi.unstubAllEnvs();
      rmSync(directory, { recursive: true, force: true });
    };
  });

  /** An application as it was before, and as it is once it has moved. */
  async function move(secret: string | string[]) {
    const store = new expressSession.MemoryStore();
    const before = express().use(expressSession({ secret, store, resave: false, saveUninitialized: false }));
    before.post("/login", (req, res) => {
      Object.assign(req.session, { userId: "ada", cart: { items: ["tea"] }, secret: "not taken along" });
      res.send("");
    });
    type SessionsOf = (store: CallbackStore, secret: string[]) => Sessions;
    const { sessionsOf } = (await import(paths["sessions.ts"]!)) as { sessionsOf: SessionsOf };
    const { createApp } = (await import(paths["app.ts"]!)) as { createApp(sessions: Sessions): express.Express };
    const sessions = sessionsOf(store, OLD_SECRETS);
    const [oldOrigin, origin] = [await originFor(before), await originFor(createApp(sessions))];
    const cookies = new Map<string, string>();
    await visit(`${oldOrigin}/login`, cookies, "POST");
    return { store, origin, cookies };
  }
  const ADA = { userId: "ada", items: ["tea"] };
  const VISITOR = { items: [] };

  it.each([
    ["the current secret", OLD_SECRETS[0]!],
    ["a previous secret", OLD_SECRETS[1]!],
  ])("keeps a user signed in, with the data, whose cookie was signed with %s", async (_which, secret) => {
    const { origin, cookies } = await move(secret);
    for (let i = 0; i < 2; i++) {
      expect(JSON.parse((await visit(origin, cookies)).body)).toEqual(ADA);
      expect([...cookies.keys()]).toEqual(["session"]);
    }
  });

  it("ends the old session at the sign-out, and accepts no copy of the old cookie then", async () => {
    const { origin, cookies, store } = await move(OLD_SECRETS);
    const copy = new Map(cookies);
    await visit(origin, cookies);
    expect(await countOf(store)).toBe(1);
    expect((await visit(`${origin}/logout`, cookies, "POST")).status).toBe(303);
    expect(await countOf(store)).toBe(0);
    expect(JSON.parse((await visit(origin, cookies)).body)).toEqual(VISITOR);
    expect(JSON.parse((await visit(origin, copy)).body)).toEqual(VISITOR);
  });

  it("accepts no cookie that none of the old secrets has signed", async () => {
    const { origin, cookies, store } = await move("somebody else's secret");
    expect(JSON.parse((await visit(origin, cookies)).body)).toEqual(VISITOR);
    expect(await countOf(store)).toBe(1);
  });

  it("has types that are right", async () => {
    const names = files.map(({ name }) => name);
    expect(await place.typeErrors([], names)).toBe("");
  });
});

describe("the page on express-session", () => {
  it("names each member of its session and each method of its store", () => {
    const { Session, Store, Cookie } = expressSession as unknown as Record<string, { prototype: object }>;
    const members = Object.getOwnPropertyNames(Session!.prototype)
      .concat(Object.getOwnPropertyNames(Cookie!.prototype))
      .concat(["get", "set", "touch", "destroy", "all", "length", "clear", "sessionID", "sessionStore"]);
    const internal = new Set(["constructor", "_expires", "data", "serialize", "toJSON"]);
    expect(Store).toBeDefined();
    expect(members.filter((name) => !internal.has(name) && !new RegExp(`\\b${name}\\b`).test(page))).toEqual([]);
  });

  it("names each option that express-session reads", () => {
    const options = ["cookie", "genid", "name", "proxy", "resave", "rolling", "saveUninitialized", "secret", "store"];
    const ofCookie = [
      "domain",
      "encode",
      "expires",
      "httpOnly",
      "maxAge",
      "partitioned",
      "path",
      "priority",
      "sameSite",
    ];
    const all = [...options, "unset", ...ofCookie.map((name) => `cookie.${name}`)];
    expect(all.filter((name) => !page.includes(`\`${name}`))).toEqual([]);
  });
});
