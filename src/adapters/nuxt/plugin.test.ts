import type { IncomingMessage, ServerResponse } from "node:http";
import { describe, expect, it } from "vitest";
import { site } from "../../../test/support/stores.ts";
import { cookieFor, tokenFor } from "../../testing/application.ts";
import { bearerTokens } from "../bearer.ts";
import type { AdapterOptions } from "../adapter.ts";
import { createContext } from "../context.ts";
import { sessionIn, type NuxtEvent } from "./carried.ts";
import { sessionPlugin } from "./plugin.ts";

type Handle = (event: NuxtEvent) => unknown;

/** A response that does not leave the server, as Nitro makes it. */
function internalResponse() {
  const headers = new Map<string, string>();
  const res = {
    __unenv__: {},
    statusCode: 200,
    getHeader: (name: string) => headers.get(name.toLowerCase()),
    getHeaderNames: () => [...headers.keys()],
    setHeader: (name: string, value: string) => void headers.set(name.toLowerCase(), value),
    appendHeader: (name: string, value: string) => void headers.set(name.toLowerCase(), value),
    once: () => {},
  };
  return { res: res as unknown as ServerResponse, headers };
}

/** An application of Nitro 2, whose every request is an internal one: by `localFetch`, or by `event.$fetch` of another. */
function applicationWith(options: AdapterOptions<NuxtEvent> = {}) {
  const { sessions } = site();
  const request: Handle[] = [];
  const beforeResponse: ((event: NuxtEvent, response: object) => unknown)[] = [];
  const h3App = {
    async handler(event: NuxtEvent): Promise<unknown> {
      for (const listener of request) listener(event);
      const body = await (event as NuxtEvent & { handle: Handle }).handle(event);
      for (const listener of beforeResponse) await listener(event, { body });
      return body;
    },
  };
  sessionPlugin({ sessions, options })({
    h3App,
    router: { use: () => {} },
    hooks: {
      hook: (name: string, listener: never) => void (name === "request" ? request : beforeResponse).push(listener),
    },
  });
  async function fetch(headers: object, handle: Handle, page?: NuxtEvent) {
    const { res, headers: sent } = internalResponse();
    const req = { method: "GET", url: "/", httpVersion: "1.1", headers, socket: {}, __unenv__: page?.context };
    const event = { node: { req: req as unknown as IncomingMessage, res }, context: {}, handle };
    return { body: await h3App.handler(event), headers: sent };
  }
  return { sessions, fetch };
}

const userOf: Handle = async (event) => (await sessionIn(event.context).load()).userId;

describe("the plugin of Nuxt", () => {
  it("gives a request that a page makes with another token the session of this token", async () => {
    const { sessions, fetch } = applicationWith({ bearer: bearerTokens() });
    const headersOf = async (user: string) => ({ authorization: `Bearer ${await tokenFor(sessions, user)}` });
    const ada = await headersOf("ada");
    const bob = await headersOf("bob");
    const page: Handle = async (event) => {
      const asking = [ada, bob].map(async (headers) => (await fetch(headers, userOf, event)).body);
      return [await userOf(event), ...(await Promise.all(asking))];
    };
    expect((await fetch(ada, page)).body).toEqual(["ada", "ada", "bob"]);
  });

  it("refuses the session of sojourn/context too, where Nitro makes a response for its cache", async () => {
    const { context, session } = createContext();
    const { sessions, fetch } = applicationWith({ context });
    const headers = { cookie: await cookieFor(sessions, "ada") };
    const cached: Handle = (event) => {
      Object.assign(event.context, { cache: {} });
      return session.userId;
    };
    await expect(fetch(headers, cached)).rejects.toThrow("Nitro keeps for everybody");
    expect((await fetch(headers, () => session.userId)).body).toBe("ada");
  });

  it("lets no cache store the page of an error that shows the session", async () => {
    const { sessions, fetch } = applicationWith();
    const headers = { cookie: await cookieFor(sessions, "ada"), "x-nuxt-error": "true" };
    const page = await fetch(headers, userOf);
    expect([page.body, page.headers.get("cache-control"), page.headers.get("vary")]).toEqual([
      "ada",
      "no-store",
      "Cookie",
    ]);
    expect((await fetch(headers, () => "not found")).headers.size).toBe(0);
  });
});
