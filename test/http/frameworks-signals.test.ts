import type { ServerResponse } from "node:http";
import { createSessions } from "sojourn";
import { describe, expect, it } from "vitest";
import { Client, raw } from "../support/http/client.ts";
import { originOf, SECRET_KEY, ways, type Way } from "../support/http/servers.ts";
import { createStage } from "../support/http/stage.ts";
import { watchable } from "../support/watchable.ts";

async function serve(way: Way) {
  const { store, ...watch } = watchable();
  const sessions = createSessions({ secretKey: SECRET_KEY, store });
  const stage = createStage();
  const server = await way.start({ sessions, stage, lazy: false, personal: false, trustProxy: false });
  const closed = (path: string) =>
    new Promise<void>((resolve) => {
      server.on("request", (req: { url: string }, res: ServerResponse) => {
        if (req.url === path) res.on("close", resolve);
      });
    });
  const origin = originOf(server);
  const client = new Client(origin);
  await client.post("/login");
  return { sessions, stage, client, closed, port: Number(new URL(origin).port), ...watch };
}

describe.each(ways)("session.signal under $name", (way) => {
  // The response has closed already, so no event will follow.
  it("is not watched if the client had disconnected before", async () => {
    const { client, stage, closed, watching } = await serve(way);
    const path = "/late-signal?gate=a&then=b";
    const isClosed = closed(path);
    const controller = new AbortController();
    const asking = client.get(path, { signal: controller.signal });
    await stage.gate("a").reached;
    controller.abort();
    await expect(asking).rejects.toThrow(/abort/i);
    await isClosed;
    stage.gate("a").open();
    await stage.gate("b").reached;
    expect(watching()).toBe(false);
    stage.gate("b").open();
  });

  it("notifies a stream of the session's end, and is released then", async () => {
    const { client, sessions, port, watching, unwatched } = await serve(way);
    const asking = `GET /signal-stream HTTP/1.1\r\nHost: localhost\r\nCookie: ${client.cookie}\r\nConnection: close\r\n\r\n`;
    const answer = await raw(port, asking, (received) => {
      if (received.endsWith("begun\n\r\n")) {
        expect(watching()).toBe(true);
        void sessions.revokeAll("ada");
      }
      return false;
    });
    expect(answer).toContain("ended");
    await unwatched();
    expect(watching()).toBe(false);
  });

  it("is released if the client disconnects in the middle of a stream", async () => {
    const { client, port, watching, unwatched } = await serve(way);
    const asking = `GET /signal-stream HTTP/1.1\r\nHost: localhost\r\nCookie: ${client.cookie}\r\nConnection: close\r\n\r\n`;
    await raw(port, asking, (received) => received.includes("begun"));
    await unwatched();
    expect(watching()).toBe(false);
  });
});
