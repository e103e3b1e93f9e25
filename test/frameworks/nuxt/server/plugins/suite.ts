import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { toNodeListener } from "h3";
import { sessionPlugin } from "sojourn/nuxt/server";
import { adapterContract, type AdapterParts } from "sojourn/testing";
import { applications } from "../utils/applications";

/** Nitro's application in the production build. Each case gets a server of its own for it, with its own sessions. */
export default defineNitroPlugin((nitroApp) => {
  async function start({ mounts, routes }: AdapterParts) {
    const app = { ...nitroApp, h3App: { ...nitroApp.h3App } };
    for (const { sessions, options } of mounts) sessionPlugin({ sessions, options })(app);
    const server = createServer(toNodeListener(app.h3App)).listen(0, "127.0.0.1");
    await once(server, "listening");
    applications.set((server.address() as AddressInfo).port, routes);
    return server;
  }
  Object.assign(globalThis, { casesWith: (options: object) => adapterContract(start, options) });
});
