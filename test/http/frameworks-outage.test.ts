import { inspect } from "node:util";
import { SessionError } from "sojourn";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { jumpingClock } from "../support/clock.ts";
import type { Client } from "../support/http/client.ts";
import { createGate } from "../support/http/stage.ts";
import { serve, unhandled, ways, type Operation, type Scene, type Way } from "../support/http/servers.ts";

const PATIENCE = { storeTimeout: "1s" } as const;
const HOUR = 3_600_000;

// Frameworks write errors to the console. These tests do not check that.
beforeEach(() => void vi.spyOn(console, "error").mockReturnValue());
afterEach(() => {
  vi.restoreAllMocks();
  vi.unstubAllEnvs();
  if (unhandled.length > 0) throw new AggregateError(unhandled, "nobody took these errors");
});

/** The action that makes a request call each of the store's operations. */
const needing: readonly (readonly [Operation, path: string])[] = [
  ["read", "/"],
  ["create", "/add?k=a"],
  ["update", "/add?k=a"],
  ["update", "/redirect?step=1"],
  ["update", "/two-cookies"],
  ["delete", "/logout"],
];

async function clientFor(operation: Operation, { signedIn, visitor }: Scene): Promise<Client> {
  return operation === "create" ? visitor() : signedIn();
}

describe.each(ways)("sojourn for $name when the store is out of order", (way: Way) => {
  beforeEach(jumpingClock);

  it.each(needing)("answers 503 in time if %s hangs at %s, and recovers", async (operation, path) => {
    const scene = await serve(way, { options: PATIENCE });
    const client = await clientFor(operation, scene);
    const { cookie } = client;
    scene.faults[operation] = "hang";
    const answer = await client.get(path);
    expect(answer).toMatchObject({ status: 503, complete: true, headers: { "cache-control": "no-store" } });
    expect(answer.headers.vary).toMatch(/cookie/i);
    expect(answer.setCookies.filter((line) => line.startsWith("session="))).toEqual([]);
    expect(answer.body).not.toMatch(/added|two cookies|begun/);

    scene.faults[operation] = "ok";
    expect(client.cookie?.split("; ")[0]).toBe(cookie);
    expect((await client.get("/")).body).toBe(operation === "create" ? "anonymous" : "signed in as ada");
    expect((await client.get(path)).status).toBeLessThan(400);
  });

  it.each([needing[0]!, needing[2]!])("writes the cause to the console (%s)", async (operation, path) => {
    // Express writes no errors to the console in tests.
    vi.stubEnv("NODE_ENV", "production");
    const scene = await serve(way, { options: PATIENCE });
    const client = await clientFor(operation, scene);
    scene.faults[operation] = "error";
    await client.get(path);
    await vi.waitFor(() => {
      const shown = vi
        .mocked(console.error)
        .mock.calls.flat()
        .map((part) => inspect(part));
      expect(shown.join("\n")).toMatch(/The session store failed to \w+ a session: .*planned/);
    });
  });

  // If the session could not be read, and with fetch always, the creator of the response sets its headers.
  for (const [operation, path] of [needing[0]!, needing[2]!]) {
    const outage = async (): Promise<{ scene: Scene; answer: Awaited<ReturnType<Client["get"]>> }> => {
      const scene = await serve(way, { options: PATIENCE, ownErrors: true });
      const client = await clientFor(operation, scene);
      scene.faults[operation] = new Error("connection refused");
      return { scene, answer: await client.get(path) };
    };

    it(`tells the application's error handler, once, of a failing ${operation}`, async () => {
      const { scene, answer } = await outage();
      expect(answer).toMatchObject({ status: 503, body: "ERR_SESSION_STORE", headers: { "x-error-handler": "1" } });
      expect(scene.seen).toEqual([expect.any(SessionError)]);
      expect(scene.seen[0]).toMatchObject({
        code: "ERR_SESSION_STORE",
        status: 503,
        statusCode: 503,
        expose: false,
        cause: { message: "connection refused" },
      });
    });

    it(`keeps its answer to a failing ${operation} out of caches`, async () => {
      const { answer } = await outage();
      expect(answer.headers["cache-control"]).toBe("no-store");
    });
  }

  it.each(["error", "hang"] as const)("goes on where only extending fails (%s), and says so", async (fault) => {
    const { signedIn, faults, clock, sessions, calls } = await serve(way, { options: PATIENCE });
    const client = await signedIn();
    const errors: unknown[] = [];
    sessions.on("error", ({ error }) => errors.push(error));
    clock.ahead = HOUR;
    faults.touch = fault;
    expect(await client.get("/")).toMatchObject({ status: 200, body: "signed in as ada", setCookies: [] });
    expect(errors).toEqual([expect.objectContaining({ code: "ERR_SESSION_STORE" })]);
    faults.touch = "ok";
    await client.get("/");
    await client.get("/");
    expect(calls.touch).toBe(2);
  });

  it("serves visitors, and routes that never read the session, whatever the store does", async () => {
    const { visitor, faults } = await serve(way, { options: PATIENCE });
    for (const operation of ["read", "create", "update", "touch", "delete"] as const) faults[operation] = "hang";
    expect(await visitor().get("/")).toMatchObject({ status: 200, body: "anonymous", setCookies: [] });
    expect(await visitor().get("/logout")).toMatchObject({ status: 303, setCookies: [] });
  });

  it.each(["error", "hang"] as const)("never lets a stream begin that can't be stored (%s)", async (fault) => {
    const { signedIn, faults } = await serve(way, { options: PATIENCE });
    const client = await signedIn();
    faults.update = fault;
    // Saving fails twice. At the second failure the framework closes the connection.
    const answer = await client.get("/stream", { headers: { connection: "close" } }).catch(() => undefined);
    expect(answer?.status ?? 503).toBe(503);
    expect(answer?.body ?? "").not.toContain("begun");
    expect(await client.get("/")).toMatchObject({ status: 200, body: "signed in as ada" });
  });

  it("limits the wait of many requests for the same session", async () => {
    const { signedIn, faults } = await serve(way, { options: PATIENCE });
    const client = await signedIn();
    faults.update = "hang";
    const answers = await Promise.all(Array.from({ length: 30 }, (_, n) => client.get(`/add?k=key${n}`)));
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([503]));
    faults.update = "ok";
    expect(await client.data()).toEqual({ username: "ada" });
    expect(await client.get("/count")).toMatchObject({ status: 200 });
  });

  it("sends no success if the outcome is unknown", async () => {
    const { signedIn, faults } = await serve(way, { options: PATIENCE });
    const client = await signedIn();
    faults.update = "lost-reply";
    expect(await client.get("/count")).toMatchObject({ status: 503, setCookies: [] });
    faults.update = "ok";
    await client.get("/count");
    expect(await client.data()).toEqual({ username: "ada", count: 2 });
  });
});

describe.each(ways)("sojourn for $name when the client hangs up", (way: Way) => {
  async function hangUp(client: Client, path: string, reached: Promise<void>): Promise<void> {
    const controller = new AbortController();
    const asked = client.get(path, { signal: controller.signal });
    await reached;
    controller.abort();
    await expect(asked).rejects.toThrow(/abort/i);
  }

  it("stores or drops a delayed response completely, and serves the next request", async () => {
    const scene = await serve(way);
    const client = await scene.signedIn();
    for (let round = 0; round < 5; round += 1) {
      const gate = createGate();
      scene.holds.update = gate;
      await hangUp(client, `/add?k=round${round}`, gate.reached);
      delete scene.holds.update;
      gate.open();
      // Commits of one session run one after another, so the earlier one is complete after this one.
      await client.get("/count");
    }
    const { username, count, ...rounds } = await client.data();
    expect({ username, count }).toEqual({ username: "ada", count: 5 });
    for (const [key, value] of Object.entries(rounds))
      expect([key, value]).toEqual([expect.stringMatching(/^round/), "1"]);
    expect(await client.get("/")).toMatchObject({ status: 200, body: "signed in as ada" });
  });

  it("signs out even if the client does not wait for the response", async () => {
    const scene = await serve(way);
    const client = await scene.signedIn();
    const gate = createGate();
    scene.holds.delete = gate;
    const ended = new Promise((resolve) => scene.sessions.on("signedOut", resolve));
    await hangUp(client, "/logout", gate.reached);
    gate.open();
    await ended;
    expect(await client.get("/")).toMatchObject({ body: "anonymous", setCookies: [] });
  });

  it("works while the session is read, in the handler, and with a failing store", async () => {
    const scene = await serve(way);
    const client = await scene.signedIn();
    const reading = createGate();
    scene.holds.read = reading;
    await hangUp(client, "/", reading.reached);
    delete scene.holds.read;
    reading.open();

    await hangUp(client, "/slow?gate=a", scene.stage.gate("a").reached);
    scene.stage.gate("a").open();

    const failing = createGate();
    scene.holds.update = failing;
    await hangUp(client, "/add?k=a", failing.reached);
    expect(await client.get("/")).toMatchObject({ status: 200, body: "signed in as ada" });
    delete scene.holds.update;
    failing.open();
    expect(await client.get("/count")).toMatchObject({ status: 200 });
  });
});
