import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { createConnection, type ConnectionOptions, type QueryResult } from "mysql2/promise";
import { freePort, type Program, removeFolder, startProgram, throwawayFolder, unprivileged } from "./throwaway.ts";

/** The path of mariadbd. Tests that need it are skipped if it is not set. */
export const MARIADB_PATH = process.env.MARIADB_PATH;

export interface MariadbOptions {
  /** Additional options of mariadbd. */
  readonly args?: readonly string[];
  readonly env?: NodeJS.ProcessEnv;
}

/** A MariaDB server for one test file, with an empty database and an ordinary user. */
export interface Mariadb {
  readonly program: Program;
  readonly port: number;
  /** The connection options of an application. */
  readonly client: ConnectionOptions & { host: string; port: number; user: string; password: string; database: string };
  /** Runs one statement as the administrator, on a new connection. */
  sql(statement: string, database?: string): Promise<unknown[]>;
  /** Returns the number of the application's connections to the server. */
  connections(): Promise<number>;
  stop(): Promise<void>;
}

export async function startMariadb({ args = [], env }: MariadbOptions = {}): Promise<Mariadb> {
  if (MARIADB_PATH === undefined) throw new Error("set MARIADB_PATH to a mariadbd");
  const folder = throwawayFolder();
  const data = join(folder, "data");
  const port = await freePort();
  const account = unprivileged();
  // At its start a server deletes the files in its temporary directory. So two servers must not share one.
  const temporary = throwawayFolder();
  install(data, temporary, account);

  async function sql(statement: string, database?: string): Promise<unknown[]> {
    const administrator = await createConnection({
      host: "127.0.0.1",
      port,
      user: "root",
      ...(database && { database }),
    });
    try {
      const [rows] = await administrator.query<QueryResult>(statement);
      return Array.isArray(rows) ? rows : [];
    } finally {
      await administrator.end();
    }
  }

  const program = await startProgram({
    name: "MariaDB",
    command: MARIADB_PATH,
    // If an option is repeated, the last one is used.
    args: [
      "--no-defaults",
      `--datadir=${data}`,
      `--tmpdir=${temporary}`,
      `--port=${port}`,
      "--bind-address=127.0.0.1",
      `--socket=${join(folder, "socket")}`,
      `--pid-file=${join(folder, "pid")}`,
      "--skip-name-resolve",
      "--innodb-buffer-pool-size=64M",
      ...args,
    ],
    ...(env && { env }),
    ...account,
    ready: async () => (await sql("SELECT 1")).length === 1,
  });

  const client = { host: "127.0.0.1", port, user: "app", password: "open sesame", database: "app" };
  await sql("CREATE DATABASE app");
  await sql(`CREATE USER app IDENTIFIED BY '${client.password}'`);
  await sql("GRANT ALL ON app.* TO app");

  return {
    program,
    port,
    client,
    sql,
    async connections() {
      const others = "FROM information_schema.processlist WHERE user = 'app'";
      const [row] = (await sql(`SELECT COUNT(*) AS connections ${others}`)) as { connections: number }[];
      return row?.connections ?? 0;
    },
    async stop() {
      await program.stop();
      removeFolder(folder);
      removeFolder(temporary);
    },
  };
}

function install(data: string, temporary: string, account: { uid?: number; gid?: number }): void {
  const server = dirname(MARIADB_PATH ?? "");
  const installer = ["", "../bin", "../scripts"]
    .map((folder) => join(server, folder, "mariadb-install-db"))
    .find((path) => existsSync(path));
  if (installer === undefined) throw new Error(`there is no mariadb-install-db near ${MARIADB_PATH}`);
  const paths = [`--datadir=${data}`, `--tmpdir=${temporary}`];
  const options = ["--no-defaults", ...paths, "--auth-root-authentication-method=normal", "--skip-test-db"];
  const { status, stdout, stderr } = spawnSync(installer, options, { encoding: "utf8", ...account });
  if (status !== 0) throw new Error(`mariadb-install-db failed:\n${stdout}${stderr}`);
}
