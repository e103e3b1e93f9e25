import { describe, expect, it } from "vitest";
import { MAX_TIME } from "../duration.ts";
import { koaSession } from "./koa-session.ts";
import { hmac } from "./signatures.ts";

const KEY = "the former key";

describe("koaSession", () => {
  // koa-session adds its `maxAge` to the present time, whatever a date can hold.
  it.each([
    [1_800_000_000_000, 1_800_000_000_000],
    [Number.MAX_SAFE_INTEGER, MAX_TIME],
    [undefined, undefined],
  ])("reads a session whose _expire is %s", async (_expire, expiresAt) => {
    const value = Buffer.from(JSON.stringify({ passport: { user: "ada" }, _expire })).toString("base64");
    const signature = hmac("sha1", KEY, `koa.sess=${value}`).toString("base64url");
    const cookies: Record<string, string[]> = { "koa.sess": [value], "koa.sess.sig": [signature] };
    const { find, read } = koaSession({ keys: KEY });
    const [found] = find((name) => cookies[name] ?? []);
    expect(await read(found!)).toMatchObject({ userId: "ada", expiresAt });
  });

  it("reads a session of nobody where the application has set the user to null", async () => {
    const value = Buffer.from(JSON.stringify({ userId: null, cart: 1 })).toString("base64");
    const signature = hmac("sha1", KEY, `koa.sess=${value}`).toString("base64url");
    const cookies: Record<string, string[]> = { "koa.sess": [value], "koa.sess.sig": [signature] };
    const { find, read } = koaSession({ keys: KEY, userId: (data) => data["userId"] as string | null });
    const [found] = find((name) => cookies[name] ?? []);
    expect((await read(found!))?.userId).toBeUndefined();
  });
});
