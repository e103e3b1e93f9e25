import { createSessions } from "sojourn";
import { cookieStore } from "sojourn/cookie";
import { memoryStore } from "sojourn/memory";
import { describe, expect, it } from "vitest";
import { Client } from "../support/http/client.ts";
import { originOf, SECRET_KEY, ways, type Way } from "../support/http/servers.ts";
import { createStage } from "../support/http/stage.ts";

const SIX_KB = "x".repeat(6000);

/** About as many bytes as those of a browser and a proxy. */
const USUAL_HEADERS = { "user-agent": "u".repeat(200), accept: "a".repeat(150), "x-forwarded-for": "f".repeat(650) };

async function serve(way: Way, { revocations = false, maxBytes = 8192 } = {}) {
  const store = cookieStore({ maxBytes, ...(revocations && { revocations: memoryStore() }) });
  const sessions = createSessions({ secretKey: SECRET_KEY, store });
  const stage = createStage();
  const server = await way.start({ sessions, stage, lazy: false, personal: false, trustProxy: false });
  return { client: new Client(originOf(server)), stage };
}

describe.each(ways)("sojourn for $name with its sessions in cookies", (way) => {
  it("keeps 6 KB over several cookies, and refuses 12 KB with 413 before anything is sent", async () => {
    const { client } = await serve(way);
    const { setCookies, headers } = await client.get(`/add?k=one&v=${SIX_KB}`);
    expect(setCookies.map((line) => line.split("=", 1)[0])).toEqual(["session", "session.1", "session.2"]);
    expect(setCookies.every((line) => line.length <= 4096)).toBe(true);
    expect(headers["cache-control"]).toMatch(/private|no-store/);
    expect(await client.data()).toEqual({ one: SIX_KB });

    const refused = await client.get(`/add?k=two&v=${SIX_KB}`);
    expect(refused.status).toBe(413);
    expect(refused.setCookies).toEqual([]);
    expect(refused.body).not.toContain("added");
    expect(await client.data()).toEqual({ one: SIX_KB });
  });

  it("keeps the largest session that can be configured within the 16 KB of headers that Node accepts", async () => {
    const { client } = await serve(way, { maxBytes: 10_240 });
    const large = "x".repeat(10_100);
    const { setCookies } = await client.get(`/add?k=one&v=${large}`);
    expect(setCookies).toHaveLength(4);
    const { status, body } = await client.get("/data", { headers: USUAL_HEADERS });
    expect(status).toBe(200);
    expect(Object.fromEntries(JSON.parse(body) as [string, unknown][])).toEqual({ one: large });
    await client.get("/logout", { headers: USUAL_HEADERS });
    expect(client.cookie).toBeUndefined();
  });

  it("signs in with a redirect, and clears every piece at the sign-out", async () => {
    const { client } = await serve(way);
    await client.get(`/add?k=one&v=${SIX_KB}`);
    expect((await client.post("/login?username=ada")).status).toBe(303);
    expect((await client.get("/")).body).toBe("signed in as ada");
    const thief = client.twin();
    await client.get("/logout");
    expect(client.cookie).toBeUndefined();
    expect((await client.get("/")).body).toBe("anonymous");
    expect((await thief.get("/")).body).toBe("signed in as ada");
  });

  it("ends a copied cookie with the sign-out where it has revocations, and what was under way", async () => {
    const { client, stage } = await serve(way, { revocations: true });
    await client.post("/login?username=ada");
    const [thief, tab] = [client.twin(), client.twin()];
    const writing = tab.get("/slow?gate=late");
    await stage.gate("late").reached;
    await client.get("/logout");
    stage.gate("late").open();
    const late = await writing;
    expect(late.status).toBe(200);
    expect(late.setCookies).toEqual([]);
    expect((await thief.get("/")).body).toBe("anonymous");
  });

  it("breaks a streamed response off that changes its session after the headers", async () => {
    const { client } = await serve(way);
    await client.get("/add?k=one&v=1");
    // Some hang up before the headers are out.
    const isComplete = await client.get("/stream").then(
      ({ complete }) => complete,
      () => false,
    );
    expect(isComplete).toBe(false);
    expect((await client.data())["one"]).toBe("1");
  });

  it("sends no cookie with a request that only reads", async () => {
    const { client } = await serve(way);
    await client.post("/login?username=ada");
    for (const path of ["/", "/untouched", "/data"]) expect((await client.get(path)).setCookies).toEqual([]);
  });
});
