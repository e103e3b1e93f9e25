import { describe, expect, it } from "vitest";
import { serve, ways } from "../support/http/servers.ts";

const HOUR = 3_600_000;

describe.each(ways)("sojourn for $name", (way) => {
  it("reads once for a session that is only read, and touches once an interval", async () => {
    const { signedIn, calls, clock } = await serve(way);
    const client = await signedIn();
    for (let n = 0; n < 5; n += 1) expect((await client.get("/")).setCookies).toEqual([]);
    expect(calls).toMatchObject({ read: 5, touch: 0, update: 0 });
    clock.ahead = HOUR;
    for (let n = 0; n < 5; n += 1) expect((await client.get("/")).setCookies).toEqual([]);
    expect(calls).toMatchObject({ read: 10, touch: 1, update: 0 });
  });

  it("names the missing call if a lazy route uses the session before loading it", async () => {
    const { signedIn, visitor, seen } = await serve(way, { lazy: true, ownErrors: true });
    const client = await signedIn();
    expect(await client.get("/")).toMatchObject({ status: 500, setCookies: [] });
    expect(seen).toEqual([expect.any(TypeError)]);
    expect((seen[0] as Error).message).toContain("await session.load() first");
    expect(await visitor().get("/")).toMatchObject({ status: 200, body: "anonymous" });
  });
});
