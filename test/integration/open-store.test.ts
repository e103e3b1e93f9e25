import { execFile } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { networkInterfaces, tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { withOnly } from "../support/one-client.ts";
import { POSTGRES_PATH, startPostgres } from "../support/postgres.ts";
import { REDIS_SERVER, type RedisServer, startCluster, startRedis } from "../support/redis.ts";
import { NODE22 } from "../support/sqlite.ts";
import { HUNG_MS } from "../support/throwaway.ts";
import { engines } from "../support/engines.ts";

const run = promisify(execFile);
const HAS_IPV6 = Object.values(networkInterfaces()).some((each) => each?.some(({ address }) => address === "::1"));
const ROOT = join(import.meta.dirname, "../..");

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "sojourn-open-store-"));
});
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

/** Stores a session and ends by itself. The closed store must not keep the process alive. */
const PROGRAM = `
  import { openStore } from "sojourn/open";
  const store = await openStore(process.argv[2], { migrate: true });
  const stored = { payload: new Uint8Array([1, 2, 3]), version: 1, expiresAt: Date.now() + 60_000, userId: "ada" };
  const created = await store.create("an-id-of-twenty-two-ch", stored);
  const found = await store.read("an-id-of-twenty-two-ch");
  console.log(created, found?.version, (await store.idsOfUser("ada")).join());
  await store.close();
`;

describe.each(engines)("openStore of a URL of $name", ({ isHere, start }) => {
  it.skipIf(!isHere)("opens a store that lets the process end once it is closed", async () => {
    const { url, stop } = await start();
    try {
      const args = ["--input-type=module", "-e", PROGRAM, "program", url];
      const { stdout, stderr } = await run(process.execPath, args, { cwd: ROOT, timeout: HUNG_MS });
      expect(stdout + stderr).toBe("true 1 an-id-of-twenty-two-ch\n");
    } finally {
      await stop();
    }
  });
});

describe("openStore of a URL of SQLite", () => {
  it.skipIf(!NODE22)("uses node:sqlite if better-sqlite3 is not installed", async () => {
    const args = [
      "--no-warnings",
      "--input-type=module",
      "-e",
      PROGRAM,
      "program",
      `sqlite:${join(folder, "sessions.db")}`,
    ];
    const { stdout } = await run(NODE22!, args, { cwd: ROOT, timeout: HUNG_MS });
    expect(stdout).toBe("true 1 an-id-of-twenty-two-ch\n");
  });
});

/** Prints "stored" if it could store a session, or else the message of the error. */
const STORE_PROGRAM = `
  import { openStore } from "./dist/stores/open/open.js";
  try {
    const store = await openStore(process.argv[2]);
    await store.create("an-id", { payload: new Uint8Array(3), version: 1, expiresAt: Date.now() + 60_000 });
    await store.close();
    console.log("stored");
  } catch (error) { console.log(error.message); }
`;

describe.skipIf(!REDIS_SERVER)("openStore of a URL of Redis, with each client", () => {
  let server: RedisServer;
  beforeAll(async () => (server = await startRedis(HAS_IPV6 ? ["--bind", "127.0.0.1", "::1"] : [])));
  afterAll(() => server.end());

  describe.each(["redis", "ioredis", "iovalkey"])("%s", (client) => {
    it("stores sessions in the database of the URL, and rejects a database that does not exist", async () => {
      const { port } = server;
      const prefix = `prefix=${client}`;
      expect(await withOnly(client, STORE_PROGRAM, `redis://127.0.0.1:${port}/3?${prefix}`)).toBe("stored\n");
      expect(await server.command("INFO", "keyspace")).toMatch(/^db3:/m);
      expect(await withOnly(client, STORE_PROGRAM, `redis://127.0.0.1:${port}/99?${prefix}`)).toMatch(
        /can't connect.*out of range/,
      );
      expect(await server.command("INFO", "keyspace")).not.toMatch(/^db0:/m);
    });

    it.skipIf(!HAS_IPV6)("connects to an IPv6 address", async () => {
      const url = `redis://[::1]:${server.port}/4?prefix=v6-${client}`;
      expect(await withOnly(client, STORE_PROGRAM, url)).toBe("stored\n");
    });

    it("decodes user name and password, and rejects a wrong password without showing it", async () => {
      const { port } = server;
      await server.command("ACL", "SETUSER", "we@b", "on", ">p@ss/w%rd", "~*", "&*", "+@all");
      expect(
        await withOnly(
          client,
          STORE_PROGRAM,
          `redis://we%40b:p%40ss%2Fw%25rd@127.0.0.1:${port}/5?prefix=acl-${client}`,
        ),
      ).toBe("stored\n");
      const wrong = await withOnly(client, STORE_PROGRAM, `redis://we%40b:guessed@127.0.0.1:${port}/5`);
      expect(wrong).toMatch(/can't connect.*(WRONGPASS|invalid username)/);
      expect(wrong).not.toContain("guessed");
    });
  });
});

describe.skipIf(!REDIS_SERVER)("openStore of a URL of a Redis Cluster with a node that is down", () => {
  let cluster: Awaited<ReturnType<typeof startCluster>>;
  beforeAll(async () => {
    cluster = await startCluster();
    await cluster.nodes[3]!.kill();
  });
  afterAll(() => cluster.end());

  it.each(["redis", "ioredis", "iovalkey"])(
    "opens it with %s, and rejects with the cause if no node is usable",
    async (client) => {
      const { nodes } = cluster;
      const addresses = [...nodes.slice(3), ...nodes.slice(0, 3)].map(({ port }) => `127.0.0.1:${port}`);
      expect(await withOnly(client, STORE_PROGRAM, `redis+cluster://${addresses.join(",")}?prefix=${client}`)).toBe(
        "stored\n",
      );
      const wrong = await withOnly(client, STORE_PROGRAM, `redis+cluster://we:guessed@${addresses.slice(1).join(",")}`);
      expect(wrong).toMatch(/can't connect.*WRONGPASS/);
      expect(wrong).not.toContain("guessed");
    },
  );
});

describe.skipIf(!POSTGRES_PATH)("openStore of a URL of PostgreSQL, with postgres.js", () => {
  it("closes after a connection was lost during reads", async () => {
    const { address, stop } = await startPostgres();
    const program = `
      import { connect, createServer } from "node:net";
      import { openStore } from "./dist/stores/open/open.js";
      const sockets = new Set();
      const line = createServer((client) => {
        const server = connect(Number(process.argv[2]), "127.0.0.1");
        for (const socket of [client, server]) sockets.add(socket.on("error", () => {}));
        client.pipe(server).pipe(client);
      }).listen(0, "127.0.0.1", async () => {
        const store = await openStore("postgres://app@127.0.0.1:" + line.address().port + "/app", { migrate: true });
        const reads = () => Promise.allSettled(Array.from({ length: 5 }, () => store.read("an-id")));
        await reads();
        for (const socket of sockets) socket.resetAndDestroy();
        await reads();
        console.log((await reads()).map(({ status }) => status).join());
        await store.close();
        console.log("closed");
        line.close();
        for (const socket of sockets) socket.destroy();
      });
    `;
    try {
      const output = await withOnly("postgres", program, `${address.port}`);
      expect(output).toMatch(/closed\n$/);
    } finally {
      await stop();
    }
  });
});
