import { describe, expect, it, vi } from "vitest";
import { site } from "../../test/support/stores.ts";
import { cookieFor } from "../testing/index.ts";
import { sessionMiddleware, type AstroContext, type SessionLocals } from "./astro.ts";

interface Context extends AstroContext {
  readonly locals: SessionLocals<Record<string, unknown>>;
}

/** A context as Astro makes it. */
function contextFor(init: RequestInit = {}, more: Partial<AstroContext> = {}): Context {
  const request = new Request("http://localhost/page", init);
  return {
    request,
    url: new URL(request.url),
    routePattern: "/page",
    isPrerendered: false,
    locals: {},
    clientAddress: "127.0.0.1",
    cache: { enabled: false, set: () => {} },
    ...more,
  } as Context;
}

const page = () => Promise.resolve(new Response("page"));

describe("sessionMiddleware of sojourn/astro", () => {
  const { sessions } = site();
  const onRequest = sessionMiddleware<Record<string, unknown>, Context>(sessions);

  it("has one session and one cookie where a page is rewritten to another one", async () => {
    const context = contextFor();
    const response = await onRequest(context, () => {
      context.locals.session.data["first"] = 1;
      // Astro.rewrite("/other") makes another request, and runs the middleware for it.
      const rewritten = { ...context, request: new Request("http://localhost/other", context.request) };
      const { session } = context.locals;
      return onRequest(rewritten, () => {
        expect(rewritten.locals.session).toBe(session);
        expect(sessions.of(rewritten.request)).toBe(session);
        session.data["second"] = 2;
        return page();
      });
    });
    expect(response.headers.getSetCookie()).toHaveLength(1);
  });

  it("throws where a page puts something else in the place of the session", async () => {
    const context = contextFor();
    const replacing = onRequest(context, () => {
      context.locals.session = { username: "ada" } as never;
      return page();
    });
    await expect(replacing).rejects.toThrow("locals.session was replaced");
  });

  it("keeps two clients apart whose pages were given the same locals", async () => {
    const locals = {};
    const ada = await cookieFor(sessions, "ada", { data: {} });
    await onRequest(contextFor({ headers: { cookie: ada } }, { locals }), async () => {
      const visitor = contextFor({}, { locals });
      await onRequest(visitor, () => {
        expect(visitor.locals.session.userId).toBeUndefined();
        return page();
      });
      return page();
    });
  });

  it("stores what an error page changes, and nothing of the handler that threw", async () => {
    const cookie = await cookieFor(sessions, "bob", { data: { kept: true } });
    const context = contextFor({ headers: { cookie } });
    const thrown = new Error("planned");
    await expect(
      onRequest(context, () => {
        context.locals.session.data["lost"] = 1;
        throw thrown;
      }),
    ).rejects.toBe(thrown);
    // Astro renders 500.astro for the same request, with the same middleware.
    const response = await onRequest(context, () => {
      expect(context.locals.session.data).toEqual({ kept: true });
      context.locals.session.data["shown"] = 2;
      return Promise.resolve(new Response("sorry", { status: 500 }));
    });
    expect([response.status, response.headers.get("cache-control")]).toEqual([500, "private"]);
    const next = contextFor({ headers: { cookie } });
    await onRequest(next, () => {
      expect(next.locals.session.data).toEqual({ kept: true, shown: 2 });
      return page();
    });
  });

  it("answers 500 where Astro takes a page that succeeds for the error page", async () => {
    const context = contextFor();
    const failing = () => Promise.reject(new Error("planned"));
    await expect(onRequest(context, failing)).rejects.toThrow("planned");
    const response = await onRequest(context, page);
    expect([response.status, await response.text()]).toEqual([500, "Internal Server Error\n"]);
  });

  it("sets the cookie once where a page answers 404, and Astro renders 404.astro in its place", async () => {
    const context = contextFor();
    const missing = await onRequest(context, () => {
      context.locals.session.data["asked"] = 1;
      return Promise.resolve(new Response(null, { status: 404 }));
    });
    const shown = await onRequest(context, () => {
      expect(context.locals.session.data).toEqual({ asked: 1 });
      context.locals.session.data["shown"] = 2;
      return Promise.resolve(new Response("not found", { status: 404 }));
    });
    // Astro gives both their headers to the client.
    const cookies = [...missing.headers.getSetCookie(), ...shown.headers.getSetCookie()];
    expect(cookies).toHaveLength(1);
    const next = contextFor({ headers: { cookie: cookies[0]!.split(";")[0]! } });
    await onRequest(next, () => {
      expect(next.locals.session.data).toEqual({ asked: 1, shown: 2 });
      return page();
    });
  });

  it("refuses the session to a prerendered page, and names the remedy", async () => {
    const context = contextFor({}, { isPrerendered: true });
    await onRequest(context, () => {
      expect(() => context.locals.session).toThrow("/page is prerendered, and uses the session");
      return page();
    });
  });

  it("turns Astro's cache off for a page that uses the session, and leaves it on for others", async () => {
    const set = vi.fn<(input: false) => void>();
    const context = contextFor({}, { cache: { enabled: true, set } });
    await onRequest(context, page);
    expect(set).not.toHaveBeenCalled();
    const personal = contextFor({}, { cache: { enabled: true, set } });
    await onRequest(personal, () => {
      expect(personal.locals.session.userId).toBeUndefined();
      return page();
    });
    expect(set).toHaveBeenCalledExactlyOnceWith(false);
  });

  it("does not extend a session for a page that the browser fetches in advance", async () => {
    const cookie = await cookieFor(sessions, "ada", { data: {} });
    const context = contextFor({ headers: { cookie, "sec-purpose": "prefetch" } });
    await onRequest(context, page);
    expect(context.locals.session.passive).toBe(true);
  });
});
