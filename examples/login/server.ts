// `npm start`: the login application as a server process.
import type { Server } from "node:http";
import type { AddressInfo } from "node:net";
import { createAdaptorServer } from "@hono/node-server";
import { createSessions, type Sessions } from "sojourn";
import { type FileStore, fileStore } from "sojourn/file";
import { createApp, type Data } from "./app.ts";
import { drainOnSignals } from "./drain.ts";
import { codeOf, type Environment, readEnvironment, StartError } from "./env.ts";

try {
  await start(readEnvironment(process.env, process.cwd()));
} catch (error) {
  console.error(error instanceof StartError ? `Can't start: ${error.message}` : error);
  process.exit(1);
}

async function start(environment: Environment): Promise<void> {
  if (environment.madeKeyIn) console.log(`Made a secret key; it is kept in ${environment.madeKeyIn}`);
  const store = openStore(environment);
  const sessions = openSessions(environment, store);
  const app = createApp({ sessions, store });

  const server = createAdaptorServer({ fetch: app.fetch }) as Server;
  drainOnSignals(server, () => sessions.close());
  console.log(`Sojourn's login example: ${await listen(server, environment)}`);
  console.log(`Sessions are stored in ${store.directory}`);
}

function openStore({ sessionDirectory }: Environment): FileStore {
  try {
    return fileStore({ directory: sessionDirectory });
  } catch (error) {
    throw new StartError(`${(error as Error).message}; SESSION_DIR names another directory`, { cause: error });
  }
}

function openSessions({ secretKey, trustProxy }: Environment, store: FileStore): Sessions<Data> {
  try {
    const sessions = createSessions<Data>({ secretKey, store, trustProxy });
    sessions.on("error", ({ error }) => console.error(error));
    return sessions;
  } catch (error) {
    if (error instanceof TypeError) throw new StartError(error.message, { cause: error });
    throw error;
  }
}

/** Returns the address for a browser on this machine. */
async function listen(server: Server, { port, host }: Environment): Promise<string> {
  try {
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject).listen({ port, host }, () => resolve(server.off("error", reject) && undefined));
    });
  } catch (error) {
    throw new StartError(remedyFor(error, port, host), { cause: error });
  }
  const isLocal = ["127.0.0.1", "::1", "0.0.0.0", "::"].includes(host);
  const name = isLocal ? "localhost" : host.includes(":") ? `[${host}]` : host;
  return `http://${name}:${(server.address() as AddressInfo).port}`;
}

function remedyFor(error: unknown, port: number, host: string): string {
  switch (codeOf(error)) {
    case "EADDRINUSE":
      return `port ${port} is in use; take another: PORT=${port === 65_535 ? 3000 : port + 1} npm start`;
    case "EACCES":
      return `port ${port} is not open to this user; take one from 1024 on: PORT=3000 npm start`;
    case "EADDRNOTAVAIL":
    case "ENOTFOUND":
    case "EAI_AGAIN":
      return `HOST is ${host}, which is no address of this machine; leave it out to use 127.0.0.1`;
    default:
      return (error as Error).message;
  }
}
