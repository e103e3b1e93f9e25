import { request, type IncomingMessage } from "node:http";
import { afterEach, describe, expect, it, vi } from "vitest";
import { createGate } from "../support/http/stage.ts";
import { serve, ways } from "../support/http/servers.ts";

// A client takes a response for complete when the declared number of bytes has come.

afterEach(() => void vi.restoreAllMocks());

/** A response, and its body as far as it has come. */
async function begin(url: string, cookie: string) {
  const response = await new Promise<IncomingMessage>((resolve, reject) =>
    request(url, { headers: { cookie }, agent: false }, resolve).on("error", reject).end(),
  );
  let body = "";
  let update = () => {};
  response.setEncoding("latin1").on("error", () => undefined);
  response.on("data", (chunk: string) => {
    body += chunk;
    update();
  });
  const closed = new Promise((resolve) => response.on("close", resolve));
  return {
    closed,
    get body() {
      return body;
    },
    hasCome: (expected: string) =>
      new Promise<void>((resolve) => {
        update = () => {
          if (body === expected) resolve();
        };
        update();
      }),
    get isComplete() {
      return response.complete;
    },
  };
}

describe.each(ways)("sojourn for $name and a streamed body with a Content-Length", (way) => {
  it("keeps the last byte back until the changes that came with the body are stored", async () => {
    const scene = await serve(way);
    const client = await scene.signedIn();
    const response = await begin(`${scene.origin}/declared`, client.cookie!);
    const second = (scene.holds.update = createGate());
    scene.stage.gate("declared").open();
    await response.hasCome("begun\ndone");
    await second.reached;
    // Whatever was sent before this answer has arrived.
    await scene.visitor().get("/untouched");
    expect(response.body).toBe("begun\ndone");
    second.open();
    await response.closed;
    expect(response.body).toBe("begun\ndone\n");
    expect(await client.data()).toMatchObject({ before: 1, after: 1, last: 1 });
  });

  it("does not let it look complete where they can't be stored", async () => {
    vi.spyOn(console, "error").mockReturnValue();
    const scene = await serve(way);
    const client = await scene.signedIn();
    const response = await begin(`${scene.origin}/declared`, client.cookie!);
    scene.faults.update = "error";
    scene.stage.gate("declared").open();
    await response.closed;
    expect(response.isComplete).toBe(false);
    expect("begun\ndone".startsWith(response.body)).toBe(true);
  });

  it("sends it to a visitor whose session nobody uses, and answers HEAD", async () => {
    const scene = await serve(way);
    expect(await scene.visitor().get("/declared-unused")).toMatchObject({ complete: true, body: "begun\ndone\n" });
    const client = await scene.signedIn();
    scene.stage.gate("declared").open();
    expect((await client.get("/declared", { method: "HEAD" })).body).toBe("");
  });
});
