import { spawn, type SpawnOptions } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { HUNG_MS } from "./throwaway.ts";

export interface Runtime {
  readonly name: string;
  /** Where it is, if tests are to run on it. */
  readonly command: string | undefined;
  readonly sqlite: "node:sqlite" | "bun:sqlite";
  readonly flags: readonly string[];
}

const { NODE22_PATH, NODE24_PATH, NODE26_PATH, BUN_PATH, DENO_PATH } = process.env;
const node = { sqlite: "node:sqlite", flags: ["--no-warnings"] } as const;

export const runtimes: readonly Runtime[] = [
  { name: "Node 22", command: NODE22_PATH, ...node },
  { name: "Node 24", command: NODE24_PATH, ...node },
  { name: "Node 26", command: NODE26_PATH, ...node },
  { name: "Bun", command: BUN_PATH, sqlite: "bun:sqlite", flags: [] },
  { name: "Deno", command: DENO_PATH, sqlite: "node:sqlite", flags: ["run", "--quiet", "--no-lock", "--allow-all"] },
];

/** What test/fixtures/runtime.mjs says in a runtime of its own: of each case what was wrong, `null` where nothing was. */
export async function casesIn(
  { command, flags }: Runtime,
  subject: string,
  folder: string,
  options: object = {},
): Promise<Map<string, string | null>> {
  const script = fileURLToPath(new URL("../fixtures/runtime.mjs", import.meta.url));
  return casesOf(command!, [...flags, script, subject, folder, JSON.stringify(options)]);
}

/** What a program says of its cases, a line of JSON for each: its name, and what was wrong or `null`. */
export async function casesOf(
  command: string,
  words: readonly string[],
  { timeout = HUNG_MS, ...place }: Pick<SpawnOptions, "cwd" | "env" | "timeout"> = {},
): Promise<Map<string, string | null>> {
  const child = spawn(command, words, {
    ...place,
    stdio: ["ignore", "pipe", "inherit"],
    timeout,
    killSignal: "SIGKILL",
  });
  const said = new Map<string, string | null>();
  createInterface(child.stdout).on("line", (line) => {
    const [name, wrong] = JSON.parse(line) as [string, string | null];
    said.set(name, wrong);
  });
  await new Promise((resolve) => child.on("close", resolve));
  return said;
}
