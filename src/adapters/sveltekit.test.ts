import { afterEach, describe, expect, it, vi } from "vitest";
import { site } from "../../test/support/stores.ts";
import { cookieFor, tokenFor } from "../testing/index.ts";
import { bearerTokens } from "./bearer.ts";
import { sessionHandle, handleSessionError, type KitEvent, type SessionLocals } from "./sveltekit.ts";
import { SessionError } from "../errors.ts";

type Cookies = [name: string, value: string, options: object][];
type Event = KitEvent & { readonly locals: SessionLocals<Record<string, unknown>>; readonly set: Cookies };

/** An event as SvelteKit makes it. */
function eventFor(init: RequestInit = {}, more: Partial<KitEvent> = {}): Event {
  const request = new Request("http://localhost/page", init);
  const set: Cookies = [];
  return {
    request,
    url: new URL(request.url),
    route: { id: "/page" },
    locals: {} as Event["locals"],
    cookies: { set: (...cookie) => void set.push(cookie) },
    isDataRequest: false,
    isSubRequest: false,
    getClientAddress: () => "127.0.0.1",
    set,
    ...more,
  } as Event;
}

/** What a page asks the application itself for. */
const internal = (init: RequestInit) => eventFor(init, { isSubRequest: true });

afterEach(() => void vi.restoreAllMocks());

describe("sessionHandle", () => {
  const { sessions, store } = site();
  const handle = sessionHandle<Record<string, unknown>, Event>(sessions);

  /** Asks the application for another page, as `event.fetch` does. */
  async function fetchWithin(init: RequestInit, use: (event: Event) => void): Promise<[Event, Response]> {
    const event = internal(init);
    const response = await handle({
      event,
      resolve: (given) => {
        use(given);
        return new Response("inner");
      },
    });
    return [event, response];
  }

  it.each([null, { username: "ada" }])("throws where a handler puts %j in the place of the session", async (value) => {
    const event = eventFor();
    const replacing = handle({
      event,
      resolve({ locals }) {
        locals.session = value as never;
        return new Response("page");
      },
    });
    await expect(replacing).rejects.toThrow("locals.session was replaced");
  });

  it("gives an internal request the session of its page, and sets one cookie", async () => {
    const event = eventFor();
    const response = await handle({
      event,
      async resolve({ locals, request }) {
        locals.session.data["page"] = 1;
        const [inner, innerResponse] = await fetchWithin({}, (given) => {
          given.locals.session.data["inner"] = 2;
          given.locals.session.signIn("ada");
        });
        expect(inner.locals.session).toBe(locals.session);
        expect(sessions.of(inner.request)).toBe(sessions.of(request));
        expect(innerResponse.headers.getSetCookie()).toEqual([]);
        return new Response("page");
      },
    });
    expect(response.headers.getSetCookie()).toHaveLength(1);
    expect(event.locals.session.data).toEqual({ page: 1, inner: 2 });
    expect(await sessions.list("ada")).toHaveLength(1);
  });

  it("gives an internal request without the page's cookie a session of its own, which can't set a cookie", async () => {
    const cookie = await cookieFor(sessions, "bob", { data: {} });
    const other = await cookieFor(sessions, "eve", { data: {} });
    await handle({
      event: eventFor({ headers: { cookie } }),
      async resolve({ locals }) {
        expect(locals.session.userId).toBe("bob");
        for (const [init, userId] of [
          [{ credentials: "omit" }, undefined],
          [{ headers: { cookie: other } }, "eve"],
        ] as const) {
          const [, answer] = await fetchWithin(init, (given) => {
            expect(given.locals.session.userId).toBe(userId);
            if (userId) given.locals.session.data["seen"] = true;
            expect(() => given.locals.session.signIn("mallory")).toThrow(
              expect.objectContaining({ code: "ERR_SESSION_HEADERS_SENT" }),
            );
          });
          expect(answer.headers.getSetCookie()).toEqual([]);
        }
        return new Response("page");
      },
    });
    await visit(other, ({ data }) => expect(data).toEqual({ seen: true }));
  });

  it("gives an internal request with another bearer token than its page's a session of its own", async () => {
    const bearing = sessionHandle<Record<string, unknown>, Event>(sessions, {
      bearer: bearerTokens({ cookies: true }),
    });
    const tokenOf = async (userId: string) => `Bearer ${await tokenFor(sessions, userId, { data: {} })}`;
    const [ada, bob] = [await tokenOf("ada"), await tokenOf("bob")];
    const seen: unknown[] = [];
    await bearing({
      event: eventFor({ headers: { authorization: ada } }),
      async resolve() {
        for (const authorization of [ada, bob]) {
          const resolve = ({ locals }: Event) => {
            seen.push(locals.session.userId);
            return new Response("inner");
          };
          await bearing({ event: internal({ headers: { authorization } }), resolve });
        }
        return new Response("page");
      },
    });
    expect(seen).toEqual(["ada", "bob"]);
  });

  /** The next page of a client. */
  async function visit(cookie: string, use: (session: Event["locals"]["session"]) => void): Promise<void> {
    const resolve = ({ locals }: Event) => {
      use(locals.session);
      return new Response("page");
    };
    await handle({ event: eventFor({ headers: { cookie } }), resolve });
  }

  it("takes no session of another client's request for that of an internal one", async () => {
    const [event] = await fetchWithin({}, (given) => expect(given.locals.session.isNew).toBe(true));
    const [next] = await fetchWithin({}, () => {});
    expect(next.locals.session).not.toBe(event.locals.session);
  });

  it("stores the changes of a hook that redirects, and sets their cookie by event.cookies", async () => {
    const event = eventFor();
    const redirect = { status: 303, location: "/login" };
    const resolve = ({ locals }: Event): Response => {
      locals.session.flash("info", "Please log in");
      throw redirect;
    };
    await expect(handle({ event, resolve })).rejects.toBe(redirect);
    expect(event.set).toEqual([
      ["session", expect.any(String), expect.objectContaining({ path: "/", httpOnly: true, sameSite: "lax" })],
    ]);
    await visit(`session=${event.set[0]![1]}`, (session) => {
      expect(session.takeFlashes()).toMatchObject([{ message: "Please log in" }]);
    });
  });

  it("discards the changes of a hook that throws, and passes its error on", async () => {
    const before = store.calls.total;
    const resolve = ({ locals }: Event): Response => {
      locals.session.data["lost"] = 1;
      throw new Error("planned");
    };
    await expect(handle({ event: eventFor(), resolve })).rejects.toThrow("planned");
    expect(store.calls.total).toBe(before);
  });

  it("refuses a prerendered page that uses the session, and names the remedy", async () => {
    const prerendered = () => new Response("page", { headers: { "x-sveltekit-routeid": "/page" } });
    const using = handle({
      event: eventFor(),
      resolve({ locals }) {
        expect(locals.session.userId).toBeUndefined();
        return prerendered();
      },
    });
    await expect(using).rejects.toThrow("/page is prerendered, and uses the session");
    await expect(handle({ event: eventFor(), resolve: prerendered })).resolves.toBeInstanceOf(Response);
  });

  it("answers a script of SvelteKit in JSON where the session can't be read", async () => {
    vi.spyOn(console, "error").mockReturnValue();
    const { sessions: failing } = site({ faults: { read: () => "error" } });
    const cookie = await cookieFor(failing, "ada", { data: {} });
    const event = eventFor({ headers: { cookie } }, { isDataRequest: true });
    const response = await sessionHandle(failing)({ event, resolve: () => new Response("never") });
    expect(response.status).toBe(503);
    expect(response.headers.get("content-type")).toBe("application/json");
    expect(response.headers.get("cache-control")).toBe("no-store");
    expect(await response.json()).toMatchObject({ type: "error", status: 503, error: { status: 503 } });
  });

  it("does not extend a session for a page that the browser fetches in advance", async () => {
    const cookie = await cookieFor(sessions, "ada", { data: {} });
    const isPassive = async (headers: Record<string, string>) => {
      const event = eventFor({ headers: { cookie, ...headers } });
      await handle({ event, resolve: () => new Response("page") });
      return event.locals.session.passive;
    };
    expect(await isPassive({ "sec-purpose": "prefetch;prerender" })).toBe(true);
    expect(await isPassive({})).toBe(false);
  });
});

describe("handleSessionError", () => {
  it("gives a page the status of the session's error, and hides the reason of an outage", () => {
    const refused = new SessionError("ERR_SESSION_ORIGIN", "A page of another origin sent this request");
    expect(handleSessionError({ kind: "unknown", error: refused })).toEqual({ status: 403, message: refused.message });
  });
});
