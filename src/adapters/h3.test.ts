import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { bodyLimit, defineWebSocketHandler, fromNodeHandler, H3, onResponse, toNodeHandler, type H3Event } from "h3";
import { afterEach, beforeEach, describe, expect, it, onTestFinished, vi } from "vitest";
import { cookieFor, tokenFor } from "../testing/application.ts";
import { site, type SiteOptions } from "../../test/support/stores.ts";
import { bearerTokens } from "./bearer.ts";
import { createContext } from "./context.ts";
import { requireRecentSignIn, requireUser, sessionMiddleware } from "./h3.ts";

beforeEach(() => void vi.spyOn(console, "error").mockReturnValue());
afterEach(() => void vi.restoreAllMocks());

type Config = ConstructorParameters<typeof H3>[0];

function appOf({ config = {}, ...options }: SiteOptions & { config?: Config } = {}) {
  const { sessions, store, events } = site(options);
  return { app: new H3({ silent: true, ...config }).use(sessionMiddleware(sessions)), sessions, store, events };
}

function signIn({ context }: H3Event): void {
  context.session.signIn("ada");
}

/** The URL of an application on node:http. */
async function served(app: H3): Promise<string> {
  const server = createServer(toNodeHandler(app) as never).listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => void server.close());
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
}

describe("sessionMiddleware of h3", () => {
  it("gives one session to an event whose request is replaced, as bodyLimit does", async () => {
    const { app, sessions } = appOf();
    const seen: unknown[] = [];
    app.use(({ req }) => void seen.push(req)).use(bodyLimit(1000));
    app.post("/", (event) => {
      seen.push(event.req);
      return [event, event.req].map(
        (request) => sessions.of(request as H3Event) === (event.context.session as unknown),
      );
    });
    const response = await app.request("/", { method: "POST", body: "hello" });
    expect(await response.json()).toEqual([true, true]);
    expect(seen[0]).not.toBe(seen[1]);
  });

  it("sends the cookie with a response of the option onError, where the handler signed in before it threw", async () => {
    const onError = () => new Response("sorry", { status: 418 });
    const { app, sessions } = appOf({ config: { onError } });
    app.get("/", (event) => {
      signIn(event);
      throw new Error("the application's mistake");
    });
    const response = await app.request("/");
    expect([response.status, await response.text()]).toEqual([418, "sorry"]);
    const cookie = response.headers.getSetCookie()[0]!.split(";")[0]!;
    const session = await sessions.open(new Request("http://localhost/", { headers: { cookie } }));
    expect(session.userId).toBe("ada");
  });

  it("calls the hook onResponse once, for an error as well", async () => {
    const hook = vi.fn<(response: Response) => void>();
    const { app } = appOf({ config: { onResponse: hook } });
    app.get("/ok", () => "ok").get("/error", () => Promise.reject(new Error("mistake")));
    for (const path of ["/ok", "/error", "/missing"]) await app.request(path);
    expect(hook.mock.calls.map(([{ status }]) => status)).toEqual([200, 500, 404]);
  });

  it("answers 503 with the headers of earlier middleware, where the session can't be stored", async () => {
    const { sessions } = site({ faults: { create: () => "error" } });
    const app = new H3({ silent: true })
      .use(({ res }) => res.errHeaders.set("x-id", "1"))
      .use(sessionMiddleware(sessions))
      .get("/", signIn);
    const { status, headers } = await app.request("/");
    expect([status, headers.get("x-id"), headers.get("cache-control")]).toEqual([503, "1", "no-store"]);
    expect(headers.getSetCookie()).toEqual([]);
  });

  it("logs an outage with its cause, and shows the client neither", async () => {
    const { sessions } = site({ faults: { create: () => "error" } });
    const response = await new H3().use(sessionMiddleware(sessions)).get("/", signIn).request("/");
    expect(await response.json()).toMatchObject({ status: 503, message: "The session is not available" });
    expect(console.error).toHaveBeenCalledExactlyOnceWith(expect.objectContaining({ code: "ERR_SESSION_STORE" }));
  });

  it("keeps the length of a page that sets a cookie", async () => {
    const { app } = appOf();
    app.get("/", (event) => {
      signIn(event);
      return "hello";
    });
    const { headers } = await fetch(await served(app));
    expect([headers.get("content-length"), headers.getSetCookie().length]).toEqual(["5", 1]);
  });

  it("leaves the hooks of a WebSocket in the response, and the session attached", async () => {
    const { app, sessions } = appOf();
    const hooks = { message() {} };
    app.get(
      "/socket",
      defineWebSocketHandler(async (event: H3Event) => {
        expect((await sessions.attach(event)).userId).toBe("ada");
        return hooks;
      }),
    );
    const cookie = await cookieFor(sessions, "ada");
    const ask = (origin: string) =>
      app.request("http://localhost/socket", { headers: { upgrade: "websocket", cookie, origin } });
    expect((await ask("http://localhost")) as { crossws?: unknown }).toMatchObject({ crossws: hooks });
    expect((await ask("http://evil.example")).status).toBe(403);
  });

  it("refuses the session where Nitro makes a response for its cache, by a request without the cookie", async () => {
    const { app, sessions } = appOf();
    const cached = (headers: (event: H3Event) => Headers) => (event: H3Event) => {
      Object.assign(event, { req: new Request(event.req.url, { headers: headers(event) }) });
      return event.context.session.userId ?? "nobody";
    };
    app
      .get(
        "/kept",
        cached(() => new Headers({ accept: "*/*" })),
      )
      .get(
        "/varied",
        cached(({ req }) => req.headers),
      );
    const headers = { cookie: await cookieFor(sessions, "ada") };
    expect((await app.request("/kept", { headers })).status).toBe(500);
    expect(await (await app.request("/varied", { headers })).text()).toBe("ada");
  });

  it("refuses the session on a route that Nitro keeps to a visitor without a cookie, and to a user with a token", async () => {
    const { sessions } = site();
    const app = new H3({ silent: true }).use(sessionMiddleware(sessions, { bearer: bearerTokens() }));
    app.get("/kept", (event) => {
      Object.assign(event, { req: new Request(event.req.url, { headers: { host: "localhost" } }) });
      return event.context.session.userId ?? event.context.session.id;
    });
    const authorization = `Bearer ${await tokenFor(sessions, "ada")}`;
    for (const headers of [{ accept: "*/*" }, { authorization }]) {
      expect((await app.request("/kept", { headers })).status).toBe(500);
    }
  });

  it("refuses the session of sojourn/context too, on a route that Nitro keeps", async () => {
    const { context, session } = createContext();
    const { sessions } = site();
    const app = new H3({ silent: true }).use(sessionMiddleware(sessions, { context }));
    app.get("/kept", (event) => {
      Object.assign(event, { req: new Request(event.req.url) });
      return session.userId;
    });
    const headers = { cookie: await cookieFor(sessions, "ada") };
    expect((await app.request("/kept", { headers })).status).toBe(500);
  });

  it("refuses the session on a route of Nitro that the platform keeps for everybody", async () => {
    const { app, sessions } = appOf();
    app.get("/isr", (event) => {
      Object.assign(event.context, { routeRules: { isr: { route: "/isr", options: 60 } } });
      return event.context.session.userId ?? "nobody";
    });
    const headers = { cookie: await cookieFor(sessions, "ada") };
    expect((await app.request("/isr", { headers })).status).toBe(500);
  });

  it("reports changes that a handler of node:http has sent no cookie for", async () => {
    const { app, events } = appOf();
    app.use(signIn).get(
      "/",
      fromNodeHandler((_req, res) => void res.end("sent")),
    );
    await fetch(await served(app));
    await vi.waitFor(() => expect(events.map(({ name }) => name)).toContain("dropped"));
  });

  it("passes a response on that middleware of the application has made of another", async () => {
    const { app } = appOf();
    app.use(onResponse((response) => new Response(response.body, { status: 201 }))).get("/", signIn);
    const { status, headers } = await app.request("/");
    expect([status, headers.getSetCookie().length]).toEqual([201, 1]);
  });
});

describe("a guard of h3", () => {
  const { app, sessions } = appOf();
  app.get("/account", () => "yours", { middleware: [requireUser()] });
  app.get("/page", () => "yours", { middleware: [requireUser({ loginPage: "/login" })] });
  app.get("/pay", () => "paid", { middleware: [requireRecentSignIn({ within: "10m" })] });

  it("answers a visitor with 401 and the reason, or sends a browser to the login page", async () => {
    const refused = await app.request("/account");
    expect(await refused.json()).toMatchObject({ status: 401, message: "Please sign in" });
    const sent = await app.request("/page", { headers: { accept: "text/html" } });
    expect([sent.status, sent.headers.get("location")]).toEqual([303, "/login?returnTo=%2Fpage"]);
    expect(console.error).not.toHaveBeenCalled();
  });

  it("lets a user pass", async () => {
    const cookie = await cookieFor(sessions, "ada");
    for (const path of ["/account", "/page", "/pay"])
      expect((await app.request(path, { headers: { cookie } })).status).toBe(200);
  });

  it("names the middleware that is missing", async () => {
    const bare = new H3({ silent: true, onError: ({ cause }) => (cause as Error).message });
    bare.get("/", () => "never", { middleware: [requireUser()] });
    expect(await (await bare.request("/")).text()).toContain('sessionMiddleware(sessions)) from "sojourn/h3"');
  });
});
