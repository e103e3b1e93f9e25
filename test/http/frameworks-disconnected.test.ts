import { createSessions, type SessionEvents, type SessionStore } from "sojourn";
import { cookieStore } from "sojourn/cookie";
import { memoryStore } from "sojourn/memory";
import { afterEach, describe, expect, it, vi } from "vitest";
import { ask, Client } from "../support/http/client.ts";
import { originOf, SECRET_KEY, serve, ways, type Scene, type Way } from "../support/http/servers.ts";
import { createStage } from "../support/http/stage.ts";

// A client that has gone gets no response, and many handlers end none then. They may also never return.

const warned = vi.spyOn(process, "emitWarning").mockImplementation(() => {});
afterEach(() => void warned.mockClear());

/** A client asks for a page, and goes away before its handler answers. */
async function leave(scene: Pick<Scene, "origin" | "stage">, query: string, cookie: string | undefined): Promise<void> {
  const leaving = new AbortController();
  const asking = ask(`${scene.origin}/leaving?${query}`, { cookie, signal: leaving.signal });
  const failing = asking.then(
    () => undefined,
    (error: Error) => error.name,
  );
  await scene.stage.gate("leaving").reached;
  leaving.abort();
  expect(await failing).toBe("AbortError");
}

const next = <Name extends keyof SessionEvents>(
  { sessions }: Pick<Scene, "sessions">,
  name: Name,
): Promise<SessionEvents[Name]> => new Promise((resolve) => sessions.on(name, resolve));

const eventually = (client: Client, data: object) =>
  vi.waitFor(async () => expect(await client.data()).toMatchObject(data), { timeout: 30_000 });

/** Ada is signed in, and her cookie is the session. */
async function cookieScene(way: Way, revocations?: SessionStore) {
  const sessions = createSessions({ secretKey: SECRET_KEY, store: cookieStore(revocations && { revocations }) });
  const stage = createStage();
  const server = await way.start({ sessions, stage, lazy: false, personal: false, trustProxy: false });
  const origin = originOf(server);
  const client = new Client(origin);
  await client.post("/login?username=ada");
  return { sessions, stage, origin, client };
}

describe.each(ways)("sojourn for $name, when the client goes away, and its cookie is the session,", (way: Way) => {
  it.each(["data", "sign-out"])("reports that nothing of it can be stored: %s", async (how) => {
    const scene = await cookieScene(way);
    const dropped = next(scene, "dropped");
    await leave(scene, `before=${how}`, scene.client.cookie);
    expect(await dropped).toMatchObject({ userId: "ada", reason: "disconnected" });
  });

  it("signs the user out, if the server keeps revocations", async () => {
    const scene = await cookieScene(way, memoryStore());
    const signedOut = next(scene, "signedOut");
    await leave(scene, "before=sign-out", scene.client.cookie);
    await signedOut;
    expect((await scene.client.get("/")).body).toBe("anonymous");
  });
});

describe.each(ways)("sojourn for $name, when the client goes away before the response,", (way: Way) => {
  it("signs the user out, though the handler never answers", async () => {
    const scene = await serve(way);
    const client = await scene.signedIn();
    const signedOut = next(scene, "signedOut");
    await leave(scene, "before=sign-out", client.cookie);
    expect(await signedOut).toMatchObject({ userId: "ada" });
    expect((await client.get("/")).body).toBe("anonymous");
    expect(scene.dropped).toEqual([]);
  });

  it("signs the user out, if the handler does so after that and never answers", async () => {
    const scene = await serve(way);
    const client = await scene.signedIn();
    await leave(scene, "before=data&after=sign-out", client.cookie);
    await eventually(client, { leaving: "data" });
    const signedOut = next(scene, "signedOut");
    scene.stage.gate("leaving").open();
    await signedOut;
    expect((await client.get("/")).body).toBe("anonymous");
  });

  it("stores a change of data, and a later one too", async () => {
    const scene = await serve(way);
    const client = await scene.signedIn();
    await client.get("/add?k=cart");
    await leave(scene, "before=data&after=flash", client.cookie);
    await eventually(client, { leaving: "data" });
    const updates = scene.calls.update;
    scene.stage.gate("leaving").open();
    await vi.waitFor(() => expect(scene.calls.update).toBe(updates + 1), { timeout: 30_000 });
    expect(scene.dropped).toEqual([]);
  });

  it.each(["sign-in", "rotate"])(
    "drops a %s, whose token nobody would have, and what was to go with it",
    async (how) => {
      const scene = await serve(way);
      const client = await scene.signedIn();
      const dropped = next(scene, "dropped");
      await leave(scene, `before=${how}`, client.cookie);
      expect(await dropped).toMatchObject({ userId: "ada", reason: "disconnected" });
      scene.stage.gate("leaving").open();
      scene.stage.gate("left").open();
      expect((await client.get("/")).body).toBe("signed in as ada");
      expect(await client.data()).toEqual({ username: "ada" });
      expect(warned).not.toHaveBeenCalled();
    },
  );

  it.each(["sign-in", "data"])("begins no session that nobody would have, by %s", async (how) => {
    const scene = await serve(way);
    const dropped = next(scene, "dropped");
    await leave(scene, `before=${how}`, undefined);
    expect(await dropped).toMatchObject({ reason: "disconnected" });
    expect(scene.calls.create).toBe(0);
  });

  it("reports what could not be stored", async () => {
    const scene = await serve(way);
    const client = await scene.signedIn();
    scene.faults.delete = "error";
    const [error, dropped] = [next(scene, "error"), next(scene, "dropped")];
    await leave(scene, "before=sign-out", client.cookie);
    expect(await error).toMatchObject({ error: { code: "ERR_SESSION_STORE" } });
    expect(await dropped).toMatchObject({ userId: "ada", reason: "disconnected" });
  });
});
