import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { type FileStore, fileStore, type Quarantined } from "sojourn/file";
import { seededRandom } from "../support/random.ts";

const WORKER = fileURLToPath(new URL("../fixtures/file-store-worker.mjs", import.meta.url));
const HOUR = 3_600_000;

let directory: string;
let quarantined: Quarantined[];
let store: FileStore;
const running = new Set<ChildProcess>();

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "sojourn-test-"));
  quarantined = [];
  store = fileStore({ directory, onQuarantine: (found) => void quarantined.push(found) });
});

afterEach(() => {
  vi.useRealTimers();
  for (const child of running) child.kill("SIGKILL");
  rmSync(directory, { recursive: true, force: true });
});

const session = (text = "") => ({
  payload: new TextEncoder().encode(text),
  version: 1,
  expiresAt: Date.now() + HOUR,
});
const decode = (payload: Uint8Array | undefined): string => new TextDecoder().decode(payload);

interface Worker {
  readonly child: ChildProcess;
  /** The messages that it has reported since it began. */
  readonly messages: unknown[][];
  /** Resolves with the exit code or the signal, after all messages have arrived. */
  readonly ended: Promise<string>;
}

/** Starts processes, waits until all of them are ready, and lets them begin together. */
async function startWorkers(
  job: string,
  ...argsOfWorkers: readonly (readonly (string | number)[])[]
): Promise<Worker[]> {
  const starting = argsOfWorkers.map((args) => {
    const child = spawn(process.execPath, [WORKER, job, directory, ...args.map(String)], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    running.add(child);
    const messages: unknown[][] = [];
    const ready = new Promise<void>((resolve) => {
      createInterface(child.stdout).on("line", (line) => {
        const message: unknown = JSON.parse(line);
        if (!Array.isArray(message)) throw new Error(`not a message of a worker: ${line}`);
        if (message[0] === "ready") resolve();
        else messages.push(message);
      });
    });
    const ended = new Promise<string>((resolve) => {
      child.on("close", (code, signal) => {
        running.delete(child);
        resolve(String(signal ?? code));
      });
    });
    return { child, messages, ended, ready };
  });
  await Promise.all(starting.map(({ ready }) => ready));
  for (const { child } of starting) child.stdin.write("begin\n");
  return starting;
}

describe("fileStore, shared by several processes", () => {
  it("applies each of their updates exactly once", async () => {
    await store.create("shared", session());
    const workers = await startWorkers("append", ["shared", "a", 300], ["shared", "b", 300], ["shared", "c", 300]);
    expect(await Promise.all(workers.map(({ ended }) => ended))).toEqual(["0", "0", "0"]);
    const found = await store.read("shared");
    const applied = decode(found?.payload).split(",").slice(0, -1);
    const wanted = ["a", "b", "c"].flatMap((name) => Array.from({ length: 300 }, (_, n) => `${name}${n}`));
    expect(applied.toSorted()).toEqual(wanted.toSorted());
    expect(found?.version).toBe(901);
  });

  it("lets exactly one of them create a session", async () => {
    const names = ["a", "b", "c"];
    const workers = await startWorkers("create", ...names.map((name) => [name, 400]));
    await Promise.all(workers.map(({ ended }) => ended));
    expect(workers.reduce((sum, { messages }) => sum + messages.length, 0)).toBe(400);
    for (const [index, { messages }] of workers.entries()) {
      for (const [, n] of messages) {
        const found = await store.read(`created-${String(n)}`);
        expect(decode(found?.payload)).toBe(`${names[index]}${String(n)}`);
      }
    }
  });

  it("gives a session the latest expiry of their touches", async () => {
    const base = Date.now() + 2 * HOUR;
    await store.create("shared", session());
    const workers = await startWorkers("touch", ["shared", base, 0, 500], ["shared", base, 1, 500]);
    await Promise.all(workers.map(({ ended }) => ended));
    expect(workers.flatMap(({ messages }) => messages)).toEqual([]);
    expect((await store.read("shared"))?.expiresAt).toBe(base + 2 * 499 + 1);
  });

  it("never brings back what one of them has deleted while others update and touch it", async () => {
    const count = 300;
    for (let n = 0; n < count; n += 1) await store.create(`kept-${n}`, session());
    const workers = await startWorkers("keepAlive", [count], [count]);
    for (let n = 0; n < count; n += 1) {
      expect(await store.delete(`kept-${n}`)).toBe(true);
      expect(await store.read(`kept-${n}`)).toBeUndefined();
      // Lets the other processes run.
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(await Promise.all(workers.map(({ ended }) => ended))).toEqual(["0", "0"]);
    const left: string[] = [];
    for await (const id of store.all()) left.push(id);
    expect(left).toEqual([]);
    expect(quarantined).toEqual([]);
  });
});

describe("fileStore, whose process is killed", () => {
  it("loses no acknowledged write and leaves no damaged session, 20 times, and deletes leftover files later", async () => {
    const random = seededRandom(2026);
    for (let round = 0; round < 20; round += 1) {
      const name = `round${round}`;
      const [worker] = await startWorkers("live", [name, round]);
      if (worker === undefined) throw new Error("no worker");
      const { child, messages, ended } = worker;
      await new Promise((resolve) => setTimeout(resolve, 20 + random() * 130));
      child.kill("SIGKILL");
      expect(await ended).toBe("SIGKILL");
      expect(messages.filter(([what]) => what === "refused")).toEqual([]);
      await expectKept(messages);
    }
    expect(quarantined).toEqual([]);
    expect(await fileStore(directory).deleteExpired(10)).toBe(0);
    expectNoLeftovers(await advanceClockAndDelete());
  });

  /** Checks that each session has the state of its last acknowledged call, or of the call that the kill interrupted. */
  async function expectKept(messages: readonly unknown[][]): Promise<void> {
    const acknowledged = new Map<string, number>();
    const tried = new Map<string, number>();
    for (const [what, id, version] of messages) {
      (what === "done" ? acknowledged : tried).set(String(id), Number(version));
    }
    for (const [id, last] of tried) {
      const found = await store.read(id);
      const version = found?.version ?? 0;
      expect([acknowledged.get(id) ?? 0, last]).toContain(version);
      if (found === undefined) continue;
      expect(decode(found.payload).replaceAll(`${id}:${version}:`, "")).toBe("");
      if (found.userId !== undefined) expect(await store.idsOfUser(found.userId)).toContain(id);
    }
  }

  async function advanceClockAndDelete(): Promise<FileStore> {
    // Unfinished writes count as abandoned now, and sessions have not expired yet.
    vi.useFakeTimers({ toFake: ["Date"], now: Date.now() + HOUR / 4 });
    const reopened = fileStore(directory);
    await reopened.deleteExpired(10);
    for (const userId of ["user-1", "user-2"]) await reopened.idsOfUser(userId);
    return reopened;
  }

  function expectNoLeftovers({ directory: collected }: FileStore): void {
    expect(collected).toBe(directory);
    const pointers = pathsIn("pointers");
    expect(pathsIn("contents").length).toBe(pointers.length);
    expect(pathsIn("users").length).toBe(pointers.filter((path) => /\.[0-9a-f]{24}$/.test(path)).length);
  }

  function pathsIn(tree: string): string[] {
    return readdirSync(join(directory, tree), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name));
  }
});
