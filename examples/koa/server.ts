import type { AddressInfo } from "node:net";
import { createSessions } from "sojourn";
import { fileStore } from "sojourn/file";
import { createApp, type Data } from "./app.ts";

const { SECRET_KEY, SESSION_DIR, PORT = "3000" } = process.env;

const sessions = createSessions<Data>({
  secretKey: SECRET_KEY,
  store: fileStore(SESSION_DIR === undefined ? {} : { directory: SESSION_DIR }),
});

const server = createApp(sessions).listen(Number(PORT), "127.0.0.1", () => {
  console.log(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
});
