import { randomBytes } from "node:crypto";
import { closeSync, fchmodSync, fstatSync, openSync, readFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { parseEnv } from "node:util";

/** An error that the person who starts the server can fix. Its message is one line, and is shown without a stack. */
export class StartError extends Error {}

export interface Environment {
  readonly port: number;
  readonly host: string;
  readonly secretKey: string;
  /** The directory of the sessions. `undefined`: the store's default. */
  readonly sessionDirectory: string | undefined;
  readonly trustProxy: boolean;
  /** The file to which a new secret key was added just now. */
  readonly madeKeyIn: string | undefined;
}

type Variables = Readonly<Record<string, string | undefined>>;

const KEYGEN = "npx sojourn keygen";

/**
 * Reads the settings from the environment, or else from the file `.env` of the directory. If neither has a SECRET_KEY,
 * it creates one and adds it to `.env`, so that the first start needs no preparation and later starts find the same
 * key.
 *
 * @throws {StartError} for a setting that can't be used.
 */
export function readEnvironment(environment: Variables, directory: string): Environment {
  const file = join(directory, ".env");
  const given = { ...parse(read(file)), ...environment };
  const settings = {
    port: portOf(given.PORT || "3000"),
    host: given.HOST || "127.0.0.1",
    sessionDirectory: given.SESSION_DIR || undefined,
    trustProxy: switchOf("TRUST_PROXY", given.TRUST_PROXY || "0"),
  };
  // An empty key is passed on: the library explains how to create one.
  if (given.SECRET_KEY !== undefined) return { ...settings, secretKey: given.SECRET_KEY, madeKeyIn: undefined };

  const made = randomBytes(32).toString("base64url");
  append(file, `SECRET_KEY=${made}`);
  const secretKey = parse(read(file)).SECRET_KEY ?? made;
  return { ...settings, secretKey, madeKeyIn: secretKey === made ? file : undefined };
}

function portOf(value: string): number {
  const port = Number(value);
  if (/^\d{1,5}$/.test(value) && port <= 65_535) return port;
  throw new StartError(
    `PORT is ${JSON.stringify(value)}, but must be a number up to 65535, as in: PORT=3001 npm start`,
  );
}

function switchOf(name: string, value: string): boolean {
  if (["1", "true"].includes(value)) return true;
  if (["0", "false"].includes(value)) return false;
  throw new StartError(`${name} is ${JSON.stringify(value)}, but must be 1 or 0`);
}

/** Uses the first line with a SECRET_KEY: a line that is added later never changes the key of a running server. */
function parse(text: string): Variables {
  const variables = parseEnv(text);
  const first = /^[ \t]*(?:export[ \t]+)?SECRET_KEY[ \t]*=.*$/m.exec(text)?.[0];
  return { ...variables, ...(first !== undefined && parseEnv(first)) };
}

function read(file: string): string {
  try {
    return readFileSync(file, "utf8").replace(/^\uFEFF/, "");
  } catch (error) {
    if (codeOf(error) === "ENOENT") return "";
    throw new StartError(`${file} can't be read (${codeOf(error)}): repair or remove it`, { cause: error });
  }
}

/**
 * Adds a line in one write, and creates the file if it is missing. If two servers start at once, both add a line, and
 * both then use the first one.
 */
function append(file: string, line: string): void {
  const before = read(file);
  try {
    const descriptor = openSync(file, "a", 0o600);
    try {
      // The file contains a secret from now on.
      if ((fstatSync(descriptor).mode & 0o077) !== 0) fchmodSync(descriptor, 0o600);
      writeSync(descriptor, `${before === "" || before.endsWith("\n") ? "" : "\n"}${line}\n`);
    } finally {
      closeSync(descriptor);
    }
  } catch (error) {
    throw new StartError(
      `There is no SECRET_KEY, and none can be put in ${file} (${codeOf(error)}): start with SECRET_KEY="$(${KEYGEN})"`,
      { cause: error },
    );
  }
}

export function codeOf(error: unknown): string | undefined {
  return (error as NodeJS.ErrnoException).code;
}
