import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";

/** What the sessions at a URL of `openStore` take, in bytes of memory (Redis) or of disk (the others). */
export async function sizeOf(url) {
  const scheme = url.slice(0, url.indexOf(":"));
  return SIZES[scheme](url.split("?", 1)[0]);
}

const SIZES = {
  async file(url) {
    let bytes = 0;
    const walk = (folder) => {
      for (const entry of readdirSync(folder, { withFileTypes: true })) {
        const path = join(folder, entry.name);
        if (entry.isDirectory()) walk(path);
        bytes += statSync(path).blocks * 512;
      }
    };
    walk(url.slice("file:".length));
    return bytes;
  },

  async redis(url) {
    const { createClient } = await import("redis");
    const client = await createClient({ url }).connect();
    const bytes = Number(/used_memory:(\d+)/.exec(await client.info("memory"))[1]);
    await client.close();
    return bytes;
  },

  async "redis+cluster"(url) {
    const nodes = url.slice("redis+cluster://".length).split(",");
    const sizes = await Promise.all(nodes.map((node) => SIZES.redis(`redis://${node}`)));
    return sizes.reduce((sum, size) => sum + size);
  },

  async postgres(url) {
    const { default: pg } = await import("pg");
    const client = new pg.Client(url);
    await client.connect();
    const { rows } = await client.query("SELECT pg_total_relation_size('sojourn_sessions')::float8 AS bytes");
    await client.end();
    return rows[0].bytes;
  },

  async mysql(url) {
    const { createConnection } = await import("mysql2/promise");
    const connection = await createConnection(url);
    await connection.query("ANALYZE TABLE sojourn_sessions");
    const [rows] = await connection.query(
      "SELECT data_length + index_length AS bytes FROM information_schema.tables WHERE table_name = 'sojourn_sessions'",
    );
    await connection.end();
    return Number(rows[0].bytes);
  },
};
