import { definePlugin } from "nitro";
import { adapterContract, type AdapterParts } from "sojourn/testing";
import { serve } from "srvx";
import { addApplication } from "../utils/applications.ts";

/** Nitro's application in the production build. Each case gets a server of its own for it, with its own sessions. */
export default definePlugin((nitroApp) => {
  async function start(parts: AdapterParts) {
    const server = serve({ fetch: nitroApp.fetch, port: 0, hostname: "127.0.0.1", silent: true });
    await server.ready();
    const { port, origin } = new URL(server.url!);
    addApplication(port, parts);
    return { url: origin, close: () => server.close(true) };
  }
  Object.assign(globalThis, { casesWith: (options: object) => adapterContract(start, options) });
});
