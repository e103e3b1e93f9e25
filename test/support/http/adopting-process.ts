// One server of several that have moved from express-session: `adopting-process.ts <port of Redis> <secret key> <old secret>`.
// Says its origin.
import type { AddressInfo } from "node:net";
import { RedisStore } from "connect-redis";
import { createClient } from "redis";
import { createSessions } from "sojourn";
import { expressSession } from "sojourn/adopt";
import { redisStore } from "sojourn/redis";
import { createStage } from "./stage.ts";
import { ways } from "./ways.ts";

const [, , port, secretKey, secret = ""] = process.argv;
const client = createClient({ url: `redis://127.0.0.1:${port}` });
await client.connect();
const store = new RedisStore({ client });
const userId = (data: Readonly<Record<string, unknown>>) => data["userId"] as string | undefined;
const sessions = createSessions({
  secretKey,
  store: redisStore(client),
  adopt: [expressSession({ secret, store, userId })],
  storeTimeout: "60s",
});
const way = ways.find(({ name }) => name === "Express 5")!;
const server = await way.start({ sessions, stage: createStage(), lazy: false, personal: false, trustProxy: false });
console.log(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
