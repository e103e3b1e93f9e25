import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { createSessions } from "sojourn";
import { fileStore } from "sojourn/file";
import { createApp } from "./app.ts";
import { createChat } from "./chat.ts";

const { SECRET_KEY, SESSION_DIR, PORT = "3000" } = process.env;

const sessions = createSessions({
  secretKey: SECRET_KEY,
  store: fileStore(SESSION_DIR === undefined ? {} : { directory: SESSION_DIR }),
});

const server = createServer(createApp(sessions));
createChat(server, sessions);
server.listen(Number(PORT), "127.0.0.1", () => {
  console.log(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
});
