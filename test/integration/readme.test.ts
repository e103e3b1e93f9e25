import { execFile, spawn, type ChildProcess } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

const run = promisify(execFile);
const ROOT = join(import.meta.dirname, "../..");
const README = readFileSync(join(ROOT, "README.md"), "utf8");
const SECRET_KEY = "SGVyZSdzIGEga2V5IGZvciB0aGUgUkVBRE1FJ3MgdGVzdHM";

const GUIDE = readFileSync(join(ROOT, "docs/life-of-a-session.md"), "utf8");

interface Block {
  readonly how: string;
  readonly code: string;
}

const blocks: Block[] = Array.from(
  `${README}
${GUIDE}`.matchAll(/(?:<!-- run: (.*?) -->\n)?```ts\n(.*?)```/gs),
  ([, how = "", code = ""]) => ({
    how,
    code,
  }),
);

/** What the text around a block has introduced already. */
const PREAMBLES: Record<string, string> = {
  "with nothing": "",
  "with sessions": `
    import { createSessions } from "sojourn";
    import { memoryStore } from "sojourn/memory";
    interface Data { username?: string; visits?: number; cart?: { items: string[] } }
    const sessions = createSessions<Data>({ secretKey: process.env.SECRET_KEY, store: memoryStore() });
  `,
};
PREAMBLES["with store"] = `
  import { createSessions } from "sojourn";
  import { memoryStore } from "sojourn/memory";
  const store = memoryStore();
`;
PREAMBLES["with session"] = `${PREAMBLES["with sessions"]}
  const session = await sessions.open(new Request("http://localhost/"));
`;

/** Inside the package, so that `sojourn` is the package itself. */
const folder = mkdtempSync(join(ROOT, "test/integration/.readme-"));
const scratch = mkdtempSync(join(tmpdir(), "sojourn-readme-"));
const env = { ...process.env, SECRET_KEY, TMPDIR: scratch, PORT: "0" };

afterAll(() => {
  for (const path of [folder, scratch]) rmSync(path, { recursive: true, force: true });
});

function file(name: string, code: string): string {
  const path = join(folder, name);
  writeFileSync(path, code);
  return path;
}

describe("README and the guide", () => {
  it("says of each block of code how it is run", () => {
    expect(blocks.length).toBeGreaterThan(5);
    expect(blocks.filter(({ how }) => how !== "server" && !(how in PREAMBLES))).toEqual([]);
  });

  it("has under 250 lines", () => {
    expect(README.split("\n").length).toBeLessThan(250);
  });

  it("shows no command that nothing here runs", async () => {
    const commands = Array.from(README.matchAll(/```sh\n(.*?)```/gs), ([, text = ""]) => text.trim());
    // npm start: examples/login; npm install: .ci/run installs the packed package.
    expect(commands).toEqual(["npm install sojourn", "npm start", "npx sojourn keygen"]);
    const { stdout } = await run(process.execPath, [join(ROOT, "dist/cli/sojourn.js"), "keygen"]);
    expect(stdout).toMatch(/^[\w-]{43}\n$/);
  });

  it("shows code whose types are right", async () => {
    blocks.forEach(({ how, code }, i) => file(`types-${i}.ts`, `${PREAMBLES[how] ?? ""}\n${code}\nexport {};\n`));
    file(
      "tsconfig.json",
      JSON.stringify({
        extends: join(ROOT, "tsconfig.json"),
        compilerOptions: { noUnusedLocals: false, noUnusedParameters: false },
        include: ["types-*.ts"],
        exclude: [],
      }),
    );
    const { stdout } = await run(process.execPath, [join(ROOT, "node_modules/typescript/bin/tsc"), "-p", folder]).catch(
      (error: { stdout: string }) => error,
    );
    expect(stdout).toBe("");
  });

  it.each(blocks.filter(({ how }) => how !== "server").map(({ how, code }, i) => ({ i: i + 1, how, code })))(
    "shows code that runs: block $i, $how",
    async ({ i, how, code }) => {
      const path = file(`block-${i}.ts`, `${PREAMBLES[how]}\n${code}\n`);
      await expect(run(process.execPath, ["--import", "tsx", path], { cwd: ROOT, env })).resolves.toMatchObject({
        stderr: "",
      });
    },
  );
});

describe("README's server", () => {
  const code = blocks.find(({ how }) => how === "server")!.code;
  let server: ChildProcess;
  let base: string;

  beforeAll(async () => {
    // The port that the system chose has to be told to us; nothing else is added.
    const told = code.replace('"127.0.0.1");', '"127.0.0.1", function () { process.send!(this.address()); });');
    if (told === code) throw new Error("the README's server listens in another way than this test knows");
    server = spawn(process.execPath, ["--import", "tsx", file("server.ts", told)], {
      cwd: ROOT,
      env,
      stdio: ["ignore", "inherit", "inherit", "ipc"],
    });
    const address = await new Promise<{ port: number }>((resolve, reject) => {
      server.once("message", (message) => resolve(message as { port: number }));
      server.once("exit", (status) => reject(new Error(`the server ended with ${status}`)));
    });
    base = `http://127.0.0.1:${address.port}`;
  });

  afterAll(() => void server.kill());

  it("signs in and out as the text says", async () => {
    const home = async (cookie?: string) => (await fetch(base, { headers: cookie ? { cookie } : {} })).text();
    expect(await home()).toContain("You are not logged in");

    const body = new URLSearchParams({ username: "admin" });
    const signedIn = await fetch(`${base}/login`, { method: "POST", body, redirect: "manual" });
    const setCookie = signedIn.headers.getSetCookie()[0]!;
    expect(setCookie).toMatch(/^session=1[\w-]{80}; Max-Age=2592000; Path=\/; HttpOnly; SameSite=Lax$/);
    const cookie = setCookie.split(";")[0]!;
    expect(await home(cookie)).toContain("The login username is: admin");

    await fetch(`${base}/logout`, { headers: { cookie }, redirect: "manual" });
    expect(await home(cookie)).toContain("You are not logged in");
  });

  it("refuses to start without a secret key and says how to get one", async () => {
    const path = file("keyless.ts", code);
    const started = run(process.execPath, ["--import", "tsx", path], {
      cwd: ROOT,
      env: { ...env, SECRET_KEY: undefined },
    });
    await expect(started).rejects.toMatchObject({ stderr: expect.stringContaining("npx sojourn keygen") as string });
  });
});
