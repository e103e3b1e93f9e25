import { once } from "node:events";
import { existsSync, mkdirSync, readFileSync, statSync } from "node:fs";
import { Agent, type IncomingMessage, request } from "node:http";
import { connect } from "node:net";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { type SpawnedServer, spawnServer, startServer, workingDirectory } from "./spawned.ts";

async function logIn({ url }: Pick<SpawnedServer, "url">, username: string, headers: Record<string, string> = {}) {
  const response = await fetch(`${url}/login`, {
    method: "POST",
    body: new URLSearchParams({ username }),
    headers,
    redirect: "manual",
  });
  return response.headers.get("set-cookie")?.split(";")[0] ?? "";
}

async function see({ url }: Pick<SpawnedServer, "url">, cookie: string, path = "/"): Promise<string> {
  const response = await fetch(url + path, { headers: { cookie } });
  return /<h1>([^<]*)<\/h1>/.exec(await response.text())![1]!;
}

const KEY = { SECRET_KEY: "nW3kz-8QfV1pLrT6yB0dHsXc5uJgEa2m" };

/** Windows has neither file modes nor signals that a process can handle. */
const isPosix = process.platform !== "win32";

const portOf = (server: SpawnedServer) => Number(new URL(server.url).port);

/** Sends the headers of a form to the server, but not its body. */
async function formInFlight(server: SpawnedServer) {
  const body = "username=admin";
  const form = request(`http://127.0.0.1:${portOf(server)}/login`, {
    method: "POST",
    agent: new Agent({ keepAlive: true }),
    headers: {
      expect: "100-continue",
      "content-type": "application/x-www-form-urlencoded",
      "content-length": body.length,
    },
  });
  form.flushHeaders();
  await once(form, "continue");
  return {
    form,
    async finish(): Promise<IncomingMessage> {
      form.end(body);
      const [response] = (await once(form, "response")) as [IncomingMessage];
      response.resume();
      return response;
    },
  };
}

async function untilRefused(server: SpawnedServer): Promise<void> {
  for (;;) {
    const socket = connect(portOf(server), "127.0.0.1");
    const refused = await new Promise((resolve) => {
      socket.once("connect", () => resolve(false)).once("error", () => resolve(true));
    });
    socket.destroy();
    if (refused) return;
  }
}

describe("npm start", () => {
  it("says where it listens and where sessions lie", async () => {
    const directory = workingDirectory();
    const server = await startServer(directory);
    expect(await see(server, "")).toBe("You are not logged in");
    const { stdout, stderr } = await server.stop();
    const lines = stdout.trimEnd().split("\n").slice(-3);
    expect(lines[0]).toContain("secret key");
    expect(lines[1]).toMatch(/http:\/\/localhost:\d+$/);
    const sessions = lines[2]!.replace("Sessions are stored in ", "");
    if (isPosix) expect(statSync(sessions).mode & 0o777).toBe(0o700);
    expect(stderr).toBe("");
  });

  it("creates a secret key that only its user can read at the first start, and uses it from then on", async () => {
    const directory = workingDirectory();
    const first = await startServer(directory);
    const cookie = await logIn(first, "admin");
    const { stdout } = await first.stop();
    const file = join(directory, ".env");
    const made = readFileSync(file, "utf8");
    expect(made).toMatch(/^SECRET_KEY=[\w-]{43}\n$/);
    expect(stdout).toContain(file);
    expect(stdout).not.toContain(made.trim().slice("SECRET_KEY=".length));
    if (isPosix) expect(statSync(file).mode & 0o777).toBe(0o600);

    const second = await startServer(directory);
    expect(await see(second, cookie)).toBe("The login username is: admin");
    expect((await second.stop()).stdout).not.toContain("secret key");
    expect(readFileSync(file, "utf8")).toBe(made);
  });

  it("needs no .env where the environment has a key, and makes none", async () => {
    const directory = workingDirectory();
    const server = await startServer(directory, KEY);
    expect(await see(server, await logIn(server, "admin"))).toBe("The login username is: admin");
    await server.stop();
    expect(existsSync(join(directory, ".env"))).toBe(false);
  });

  it("keeps its users logged in after kill -9 and a new start", async () => {
    const directory = workingDirectory();
    const first = await startServer(directory);
    const cookie = await logIn(first, "admin");
    expect((await first.stop("SIGKILL")).signal).toBe("SIGKILL");
    const second = await startServer(directory);
    expect(await see(second, cookie)).toBe("The login username is: admin");
  });

  it("shares key and sessions with another server that is started at the same moment", async () => {
    const directory = workingDirectory();
    const [one, other] = await Promise.all([startServer(directory), startServer(directory)]);
    const cookie = await logIn(one, "admin");
    expect(await see(other, cookie)).toBe("The login username is: admin");
    expect(await see(other, cookie, "/logout")).toBe("You are not logged in");
    expect(await see(one, cookie)).toBe("You are not logged in");
  });

  it("keeps sessions where SESSION_DIR says", async () => {
    const directory = workingDirectory();
    const server = await startServer(directory, { SESSION_DIR: "sessions" });
    expect((await server.stop()).stdout).toContain(`Sessions are stored in ${join(directory, "sessions")}\n`);
  });

  it("believes a proxy that speaks HTTPS only where TRUST_PROXY says so", async () => {
    const directory = workingDirectory();
    const https = { "x-forwarded-proto": "https" };
    const plain = await startServer(directory);
    expect(await logIn(plain, "admin", https)).toMatch(/^session=/);
    const trusting = await startServer(directory, { TRUST_PROXY: "1" });
    expect(await logIn(trusting, "admin", https)).toMatch(/^__Host-session=/);
  });

  it.each<[what: string, env: Record<string, string>, message: RegExp]>([
    ["a short key", { SECRET_KEY: "secret" }, /secretKey is too short .* npx sojourn keygen$/],
    ["an empty key", { SECRET_KEY: "" }, /secretKey is missing.* npx sojourn keygen/],
    ["no port", { PORT: "http" }, /PORT is "http".* PORT=3001 npm start$/],
    ["no address", { HOST: "203.0.113.1" }, /HOST is 203\.0\.113\.1, which is no address of this machine/],
    ["no directory", { SESSION_DIR: `${import.meta.filename}/sessions` }, /server\.test\.ts/],
  ])("refuses %s in one line", async (_what, env, message) => {
    const { code, stderr } = await spawnServer(workingDirectory(), { ...KEY, ...env }).exit;
    expect(code).toBe(1);
    expect(stderr.trimEnd()).toMatch(message);
    expect(stderr.trimEnd().split("\n")).toHaveLength(1);
  });

  it("refuses in one line a .env that can't be read", async () => {
    const directory = workingDirectory();
    mkdirSync(join(directory, ".env"));
    const { code, stderr } = await spawnServer(directory).exit;
    expect(code).toBe(1);
    expect(stderr).toMatch(/^Can't start: .*\.env can't be read.*\n$/);
  });

  it("says which port is in use, and what to do", async () => {
    const directory = workingDirectory();
    const port = portOf(await startServer(directory));
    const { code, stderr } = await spawnServer(directory, { PORT: String(port) }).exit;
    expect(code).toBe(1);
    expect(stderr).toMatch(new RegExp(`^Can't start: port ${port} is in use; .*PORT=\\d+ npm start\n$`));
  });

  it.skipIf(!isPosix).each(["SIGTERM", "SIGINT"] as const)(
    "finishes what is in flight at %s, and closes what is idle",
    async (signal) => {
      const directory = workingDirectory();
      const server = await startServer(directory);
      const { form, finish } = await formInFlight(server);

      const silent = connect(portOf(server), "127.0.0.1");
      await once(silent, "connect");
      const idle = connect(portOf(server), "127.0.0.1");
      idle.write("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
      await once(idle, "readable");
      idle.resume();
      const closed = Promise.all([once(silent.resume(), "close"), once(idle, "close")]);

      server.child.kill(signal);
      // npm passes on a signal that the terminal has sent already.
      server.child.kill(signal);
      await untilRefused(server);
      await closed;
      expect(form.destroyed).toBe(false);

      const response = await finish();
      expect(response.statusCode).toBe(303);
      expect(response.headers.connection).toBe("close");
      expect(await server.exit).toMatchObject({ code: 0, stderr: "" });

      const cookie = response.headers["set-cookie"]![0]!.split(";")[0]!;
      expect(await see(await startServer(directory), cookie)).toBe("The login username is: admin");
    },
  );

  it.skipIf(!isPosix)("ends at once at a second signal", async () => {
    const server = await startServer(workingDirectory());
    const { form } = await formInFlight(server);
    form.on("error", () => undefined);
    server.child.kill("SIGTERM");
    await untilRefused(server);
    // A signal right after the first one is ignored.
    const again = setInterval(() => server.child.kill("SIGTERM"), 50);
    expect(await server.exit).toMatchObject({ code: 143, stderr: "" });
    clearInterval(again);
  });
});
