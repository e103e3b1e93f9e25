import { describe, expect, it } from "vitest";
import type { Client } from "../support/http/client.ts";
import { combinations, serve, ways } from "../support/http/servers.ts";

const range = (count: number): number[] => Array.from({ length: count }, (_, n) => n);
const HOUR = 3_600_000;

describe.each(combinations)("sojourn for $way.name with $store", ({ way, store }) => {
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

  it("stores names and values that other libraries fail on", async () => {
    const { signedIn } = await serve(way, { store });
    const hard = ["<script>", "__proto__", "constructor", "toString", "a.b[0]", "", "\u0000", "\u2028", "😀", "id"];
    const client = await signedIn(hard[0]);
    for (const one of hard) await client.get(`/add?${new URLSearchParams({ k: one, v: `${one}="'` }).toString()}`);
    const entries = JSON.parse((await client.get("/data")).body) as [string, string][];
    expect(entries.slice(1)).toEqual(hard.map((one) => [one, `${one}="'`]));
    expect(entries[0]).toEqual(["username", "<script>"]);
  });
});

describe.each(ways)("sojourn for $name", (way) => {
  it("stores changes that are saved after the headers of a streamed response", async () => {
    const { signedIn } = await serve(way);
    const client = await signedIn();
    expect(await client.get("/stream")).toMatchObject({ status: 200, body: "begun\ndone\n", complete: true });
    expect(await client.data()).toMatchObject({ before: 1, after: 1 });
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
