import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { readEnvironment, StartError } from "./env.ts";

/** Windows has no file modes. */
const isPosix = process.platform !== "win32";
const KEY = "b64url-of-256-bits-Q2xlYXJseQ-not-really";

function directory(dotEnv?: string): string {
  const path = mkdtempSync(join(tmpdir(), "sojourn-env-"));
  onTestFinished(() => rmSync(path, { recursive: true }));
  if (dotEnv !== undefined) writeFileSync(join(path, ".env"), dotEnv, { mode: 0o644 });
  return path;
}

const contentOf = (path: string) => readFileSync(join(path, ".env"), "utf8");

describe("readEnvironment", () => {
  it("listens on port 3000 of the loopback address by default", () => {
    const path = directory();
    expect(readEnvironment({ SECRET_KEY: KEY }, path)).toEqual({
      port: 3000,
      host: "127.0.0.1",
      secretKey: KEY,
      sessionDirectory: undefined,
      trustProxy: false,
      madeKeyIn: undefined,
    });
    const settings = { PORT: "0", HOST: "::1", SECRET_KEY: KEY, SESSION_DIR: "sessions", TRUST_PROXY: "1" };
    expect(readEnvironment(settings, path)).toMatchObject({
      port: 0,
      host: "::1",
      sessionDirectory: "sessions",
      trustProxy: true,
    });
  });

  it("creates a key of 256 bits that only its user can read, and finds it the next time", () => {
    const path = directory();
    const made = readEnvironment({}, path);
    expect(Buffer.from(made.secretKey, "base64url")).toHaveLength(32);
    expect(made.madeKeyIn).toBe(join(path, ".env"));
    if (isPosix) expect(statSync(join(path, ".env")).mode & 0o777).toBe(0o600);
    expect(readEnvironment({}, path)).toEqual({ ...made, madeKeyIn: undefined });
    expect(readEnvironment({}, directory()).secretKey).not.toBe(made.secretKey);
  });

  it("keeps the content of .env, and makes it private once it contains a secret", () => {
    const path = directory("# mine\nPORT=4000");
    const { secretKey, port } = readEnvironment({}, path);
    expect(port).toBe(4000);
    expect(contentOf(path)).toBe(`# mine\nPORT=4000\nSECRET_KEY=${secretKey}\n`);
    if (isPosix) expect(statSync(join(path, ".env")).mode & 0o777).toBe(0o600);
  });

  it.each([
    ["plain", `SECRET_KEY=${KEY}\n`],
    ["quoted, with blanks and a comment", `  export SECRET_KEY = "${KEY}" # mine\n`],
    ["with the line ends and the mark of Windows", `\uFEFFSECRET_KEY=${KEY}\r\nPORT=3001\r\n`],
    ["the first of two, as two servers that start at once leave them", `SECRET_KEY=${KEY}\nSECRET_KEY=another\n`],
  ])("reads a key from .env: %s", (_form, text) => {
    const path = directory(text);
    expect(readEnvironment({}, path)).toMatchObject({ secretKey: KEY, madeKeyIn: undefined });
    expect(contentOf(path)).toBe(text);
  });

  it("prefers the environment to .env", () => {
    const path = directory("SECRET_KEY=in-the-file\nPORT=4000\n");
    expect(readEnvironment({ SECRET_KEY: KEY, PORT: "4001" }, path)).toMatchObject({ secretKey: KEY, port: 4001 });
  });

  it("leaves an empty SECRET_KEY to be refused, wherever it stands", () => {
    expect(readEnvironment({ SECRET_KEY: "" }, directory()).secretKey).toBe("");
    expect(readEnvironment({}, directory("SECRET_KEY=\n")).secretKey).toBe("");
  });

  it.each(["http", "-1", "65536", "3000 ", "0x10", "3.5", "1e3"])(
    "refuses the port %j, and says what is one",
    (PORT) => {
      expect(() => readEnvironment({ PORT, SECRET_KEY: KEY }, directory())).toThrow(StartError);
      expect(() => readEnvironment({ PORT, SECRET_KEY: KEY }, directory())).toThrow(/PORT=3001 npm start$/);
    },
  );

  it("refuses a TRUST_PROXY that says neither yes nor no", () => {
    expect(() => readEnvironment({ TRUST_PROXY: "yes", SECRET_KEY: KEY }, directory())).toThrow(/must be 1 or 0$/);
  });

  it("says so when .env can't be read", () => {
    const path = directory();
    mkdirSync(join(path, ".env"));
    expect(() => readEnvironment({}, path)).toThrow(StartError);
    expect(() => readEnvironment({}, path)).toThrow(/\.env can't be read \(EISDIR\)/);
  });

  it("says how to start without a file when .env can't be written", () => {
    const missing = join(directory(), "missing");
    expect(() => readEnvironment({}, missing)).toThrow(StartError);
    expect(() => readEnvironment({}, missing)).toThrow(/npx sojourn keygen/);
  });
});
