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

/** Where postgres is, if tests are to run on it; initdb and pg_basebackup are beside it. */
export const POSTGRES_PATH = process.env.POSTGRES_PATH;
/** Where pgbouncer is, if tests are to run behind it. */
export const PGBOUNCER_PATH = process.env.PGBOUNCER_PATH;

/** How an application connects, in the words that pg and postgres.js share. */
export interface PostgresAddress {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly database: string;
}

/** A PostgreSQL server of a test's own. `app` may do anything in the database `app`; `guarded` needs a password. */
export interface Postgres {
  readonly server: Pick<Program, "kill" | "restart" | "pause" | "resume" | "output">;
  readonly address: PostgresAddress;
  readonly folder: string;
  /** The administrator's statements, on a connection of its own; the rows of the last one, as arrays. */
  sql(script: string, database?: string): Promise<unknown[][]>;
  /** Client connections that the server has, the asker's aside. */
  connections(): Promise<number>;
  /** A streaming standby of this server. */
  standby(settings?: Readonly<Record<string, string>>): Promise<Postgres>;
  stop(): Promise<void>;
}

export interface PostgresOptions {
  readonly settings?: Readonly<Record<string, string>>;
  /** MiB that no file of the server's may exceed: a disk that is full, for the table at least. */
  readonly largestFile?: number;
}

/** Where the kill comes from is of no matter: what PostgreSQL has written is with the operating system. */
const SETTINGS = { fsync: "off", shared_buffers: "32MB", max_connections: "60", unix_socket_directories: "" };

export async function startPostgres({ settings = {}, largestFile }: PostgresOptions = {}): Promise<Postgres> {
  const folder = throwawayFolder();
  tool(
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
  const postgres = await run(folder, { ...SETTINGS, ...settings }, largestFile);
  await postgres.sql("CREATE ROLE app LOGIN", "postgres");
  await postgres.sql("CREATE ROLE guarded LOGIN PASSWORD 'open sesame'", "postgres");
  await postgres.sql("CREATE DATABASE app OWNER app", "postgres");
  return postgres;
}

async function run(
  folder: string,
  settings: Readonly<Record<string, string>>,
  largestFile?: number,
): Promise<Postgres> {
  const port = await freePort();
  const address = { host: "127.0.0.1", port, user: "app", database: "app" };
  const given = { ...settings, port: String(port), listen_addresses: "127.0.0.1" };

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
  for (const [name, value] of Object.entries(given)) args.push("-c", `${name}=${value}`);
  const limited = largestFile === undefined ? undefined : `ulimit -f ${largestFile * 2048}; exec "$0" "$@"`;
  const program = await startProgram({
    name: "PostgreSQL",
    ...(limited === undefined
      ? { command: POSTGRES_PATH!, args }
      : { command: "/bin/sh", args: ["-c", limited, POSTGRES_PATH!, ...args] }),
    ...unprivileged(),
    ready: async () => (await sql("SELECT 1", "postgres")).length === 1,
  });

  // To SIGTERM it would wait until every client has gone.
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
    async standby(more = {}) {
      const place = throwawayFolder();
      tool(
        "pg_basebackup",
        "-D",
        join(place, "data"),
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
      return run(place, { ...settings, ...more });
    },
    async stop() {
      program.resume();
      await shutDown();
      removeFolder(folder);
    },
  };
}

function tool(name: string, ...args: string[]): void {
  if (POSTGRES_PATH === undefined) throw new Error("set POSTGRES_PATH to a postgres");
  const command = join(dirname(realpathSync(POSTGRES_PATH)), name);
  const { status, stderr, error } = spawnSync(command, args, { ...unprivileged(), cwd: "/", encoding: "utf8" });
  if (status !== 0) throw new Error(`${name} failed: ${error?.message ?? stderr}`);
}

/** A pgbouncer in transaction mode before a server. */
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
      // SIGTERM is its immediate way of shutting down.
      await program.stop();
      removeFolder(folder);
    },
  };
}
