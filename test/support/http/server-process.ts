// One server of several on the same directory: `server-process.ts <directory> <secret key>`. Says the origin of each
// way in, as JSON.
import type { AddressInfo } from "node:net";
import { createSessions } from "sojourn";
import { fileStore } from "sojourn/file";
import { createStage } from "./stage.ts";
import { ways } from "./ways.ts";

const [, , directory, secretKey] = process.argv;
const sessions = createSessions({ secretKey, store: fileStore({ directory: directory! }), storeTimeout: "60s" });
const origins: Record<string, string> = {};
for (const way of ways) {
  const server = await way.start({ sessions, stage: createStage(), lazy: false, personal: false, trustProxy: false });
  origins[way.name] = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}
console.log(JSON.stringify(origins));
