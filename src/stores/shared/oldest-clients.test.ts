import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { mysqlStore } from "../mysql/store.ts";
import { redisStore } from "../redis/store.ts";
import { checkVersion, OLDEST_CLIENTS } from "./oldest-clients.ts";

const call = () => {};
const manifest = JSON.parse(readFileSync(join(import.meta.dirname, "../../../package.json"), "utf8")) as {
  peerDependencies: Record<string, string>;
  peerDependenciesMeta: Record<string, { optional: boolean }>;
};

describe("peerDependencies", () => {
  it("block no installation: every release of every optional package is accepted", () => {
    const ranges = Object.entries(manifest.peerDependencies);
    expect(ranges.filter(([, range]) => range !== "*")).toEqual([]);
    expect(ranges.filter(([name]) => manifest.peerDependenciesMeta[name]?.optional !== true)).toEqual([]);
  });

  it("name every client of a store and every framework that an adapter uses", () => {
    const nest = ["@nestjs/common", "@nestjs/core", "@nestjs/websockets"];
    const frameworks = [
      "@tanstack/react-start",
      "express",
      "fastify",
      "h3",
      "hono",
      "koa",
      "next",
      "nuxt",
      "socket.io",
    ];
    const expected = [...Object.keys(OLDEST_CLIENTS), ...nest, ...frameworks].toSorted();
    expect(Object.keys(manifest.peerDependencies).toSorted()).toEqual(expected);
  });
});

describe("redisStore, given a client that is too old", () => {
  // The methods of these clients were looked up in releases such as 3.1.2, 4.7.1, 5.0.0 and 5.12.1 of redis.
  const nodeRedis = { sendCommand: call, subscribe: call, hSet: call };
  const ioRedis = { options: {}, scriptsSet: {}, getBuffer: call, duplicate: call };
  it.each<[name: string, client: object, remedy: string]>([
    ["redis 3", { sendCommand: call, duplicate: call, subscribe: call, internal_send_command: call }, "redis@6"],
    ["createClient of redis 5", { ...nodeRedis, duplicate: call }, "redis@6"],
    ["createCluster of redis 5", { ...nodeRedis, nodeClient: call, slots: [] }, "redis@6"],
    ["createSentinel of redis 5", { ...nodeRedis, getMasterNode: call }, "redis@6"],
    ["Redis of ioredis 5.3", ioRedis, "ioredis@5"],
    ["Cluster of iovalkey 0.3", { ...ioRedis, nodes: call, connectionPool: { nodeRecords: {} } }, "iovalkey@0.4"],
  ])("names the command that installs a newer one: %s", (_name, client, remedy) => {
    expect(() => redisStore(client as never)).toThrow(TypeError);
    expect(() => redisStore(client as never)).toThrow(`npm install ${remedy}`);
  });
});

describe("mysqlStore, given a pool that is too old", () => {
  const pool = (connectAttributes: unknown) => ({
    getConnection: call,
    execute: call,
    config: { connectionConfig: { connectAttributes } },
  });
  it.each<[name: string, pool: object]>([
    ["mysql2 3.0, which names no version", pool(undefined)],
    ["mysql2 3.9.7", pool({ _client_version: "3.9.7" })],
    ["a promise pool of mysql2 3.9.7", { pool: pool({ _client_version: "3.9.7" }) }],
    ["mysql", { getConnection: call, config: { connectionConfig: {} } }],
  ])("names the command that installs a newer one: %s", (_name, old) => {
    expect(() => mysqlStore(old as never)).toThrow(TypeError);
    expect(() => mysqlStore(old as never)).toThrow("npm install mysql2@3");
  });

  it("accepts later releases", () => {
    for (const version of ["3.9.8", "3.10.0", "4.0.0-rc.1"]) {
      expect(() => mysqlStore(pool({ _client_version: version }) as never)).not.toThrow();
    }
  });
});

describe("checkVersion", () => {
  it("compares numbers, not characters", () => {
    expect(() => checkVersion("it", "pg", "8.4.0")).not.toThrow();
    expect(() => checkVersion("it", "pg", "8.23.1")).not.toThrow();
    expect(() => checkVersion("it", "pg", "10.0.0")).not.toThrow();
    expect(() => checkVersion("it", "pg", "8.3.9")).toThrow("it needs pg 8.4.0 or later, and this is 8.3.9");
    expect(() => checkVersion("it", "iovalkey", "0.3.1")).toThrow("npm install iovalkey@0.4");
  });

  it("accepts a version of unknown form, and a package that it does not know", () => {
    expect(() => checkVersion("it", "pg", "canary")).not.toThrow();
    expect(() => checkVersion("it", "pg", undefined)).not.toThrow();
    expect(() => checkVersion("it", "oracledb", "0.1.0")).not.toThrow();
  });
});
