import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import type { Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createSessions, type SessionEvent, type Sessions, type SessionsOptions, type SessionStore } from "sojourn";
import { fileStore } from "sojourn/file";
import { memoryStore } from "sojourn/memory";
import { faulty, type Fault, type FaultyStore } from "sojourn/testing";
import { afterEach } from "vitest";
import { Client } from "./client.ts";
import { createStage, type Gate, type Stage } from "./stage.ts";
import { listen, ways, type Listener, type Serving, type Way } from "./ways.ts";

export { ways, type Way } from "./ways.ts";

const stores = ["memoryStore", "fileStore"] as const;
type StoreName = (typeof stores)[number];

/** Every way in with every store: `describe.each(combinations)("$way.name with $store", …)`. */
export const combinations = ways.flatMap((way) => stores.map((store) => ({ way, store })));

const OPERATIONS = ["read", "create", "update", "touch", "delete"] as const;
export type Operation = (typeof OPERATIONS)[number];

export const SECRET_KEY = randomBytes(32).toString("base64url");

export interface Scene {
  readonly origin: string;
  readonly port: number;
  readonly sessions: Sessions;
  readonly stage: Stage;
  /** What happens to each operation from now on; nothing is planned at first. */
  readonly faults: Partial<Record<Operation, Fault | (() => Fault)>>;
  /** Where a gate is set, a call of that operation waits there before the store hears of it. */
  readonly holds: Partial<Record<Operation, Gate>>;
  readonly calls: FaultyStore["calls"];
  /** How far the server's clock is ahead, in milliseconds. */
  readonly clock: { ahead: number };
  /** What an error handler of the application's own was told. */
  readonly seen: unknown[];
  readonly dropped: (SessionEvent & { reason: string })[];
  visitor(): Client;
  signedIn(userId?: string): Promise<Client>;
}

export interface Staging extends Partial<Pick<Serving, "lazy" | "personal" | "trustProxy" | "parts">> {
  readonly store?: StoreName;
  /** The application has an error handler of its own. */
  readonly ownErrors?: boolean;
  readonly options?: Partial<SessionsOptions>;
}

/** Errors that nobody took; a server that lets one through would end. */
export const unhandled: unknown[] = [];
process.on("unhandledRejection", (error) => unhandled.push(error));

const endings: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const end of endings.splice(0).toReversed()) await end();
});

/** Has something done after the test, the latest first. */
function afterwards(end: () => Promise<void> | void): void {
  endings.push(end);
}

function temporaryDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), "sojourn-test-"));
  afterwards(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

/** Where a listening server is; it is closed after the test. */
export function originOf(server: Server): string {
  afterwards(async () => {
    const closed = new Promise((resolve) => server.close(resolve));
    server.closeAllConnections();
    await closed;
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** Serves anything that node:http can. */
export async function originFor(listener: Listener): Promise<string> {
  return originOf(await listen(listener));
}

/** Serves the application on one way in; ended after the test. */
export async function serve(way: Way, staging: Staging = {}): Promise<Scene> {
  const {
    store: storeName = "memoryStore",
    lazy = false,
    personal = false,
    trustProxy = false,
    ownErrors = false,
    parts,
  } = staging;
  const clock = { ahead: 0 };
  const now = () => Date.now() + clock.ahead;
  const kept: SessionStore =
    storeName === "memoryStore"
      ? memoryStore({ clock: now })
      : fileStore({ directory: temporaryDirectory(), clock: now });

  const faults: Scene["faults"] = {};
  const fate = (operation: Operation) => (): Fault => {
    const planned = faults[operation] ?? "ok";
    return typeof planned === "function" ? planned() : planned;
  };
  const holds: Scene["holds"] = {};
  const holding = <T>(operation: Operation, effect: () => Promise<T>): Promise<T> =>
    holds[operation]?.pass().then(effect) ?? effect();
  const held: SessionStore = {
    ...kept,
    read: (id) => holding("read", () => kept.read(id)),
    create: (id, stored) => holding("create", () => kept.create(id, stored)),
    update: (id, stored, version) => holding("update", () => kept.update(id, stored, version)),
    touch: (id, expiresAt) => holding("touch", () => kept.touch(id, expiresAt)),
    delete: (id) => holding("delete", () => kept.delete(id)),
  };
  const store = faulty(held, Object.fromEntries(OPERATIONS.map((name) => [name, fate(name)])));

  const sessions = createSessions({
    secretKey: SECRET_KEY,
    storeTimeout: "60s",
    clock: now,
    ...staging.options,
    store,
  });
  const dropped: Scene["dropped"] = [];
  sessions.on("dropped", (event) => dropped.push(event));
  const stage = createStage();
  const seen: unknown[] = [];
  const server = await way.start({
    sessions,
    stage,
    lazy,
    personal,
    trustProxy,
    parts,
    seen: ownErrors ? seen : undefined,
  });
  afterwards(() => sessions.close());
  const origin = originOf(server);
  const port = Number(new URL(origin).port);
  const visitor = () => new Client(origin);
  return {
    origin,
    port,
    sessions,
    stage,
    faults,
    holds,
    calls: store.calls,
    clock,
    seen,
    dropped,
    visitor,
    async signedIn(userId = "ada") {
      const client = visitor();
      await client.post(`/login?username=${userId}`);
      return client;
    },
  };
}
