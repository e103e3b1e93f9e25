// The other process of parts/revocation.mjs: it has a near cache, and says when a session is gone from it.
import { setImmediate as turn } from "node:timers/promises";
import { obey } from "./orders.mjs";
import { openSessions } from "../parts/revocation.mjs";

const { sessions } = await openSessions(process.argv[2]);
const userOf = async (cookie) => {
  const request = new Request("https://shop.example/", { headers: { cookie } });
  return (await sessions.open(request)).userId;
};

obey({
  async fill({ cookie }) {
    for (let reads = 0; reads < 5; reads += 1) await userOf(cookie);
  },
  async watch({ cookie }) {
    while ((await userOf(cookie)) !== undefined) await turn();
    return Date.now();
  },
});
