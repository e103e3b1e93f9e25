import { beforeEach, describe, expect, it, vi } from "vitest";
import { KEYS } from "../../test/support/stores.ts";
import { withSession } from "../adapters/fetch.ts";
import { createSessions } from "../sessions.ts";
import { cookieStore } from "./store.ts";

const decryptions = vi.hoisted(() => ({ count: 0 }));
vi.mock("node:crypto", async (importActual) => {
  const actual = await importActual<typeof import("node:crypto")>();
  const createDecipheriv = (...given: Parameters<typeof actual.createDecipheriv>) => {
    decryptions.count += 1;
    return actual.createDecipheriv(...given);
  };
  return { ...actual, createDecipheriv };
});

function application() {
  const sessions = createSessions<Record<string, unknown>>({ secretKey: KEYS[0], store: cookieStore() });
  const handler = withSession(
    sessions,
    async (request, session) => {
      if (request.url.endsWith("/untouched")) return new Response("ok");
      await session.load();
      session.data["n"] = Number(session.data["n"] ?? 0) + 1;
      return new Response(String(session.data["n"]));
    },
    { lazy: true },
  );
  return async (path: string, cookie?: string): Promise<Response> => {
    const headers: Record<string, string> = cookie === undefined ? {} : { cookie };
    return await handler(new Request(`http://localhost/${path}`, { headers }));
  };
}

const visit = application();

const cookieOf = (response: Response) => response.headers.getSetCookie()[0]!.split(";", 1)[0]!;

describe("A lazy route of a session in cookies", () => {
  let cookie: string;
  beforeEach(async () => {
    cookie = cookieOf(await visit("count"));
    decryptions.count = 0;
  });

  it("decrypts nothing where the handler does not look at its session", async () => {
    const response = await application()("untouched", cookie);
    expect(response.headers.getSetCookie()).toEqual([]);
    expect(response.headers.get("vary")).toBeNull();
    expect(decryptions.count).toBe(0);
  });

  it("decrypts the cookie once where the handler loads its session", async () => {
    const visitElsewhere = application();
    for (let i = 0; i < 3; i += 1) expect(await (await visitElsewhere("count", cookie)).text()).toBe("2");
    expect(decryptions.count).toBe(1);
  });

  it("does not decrypt the cookie that it has made", async () => {
    expect(await (await visit("count", cookie)).text()).toBe("2");
    expect(decryptions.count).toBe(0);
  });

  it("begins with an empty session where the cookie is not authentic", async () => {
    const forged = cookie.slice(0, -8) + "AAAAAAAA";
    const response = await visit("count", forged);
    expect(await response.text()).toBe("1");
    expect(cookieOf(response)).not.toBe(forged);
    expect((await visit("untouched", forged)).headers.getSetCookie()).toEqual([]);
  });
});
