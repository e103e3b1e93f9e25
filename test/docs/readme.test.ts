import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { blocksOfPages, document, pagesIn, ROOT, serveBlock, workshop } from "../support/http/blocks.ts";

const run = promisify(execFile);
const README = document("README.md");
/** Pages with another test of their own, and those whose code is no program. */
const ELSEWHERE = /^docs\/(api|decisions|stores)\/|^docs\/merging\.md$/;
const GUIDES = pagesIn("docs").filter((page) => !ELSEWHERE.test(page));
const blocks = blocksOfPages(["README.md", ...GUIDES]);

/** What the text around a block has introduced already: above all the README's own sessions. */
const PREAMBLES: Record<string, string> = {
  "sessions.ts": "",
  "with nothing": "",
  "types only": "",
  "with sessions": 'import { sessions } from "./sessions.js";',
  "with store": `
    import { createSessions } from "sojourn";
    import { memoryStore } from "sojourn/memory";
    const store = memoryStore();
  `,
};
PREAMBLES["with session"] = `${PREAMBLES["with sessions"]}
  const session = await sessions.open(new Request("http://localhost/"));
`;

const place = workshop();
const { env, file, typeErrors, run: runProgram, clear } = place;
afterAll(clear);
file("sessions.ts", blocks.find(({ how }) => how === "sessions.ts")!.code);

describe("README and the guide", () => {
  it("says of each block of code how it is run", () => {
    expect(blocks.length).toBeGreaterThan(5);
    expect(blocks.filter(({ how }) => how !== "server" && !(how in PREAMBLES))).toEqual([]);
  });

  it("has under 250 lines", () => {
    expect(README.split("\n").length).toBeLessThan(250);
  });

  it("begins with a table of contents that names each of its sections once, in their order", () => {
    const sections = Array.from(README.matchAll(/^## (.*)$/gm), ([, title]) => title);
    const contents = Array.from(README.matchAll(/^- \[(.*)\]\(#.*\)$/gm), ([, title]) => title);
    expect(contents).toEqual(sections);
  });

  it("shows no command that nothing here runs", async () => {
    const lines = Array.from(README.matchAll(/```sh\n(.*?)```/gs), ([, text = ""]) => text.trim().split("\n")).flat();
    const commands = lines.map((line) => line.replace(/ *#.*/, ""));
    // npm start: examples/login; npm install: .ci/run installs the packed package, and runs the others.
    expect(commands).toEqual(["npm install sojourn", "npm start", "npm test", "npm run test:all", ".ci/run"]);
    expect(README).toContain("`SECRET_KEY=$(npx sojourn keygen) npx tsx server.ts`");
    const { stdout } = await run(process.execPath, [join(ROOT, "dist/cli/sojourn.js"), "keygen"]);
    expect(stdout).toMatch(/^[\w-]{43}\n$/);
  });

  it("shows code whose types are right", async () => {
    expect(await typeErrors(blocks.map(({ how, code }) => `${PREAMBLES[how] ?? ""}\n${code}`))).toBe("");
  });

  it.each(blocks.filter(({ how }) => !["server", "types only"].includes(how)))(
    "shows code that runs: $page, block $i, $how",
    async ({ how, code }) => {
      await expect(runProgram(`${PREAMBLES[how]}\n${code}`)).resolves.toMatchObject({ stderr: "" });
    },
  );
});

describe("README's server", () => {
  const code = blocks.find(({ how }) => how === "server")!.code;
  let base: string;
  let close = () => {};
  beforeAll(async () => {
    ({ base, close } = await serveBlock(place, "server.ts", code));
  });
  afterAll(() => close());

  it("signs in and out as the text says", async () => {
    const home = async (cookie?: string) => (await fetch(base, { headers: cookie ? { cookie } : {} })).text();
    expect(await home()).toContain("You are not logged in");

    const body = new URLSearchParams({ username: "admin" });
    const signedIn = await fetch(`${base}/login`, { method: "POST", body, redirect: "manual" });
    const setCookie = signedIn.headers.getSetCookie()[0]!;
    expect(setCookie).toMatch(/^session=1[\w-]{80}; Max-Age=2592000; Path=\/; HttpOnly; SameSite=Lax$/);
    const cookie = setCookie.split(";")[0]!;
    expect(await home(cookie)).toContain("The login username is: admin");

    const signedOut = await fetch(`${base}/logout`, { method: "POST", headers: { cookie }, redirect: "manual" });
    expect(await home(cookie)).toContain("You are not logged in");
    const next = signedOut.headers.getSetCookie().map((line) => line.split(";")[0]);
    expect(await home(next.join("; "))).toMatch(/You have been signed out\..*You are not logged in/);
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
