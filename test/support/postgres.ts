import { spawnSync } from "node:child_process";
import { appendFileSync, readFileSync, realpathSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { Client } from "pg";
import {
  accepts,
  freePort,
  type Program,
  removeFolder,
  startProgram,
  throwawayFolder,
  unprivileged,
  until,
} from "./throwaway.ts";

/** The path of postgres, with initdb and pg_basebackup beside it; tests that need it are skipped without. */
export const POSTGRES_PATH = process.env.POSTGRES_PATH;
/** The path of pgbouncer; tests that need it are skipped without. */
export const PGBOUNCER_PATH = process.env.PGBOUNCER_PATH;

/** The options of pg and postgres.js by which an application connects. */
export interface PostgresAddress {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly database: string;
}

/** A PostgreSQL server of one test. The role `app` has all rights in the database `app`; `guarded` needs a password. */
export interface Postgres {
  readonly server: Pick<Program, "kill" | "restart" | "pause" | "resume" | "output">;
  readonly address: PostgresAddress;
  readonly folder: string;
  /** Runs statements as administrator, on a connection of its own. Returns the rows of the last one, as arrays. */
  sql(script: string, database?: string): Promise<unknown[][]>;
  /** Counts the server's client connections, without the one that this call opens. */
  connections(): Promise<number>;
  /** Starts a streaming standby of this server. */
  standby(settings?: Readonly<Record<string, string>>): Promise<Postgres>;
  stop(): Promise<void>;
}

export interface PostgresOptions {
  readonly settings?: Readonly<Record<string, string>>;
  /** The largest size of a file of the server, in MiB. A table that reaches it meets the same error as on a full disk. */
  readonly maxFileMiB?: number;
}

/** Without fsync, tests are faster. A server that is killed loses nothing, because the operating system has its writes. */
const SETTINGS = { fsync: "off", shared_buffers: "32MB", max_connections: "60", unix_socket_directories: "" };

export async function startPostgres({ settings = {}, maxFileMiB }: PostgresOptions = {}): Promise<Postgres> {
  const folder = throwawayFolder();
  runTool(
    "initdb",
    "-D",
    join(folder, "data"),
    "-U",
    "postgres",
    "-A",
    "trust",
    "-E",
    "UTF8",
    "--locale=C",
    "--no-sync",
    "--wal-segsize=1",
  );
  const hba = join(folder, "data", "pg_hba.conf");
  writeFileSync(hba, `host all guarded 127.0.0.1/32 scram-sha-256\n${readFileSync(hba, "utf8")}`);
  const postgres = await startIn(folder, { ...SETTINGS, ...settings }, maxFileMiB);
  await postgres.sql("CREATE ROLE app LOGIN", "postgres");
  await postgres.sql("CREATE ROLE guarded LOGIN PASSWORD 'open sesame'", "postgres");
  await postgres.sql("CREATE DATABASE app OWNER app", "postgres");
  return postgres;
}

async function startIn(
  folder: string,
  settings: Readonly<Record<string, string>>,
  maxFileMiB?: number,
): Promise<Postgres> {
  const port = await freePort();
  const address = { host: "127.0.0.1", port, user: "app", database: "app" };
  const allSettings = { ...settings, port: String(port), listen_addresses: "127.0.0.1" };

  async function sql(script: string, database = "app"): Promise<unknown[][]> {
    const administrator = new Client({ ...address, user: "postgres", database, connectionTimeoutMillis: 60_000 });
    administrator.on("error", () => {});
    try {
      await administrator.connect();
      return (await administrator.query<unknown[]>({ text: script, rowMode: "array" })).rows;
    } finally {
      await administrator.end();
    }
  }

  const args = ["-D", join(folder, "data")];
  for (const [name, value] of Object.entries(allSettings)) args.push("-c", `${name}=${value}`);
  const limitedCommand = maxFileMiB === undefined ? undefined : `ulimit -f ${maxFileMiB * 2048}; exec "$0" "$@"`;
  const program = await startProgram({
    name: "PostgreSQL",
    ...(limitedCommand === undefined
      ? { command: POSTGRES_PATH!, args }
      : { command: "/bin/sh", args: ["-c", limitedCommand, POSTGRES_PATH!, ...args] }),
    ...unprivileged(),
    ready: async () => (await sql("SELECT 1", "postgres")).length === 1,
  });

  // After SIGTERM the server would wait until every client has disconnected.
  async function shutDown(): Promise<void> {
    if (program.running) process.kill(program.pid, "SIGINT");
    await until("PostgreSQL has shut down", () => !program.running);
  }

  return {
    folder,
    address,
    sql,
    server: {
      output: () => program.output(),
      pause: () => program.pause(),
      resume: () => program.resume(),
      kill: () => program.kill(),
      async restart() {
        program.resume();
        await shutDown();
        await program.restart();
      },
    },
    async connections() {
      const [row] = await sql(
        "SELECT count(*)::int FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()",
      );
      return Number(row?.[0]);
    },
    async standby(moreSettings = {}) {
      const standbyFolder = throwawayFolder();
      runTool(
        "pg_basebackup",
        "-D",
        join(standbyFolder, "data"),
        "-R",
        "-h",
        "127.0.0.1",
        "-p",
        String(port),
        "-U",
        "postgres",
        "-c",
        "fast",
        "--no-sync",
      );
      return startIn(standbyFolder, { ...settings, ...moreSettings });
    },
    async stop() {
      program.resume();
      await shutDown();
      removeFolder(folder);
    },
  };
}

function runTool(name: string, ...args: string[]): void {
  if (POSTGRES_PATH === undefined) throw new Error("set POSTGRES_PATH to a postgres");
  const command = join(dirname(realpathSync(POSTGRES_PATH)), name);
  const { status, stderr, error } = spawnSync(command, args, { ...unprivileged(), cwd: "/", encoding: "utf8" });
  if (status !== 0) throw new Error(`${name} failed: ${error?.message ?? stderr}`);
}

/** A pgbouncer in transaction mode in front of a server. */
export interface Pgbouncer {
  readonly address: PostgresAddress;
  stop(): Promise<void>;
}

export async function startPgbouncer({ address }: Pick<Postgres, "address">): Promise<Pgbouncer> {
  if (PGBOUNCER_PATH === undefined) throw new Error("set PGBOUNCER_PATH to a pgbouncer");
  const folder = throwawayFolder();
  const port = await freePort();
  const users = join(folder, "users.txt");
  const file = join(folder, "pgbouncer.ini");
  appendFileSync(users, `"app" ""\n`, { mode: 0o644 });
  appendFileSync(
    file,
    `[databases]
* = host=127.0.0.1 port=${address.port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = trust
auth_file = ${users}
pool_mode = transaction
default_pool_size = 5
server_round_robin = 1
`,
    { mode: 0o644 },
  );
  const program = await startProgram({
    name: "pgbouncer",
    command: PGBOUNCER_PATH,
    args: [file],
    ...unprivileged(),
    ready: () => accepts(port),
  });
  return {
    address: { ...address, port },
    async stop() {
      // pgbouncer shuts down immediately on SIGTERM.
      await program.stop();
      removeFolder(folder);
    },
  };
}
