import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ask, Client } from "../support/http/client.ts";
import { SECRET_KEY, ways } from "../support/http/servers.ts";

const PROGRAM = fileURLToPath(new URL("../support/http/server-process.ts", import.meta.url));
const directory = mkdtempSync(join(tmpdir(), "sojourn-test-"));
const children: ChildProcess[] = [];
let processes: Record<string, string>[];

beforeAll(async () => {
  processes = await Promise.all([start(), start()]);
});

afterAll(async () => {
  for (const child of children) {
    const ended = once(child, "close");
    child.kill();
    await ended;
  }
  rmSync(directory, { recursive: true, force: true });
});

async function start(): Promise<Record<string, string>> {
  const child = spawn(process.execPath, ["--import", "tsx", PROGRAM, directory, SECRET_KEY], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  children.push(child);
  const [said] = (await once(createInterface(child.stdout), "line")) as [string];
  return JSON.parse(said) as Record<string, string>;
}

describe.each(ways)("sojourn for $name in two processes on one directory", ({ name }) => {
  const origin = (n: number): string => processes[n % 2]![name]!;

  it("loses none of 200 keys added and 200 steps counted in parallel", async () => {
    const client = new Client(origin(0));
    await client.post("/login");
    const { cookie } = client;
    const asked = Array.from({ length: 200 }, (_, n) => [
      ask(`${origin(n)}/add?k=key${n}`, { cookie }),
      ask(`${origin(n >> 1)}/count`, { cookie }),
    ]);
    const answers = await Promise.all(asked.flat());
    expect(answers.filter(({ status }) => status !== 200)).toEqual([]);
    const { count, username, ...added } = await client.data();
    expect({ count, username, added: Object.keys(added).length }).toEqual({ count: 200, username: "ada", added: 200 });
  });

  it("signs out in one process a session that was signed in by the other", async () => {
    const client = new Client(origin(0));
    await client.post("/login");
    const signedOut = await ask(`${origin(1)}/logout`, { cookie: client.cookie });
    expect(signedOut.setCookies).toEqual([expect.stringContaining("Max-Age=0")]);
    expect(await client.get("/")).toMatchObject({ body: "anonymous", setCookies: [] });
  });
});
