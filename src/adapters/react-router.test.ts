import { afterEach, describe, expect, it, vi } from "vitest";
import { SessionError } from "../errors.ts";
import { site } from "../../test/support/stores.ts";
import { requireUser, sessionContext, sessionMiddleware, type Middleware } from "./react-router.ts";

/** The arguments of a middleware, with a context as React Router's. */
function argumentsFor(path = "/", init: RequestInit = {}): Parameters<Middleware>[0] {
  const values = new Map<unknown, unknown>();
  const request = new Request(`https://shop.example${path}`, init);
  return {
    request,
    url: new URL(request.url.replace(/\.data$/, "")),
    params: {},
    context: {
      get: (key) => (values.has(key) ? values.get(key) : key.defaultValue) as never,
      set: (key, value) => void values.set(key, value),
    },
  };
}

const page = async () => new Response("page");

afterEach(() => vi.unstubAllEnvs());

describe("sessionContext", () => {
  it("says how to mount the middleware where it did not run", () => {
    expect(() => argumentsFor().context.get(sessionContext)).toThrow(
      /This request has no session: .*middleware = \[sessionMiddleware\(sessions\)\].*"sojourn\/react-router"/,
    );
  });

  it("says that a page of the build has no session", async () => {
    vi.stubEnv("IS_RR_BUILD_REQUEST", "yes");
    const args = argumentsFor();
    await sessionMiddleware(site().sessions)(args, page);
    expect(() => args.context.get(sessionContext)).toThrow(/rendered by the build/);
  });
});

describe("sessionMiddleware of sojourn/react-router", () => {
  it("names the import of another framework that calls it", () => {
    const middleware = sessionMiddleware(site().sessions) as unknown as (context: object) => unknown;
    expect(() => middleware({ req: { raw: {} } })).toThrow('"sojourn/hono"');
  });

  it("lets onError make the response of a session that can't be read", async () => {
    const shop = site({ faults: { read: () => "error" } });
    const browser = shop.browser();
    await browser.visit((session) => session.signIn("ada"));
    const onError = ({ status }: SessionError) => new Response("own page", { status });
    const args = argumentsFor("/", { headers: { cookie: browser.cookie } });
    const response = await sessionMiddleware(shop.sessions, { onError })(args, page);
    expect([response.status, await response.text()]).toEqual([503, "own page"]);
    expect(response.headers.get("cache-control")).toBe("no-store");
  });
});

describe("SessionError", () => {
  it("has what React Router looks for in an error that gives a response its status, and hides a fault of the server", () => {
    const refused = new SessionError("ERR_SESSION_SIGN_IN", "Please sign in");
    expect(refused).toMatchObject({ status: 401, statusText: "Unauthorized", internal: false, data: "Please sign in" });
    expect(refused.error).toBeUndefined();
    const outage = new SessionError("ERR_SESSION_STORE", "10.0.0.7 is down");
    expect(outage).toMatchObject({ status: 503, statusText: "Service Unavailable", internal: false });
    expect(outage.data).not.toContain("10.0.0.7");
    expect(outage.error).toBe(outage);
  });
});

describe("requireUser of sojourn/react-router", () => {
  it("throws a response with the status 401 where there is no login page, for the error boundary", async () => {
    const args = argumentsFor();
    const guarded = () => requireUser()(args, page);
    const thrown: unknown = await sessionMiddleware(site().sessions)(args, guarded).catch((error: unknown) => error);
    expect(thrown).toBeInstanceOf(Response);
    expect((thrown as Response).status).toBe(401);
  });
});
