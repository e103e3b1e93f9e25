import { describe, expect, it } from "vitest";
import type { Client } from "../support/http/client.ts";
import { combinations, serve, ways } from "../support/http/servers.ts";

const range = (count: number): number[] => Array.from({ length: count }, (_, n) => n);
const HOUR = 3_600_000;

describe.each(combinations)("sojourn for $way.name with $store", ({ way, store }) => {
  it("signs in, shows, signs out, and sets a cookie only at sign-in and sign-out", async () => {
    const { visitor } = await serve(way, { store });
    const client = visitor();
    expect(await client.get("/")).toMatchObject({ status: 200, body: "anonymous", setCookies: [] });

    const signedIn = await client.post("/login?username=ada");
    expect(signedIn).toMatchObject({ status: 303, setCookies: [expect.stringMatching(/^session=1[\w-]{80};/)] });
    expect(new URL(signedIn.headers.location!, "http://localhost").pathname).toBe("/");
    const thief = client.twin();
    expect(await client.get("/")).toMatchObject({ body: "signed in as ada", setCookies: [] });

    const signedOut = await client.get("/logout");
    expect(signedOut.setCookies).toEqual([expect.stringMatching(/^session=; Max-Age=0;/)]);
    expect(await thief.get("/")).toMatchObject({ body: "anonymous", setCookies: [] });
  });

  it("loses none of 200 keys added and 200 steps counted in parallel", async () => {
    const { signedIn } = await serve(way, { store });
    const client = await signedIn();
    const answers = await Promise.all(range(200).flatMap((n) => [client.get(`/add?k=key${n}`), client.get("/count")]));
    expect(answers.filter(({ status }) => status !== 200)).toEqual([]);
    const { username, count, ...added } = await client.data();
    expect({ username, count }).toEqual({ username: "ada", count: 200 });
    expect(Object.keys(added).toSorted()).toEqual(
      range(200)
        .map((n) => `key${n}`)
        .toSorted(),
    );
  });

  it("drops the changes of a slow request after the session was signed out, and does not set the cookie", async () => {
    const { signedIn, stage, dropped } = await serve(way, { store });
    const client = await signedIn();
    const thief = client.twin();
    const slow = thief.get("/slow?gate=a");
    await stage.gate("a").reached;
    await client.get("/logout");
    stage.gate("a").open();
    expect(await slow).toMatchObject({ status: 200, body: "slow", setCookies: [] });
    expect(dropped).toMatchObject([{ userId: "ada", reason: "ended" }]);
    expect(await thief.get("/")).toMatchObject({ body: "anonymous", setCookies: [] });
  });

  it("does not extend a session that was signed out while a slow request only read it", async () => {
    const { signedIn, stage, clock, calls } = await serve(way, { store });
    const client = await signedIn();
    const thief = client.twin();
    clock.ahead = HOUR;
    const slow = thief.get("/slowread?gate=a");
    await stage.gate("a").reached;
    await client.get("/logout");
    stage.gate("a").open();
    expect(await slow).toMatchObject({ status: 200, body: "ada reads late", setCookies: [] });
    expect(calls.touch).toBe(1);
    expect(await thief.get("/")).toMatchObject({ body: "anonymous", setCookies: [] });
  });

  it("refuses the changes of a slow request to a session that was signed in to meanwhile", async () => {
    const { visitor, stage } = await serve(way, { store });
    const client = visitor();
    await client.get("/add?k=planted");
    const planter = client.twin();
    const slow = planter.get("/slow?gate=a");
    await stage.gate("a").reached;
    await client.post("/login");
    stage.gate("a").open();
    expect(await slow).toMatchObject({ status: 409, setCookies: [], headers: { "cache-control": "no-store" } });
    expect(await client.data()).toEqual({ planted: "1", username: "ada" });
    expect(await planter.get("/")).toMatchObject({ body: "anonymous", setCookies: [] });
  });

  it("stores names and values that other libraries fail on", async () => {
    const { signedIn } = await serve(way, { store });
    const hard = ["<script>", "__proto__", "constructor", "toString", "a.b[0]", "", "\u0000", "\u2028", "😀", "id"];
    const client = await signedIn(hard[0]);
    for (const one of hard) await client.get(`/add?${new URLSearchParams({ k: one, v: `${one}="'` }).toString()}`);
    const entries = JSON.parse((await client.get("/data")).body) as [string, string][];
    expect(entries.slice(1)).toEqual(hard.map((one) => [one, `${one}="'`]));
    expect(entries[0]).toEqual(["username", "<script>"]);
  });

  it("stores nothing and answers 500 where a value can't be kept, and 413 where it is too large", async () => {
    const { signedIn, visitor, calls } = await serve(way, { store, ownErrors: true });
    const client = await signedIn();
    const before = await client.data();
    const { update } = calls;
    for (const [path, status] of [
      ["/bad-value", 500],
      ["/big", 413],
    ] as const) {
      for (const one of [client, visitor()]) {
        const answer = await one.get(path);
        expect(answer).toMatchObject({ status, setCookies: [], complete: true });
        expect(answer.body).not.toContain("must not be seen");
      }
    }
    expect(calls).toMatchObject({ create: 1, update });
    expect(await client.data()).toEqual(before);
  });
});

describe.each(ways)("sojourn for $name", (way) => {
  it("keeps the application's own cookies", async () => {
    const { visitor } = await serve(way);
    const { setCookies } = await visitor().get("/two-cookies");
    expect(setCookies).toEqual(["theme=dark; Path=/", "lang=eo; Path=/", expect.stringMatching(/^session=1/)]);
  });

  it("stores changes that are saved after the headers of a streamed response", async () => {
    const { signedIn } = await serve(way);
    const client = await signedIn();
    expect(await client.get("/stream")).toMatchObject({ status: 200, body: "begun\ndone\n", complete: true });
    expect(await client.data()).toMatchObject({ before: 1, after: 1 });
  });

  it("refuses to sign in after the headers were sent", async () => {
    const { visitor } = await serve(way);
    const answer = await visitor().get("/late-signin");
    expect(answer).toMatchObject({ body: "begun\nERR_SESSION_HEADERS_SENT", setCookies: [] });
  });

  it("stores a change that is made while the body is streamed, before its last byte", async () => {
    const { signedIn } = await serve(way);
    const client = await signedIn();
    expect(await isWhole(client, "/stream-unsaved")).toBe(true);
    expect(await client.data()).toHaveProperty("after");
  });

  it("cuts off a streamed response whose last change can't be stored", async () => {
    const { visitor } = await serve(way);
    expect(await isWhole(visitor(), "/stream-unsaved")).toBe(false);
  });

  it("stores changes that are made while the response is delayed, or aborts the response", async () => {
    const { signedIn } = await serve(way);
    const client = await signedIn();
    const whole = await isWhole(client, "/held-unsaved");
    expect("after" in (await client.data())).toBe(whole);
  });
});

async function isWhole(client: Client, path: string): Promise<boolean> {
  const answer = await client.get(path).catch(() => undefined);
  return answer?.complete === true && answer.status === 200;
}
