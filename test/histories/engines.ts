import { rmSync, mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { MARIADB_PATH, startMariadb } from "../support/mariadb.ts";
import { type Postgres, POSTGRES_PATH, startPostgres } from "../support/postgres.ts";
import { REDIS_SERVER, type RedisServer, startRedis, startSentinel, waitForReplicas } from "../support/redis.ts";
import { BETTER_SQLITE3, NODE22 } from "../support/sqlite.ts";
import { KEYS } from "../support/stores.ts";
import { startProxy, until } from "../support/throwaway.ts";
import type { Promises } from "./check.ts";
import { networkFaults, type Fault } from "./faults.ts";
import type { ServerProgram } from "./servers.ts";

/** A store, what runs over it, and what it promises. */
export interface HistoryEngine {
  /** The name on the command line. */
  readonly name: string;
  /** Whether the programs that it needs are installed. */
  readonly isHere: boolean;
  readonly promises: Promises;
  /** `false`: it can't list a user's sessions, nor end all of them. Default `true`. */
  readonly knowsUsers?: boolean;
  start(): Promise<RunningEngine>;
}

interface RunningEngine {
  readonly program: ServerProgram;
  /** Faults of which each list is worked through by itself. */
  readonly faults: readonly (readonly Fault[])[];
  stop(): Promise<void>;
}

/** Short, so that each session rotates several times. */
const ROTATION = { every: "3s", grace: "2s" };
const ROTATED: Promises = { grace: 2000 };
/** What takes back a failed sign-in has a quarter of `storeTimeout`. Pauses of the network are shorter than three seconds. */
const PROXIED: Promises = { ...ROTATED, heldBack: { timeout: 500, longest: 3000 } };
/** A near cache may answer with what is this old. */
const MAX_AGE_MS = 1000;

const SERVER = new URL("../fixtures/history-server.mjs", import.meta.url);

function library(config: object, command?: string): ServerProgram {
  return { file: SERVER, config: { secretKey: KEYS[0], rotation: ROTATION, ...config }, command };
}

export const engines: readonly HistoryEngine[] = [
  {
    name: "files",
    isHere: true,
    promises: ROTATED,
    async start() {
      const folder = temporaryFolder();
      return { program: library({ url: `file:${folder}` }), faults: [], stop: async () => remove(folder) };
    },
  },
  {
    name: "better-sqlite3",
    isHere: BETTER_SQLITE3 !== undefined,
    promises: ROTATED,
    async start() {
      const folder = temporaryFolder();
      const program = library({ url: join(folder, "sessions.db"), betterSqlite3: BETTER_SQLITE3 });
      return { program, faults: [], stop: async () => remove(folder) };
    },
  },
  {
    name: "node:sqlite",
    isHere: NODE22 !== undefined,
    promises: ROTATED,
    async start() {
      const folder = temporaryFolder();
      const program = library({ url: `sqlite:${join(folder, "sessions.db")}` }, NODE22);
      return { program, faults: [], stop: async () => remove(folder) };
    },
  },
  { name: "redis", isHere: REDIS_SERVER !== "", promises: PROXIED, start: () => overRedis({}) },
  {
    name: "cached",
    isHere: REDIS_SERVER !== "",
    promises: { ...PROXIED, staleness: MAX_AGE_MS },
    start: () => overRedis({ maxAge: `${MAX_AGE_MS}ms` }, "?announceChanges=true"),
  },
  {
    name: "redis-sentinel",
    isHere: REDIS_SERVER !== "",
    // A primary shows a write before its replica has it.
    promises: { ...ROTATED, seenStays: false },
    start: behindSentinel,
  },
  {
    name: "postgres",
    isHere: POSTGRES_PATH !== undefined,
    promises: PROXIED,
    async start() {
      const { address, server, stop } = await startPostgres();
      const proxy = await startProxy(address);
      return {
        program: library({ url: await migratedUrl("postgres", `${address.user}@127.0.0.1:${proxy.port}/app`) }),
        faults: [[...networkFaults(proxy), restart(server)]],
        stop: () => inTurn(() => proxy.stop(), stop),
      };
    },
  },
  {
    name: "postgres-failover",
    isHere: POSTGRES_PATH !== undefined,
    promises: PROXIED,
    start: withStandby,
  },
  {
    name: "mariadb",
    isHere: MARIADB_PATH !== undefined,
    promises: PROXIED,
    async start() {
      const { client, program, stop } = await startMariadb();
      const proxy = await startProxy({ port: client.port });
      const login = `${client.user}:${encodeURIComponent(client.password)}`;
      return {
        program: library({ url: await migratedUrl("mysql", `${login}@127.0.0.1:${proxy.port}/app`) }),
        faults: [[...networkFaults(proxy), restart(program)]],
        stop: () => inTurn(() => proxy.stop(), stop),
      };
    },
  },
];

/** Kills a server, which has to keep what it has acknowledged, and starts it again. */
function restart(server: { kill(): Promise<void>; restart(): Promise<void> }): Fault {
  return {
    kind: "restart",
    async run() {
      await server.kill();
      await server.restart();
    },
  };
}

async function overRedis(config: object, query = ""): Promise<RunningEngine> {
  const { program, faults, stop } = await startProxiedRedis((port) =>
    library({ url: `redis://127.0.0.1:${port}${query}`, ...config }),
  );
  return { program, faults, stop };
}

/** A Redis that keeps what it has acknowledged, behind a proxy. */
export async function startProxiedRedis(programFor: (port: number) => ServerProgram): Promise<RunningEngine> {
  const redis = await startRedis(["--appendfsync", "always"]);
  const proxy = await startProxy(redis);
  return {
    program: programFor(proxy.port),
    faults: [[...networkFaults(proxy), restart(redis)]],
    stop: () =>
      inTurn(
        () => proxy.stop(),
        () => redis.end(),
      ),
  };
}

/** A primary with a replica and a Sentinel. A write is acknowledged once the replica has it (`replicas: { wait: 1 }`). */
async function behindSentinel(): Promise<RunningEngine> {
  let primary = await startRedis();
  let replica = await startRedis(["--replicaof", "127.0.0.1", `${primary.port}`]);
  await waitForReplicas(primary);
  const sentinel = await startSentinel(primary);
  const knows = async (port: number) => (await sentinel.command("SENTINEL", "REPLICAS", "main")).includes(`${port}`);
  await until("the Sentinel knows the replica", () => knows(replica.port));
  const is = async (server: RedisServer, text: string) =>
    (await server.command("INFO", "replication").catch(() => "")).includes(text);

  const failover: Fault = {
    kind: "failover",
    async run() {
      await primary.kill();
      await until("the replica is the primary", () => is(replica, "role:master"));
      await primary.restart();
      [primary, replica] = [replica, primary];
      await until("the old primary follows", () => is(replica, "master_link_status:up"));
      await waitForReplicas(primary);
    },
  };
  return {
    program: library({ sentinel: sentinel.port }),
    faults: [[failover]],
    stop: async () => void (await Promise.all([sentinel.end(), primary.end(), replica.end()])),
  };
}

/** A primary with a synchronous standby (`synchronous_standby_names`), behind an address that moves. */
async function withStandby(): Promise<RunningEngine> {
  let primary = await startPostgres();
  const target = { port: primary.address.port };
  const proxy = await startProxy(target);
  const program = library({ url: await migratedUrl("postgres", `app@127.0.0.1:${proxy.port}/app`) });
  let standby = await synchronousStandby(primary);

  const failover: Fault = {
    kind: "failover",
    async run() {
      await primary.server.kill();
      await standby.sql("SELECT pg_promote()");
      const old = primary;
      primary = standby;
      target.port = primary.address.port;
      proxy.cut();
      await old.stop();
      standby = await synchronousStandby(primary);
    },
  };
  return {
    program,
    faults: [[...networkFaults(proxy), failover, failover]],
    stop: () =>
      inTurn(
        () => proxy.stop(),
        () => standby.stop(),
        () => primary.stop(),
      ),
  };
}

/** Starts a standby, and waits until each commit of the primary waits for it. */
async function synchronousStandby(primary: Postgres): Promise<Postgres> {
  const standby = await primary.standby();
  await until("the standby follows", async () => (await primary.sql("SELECT FROM pg_stat_replication")).length > 0);
  await primary.sql("ALTER SYSTEM SET synchronous_standby_names = '*'");
  await primary.sql("SELECT pg_reload_conf()");
  await until("it is synchronous", async () => {
    const [row] = await primary.sql("SELECT sync_state FROM pg_stat_replication");
    return row?.[0] === "sync";
  });
  return standby;
}

/** Makes the table, and returns the URL. */
async function migratedUrl(scheme: string, rest: string): Promise<string> {
  // Not at the top: the tests of the checker need no built library.
  const { openStore } = await import("sojourn/open");
  const url = `${scheme}://${rest}`;
  const store = await openStore(url, { migrate: true });
  await store.close();
  return url;
}

const temporaryFolder = () => mkdtempSync(join(tmpdir(), "sojourn-histories-"));

function remove(folder: string): void {
  rmSync(folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 });
}

async function inTurn(...steps: (() => Promise<unknown>)[]): Promise<void> {
  for (const step of steps) await step();
}
