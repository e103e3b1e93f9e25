import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { WebSocket } from "ws";

const directory = mkdtempSync(join(tmpdir(), "sojourn-live-"));
const servers: ChildProcess[] = [];
/** Two processes on one directory. */
let here: string;
let there: string;

async function start(): Promise<string> {
  const server = spawn(process.execPath, ["--import", "tsx", join(import.meta.dirname, "server.ts")], {
    env: {
      ...process.env,
      PORT: "0",
      SESSION_DIR: join(directory, "sessions"),
      SECRET_KEY: "Zm9yIHRoZSBsaXZlIGV4YW1wbGUncyB0ZXN0cyBvbmx5",
    },
    stdio: ["ignore", "pipe", "inherit"],
  });
  servers.push(server);
  const [url] = (await once(createInterface(server.stdout), "line")) as [string];
  return url;
}

beforeAll(async () => {
  [here, there] = [await start(), await start()];
});

afterAll(() => {
  for (const server of servers) server.kill();
  rmSync(directory, { recursive: true, force: true });
});

async function signIn(name: string): Promise<string> {
  const answer = await fetch(`${here}/login?name=${name}`, { method: "POST" });
  return answer.headers.getSetCookie()[0]!.split(";")[0]!;
}

const post = (base: string, path: string, cookie: string) =>
  fetch(base + path, { method: "POST", headers: { cookie } });

function connect(cookie: string, origin?: string): WebSocket {
  const headers = { cookie, ...(origin !== undefined && { origin }) };
  return new WebSocket(`${here.replace("http", "ws")}/socket`, { headers });
}

async function openSocket(cookie: string, origin?: string): Promise<WebSocket> {
  const socket = connect(cookie, origin);
  await once(socket, "open");
  return socket;
}

async function refusal(cookie: string, origin?: string): Promise<string> {
  const [error] = (await once(connect(cookie, origin), "error")) as [Error];
  return error.message;
}

describe("a WebSocket with a session", () => {
  it("stores its changes, and reads those of others", async () => {
    const cookie = await signIn("ada");
    const [one, other] = [await openSocket(cookie), await openSocket(cookie)];
    const said: string[] = [];
    for (const socket of [one, other, one]) {
      socket.send("hello");
      said.push(String((await once(socket, "message"))[0]));
    }
    expect(said).toEqual(["ada: 1", "ada: 2", "ada: 3"]);
    one.close();
    other.close();
  });

  it.each([
    ["signs out", "/logout"],
    ["ends all other sessions", "/elsewhere"],
  ])("is closed when another process %s", async (_, path) => {
    const [cookie, second] = [await signIn("grace"), await signIn("grace")];
    const socket = await openSocket(cookie);
    const closed = once(socket, "close");
    // One process has the socket, and another one ends its session.
    await post(there, path, path === "/logout" ? cookie : second);
    expect((await closed)[0]).toBe(4401);
    expect(await refusal(cookie)).toContain("401");
  });

  it("is refused without a session, and to pages of other sites", async () => {
    expect(await refusal("")).toContain("401");
    const cookie = await signIn("ada");
    expect(await refusal(cookie, "https://evil.example")).toContain("403");
    expect(await refusal(cookie, "null")).toContain("403");
    (await openSocket(cookie, here)).close();
  });
});

describe("server-sent events with a session", () => {
  it("end when another process signs out, and are refused afterwards", async () => {
    const cookie = await signIn("ada");
    const events = await fetch(`${here}/events`, { headers: { cookie } });
    expect(events.headers.get("content-type")).toBe("text/event-stream");
    await post(there, "/logout", cookie);
    expect(await events.text()).toBe("data: hello ada\n\nevent: signed-out\ndata:\n\n");
    expect((await fetch(`${here}/events`, { headers: { cookie } })).status).toBe(401);
  });
});
