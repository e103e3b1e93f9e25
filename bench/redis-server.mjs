import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Runs `work` with the port of a Redis server that keeps nothing on disk; REDIS_SERVER_PATH names another than the PATH's. */
export async function withRedis(work) {
  const directory = mkdtempSync(join(tmpdir(), "sojourn-bench-redis-"));
  const port = await freePort();
  const options = ["--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", directory];
  const server = spawn(process.env.REDIS_SERVER_PATH ?? "redis-server", options.map(String), {
    stdio: ["ignore", "pipe", "inherit"],
  });
  try {
    await new Promise((resolve, reject) => {
      server.once("error", reject);
      server.once("exit", () => reject(new Error("redis-server ended")));
      server.stdout.on("data", (text) => void (/Ready to accept connections/.test(text) && resolve()));
    });
    return await work(String(port));
  } finally {
    if (server.exitCode === null && server.pid) {
      const ended = once(server, "exit");
      server.kill();
      await ended;
    }
    rmSync(directory, { recursive: true, force: true });
  }
}

async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  await once(server, "close");
  return port;
}
