import { beforeEach, describe, expect, it, vi } from "vitest";
import { KEYS, site } from "../test/support/stores.ts";
import { returnTo } from "./adapters/guards.ts";
import { createSessions } from "./sessions.ts";
import { printable } from "./printable.ts";
import type { Session } from "./session.ts";
import { memoryStore } from "./stores/memory.ts";

/** Ends of lines, escape sequences of terminals, and changes of direction. */
const HOSTILE = "\n\r\u001b\u007f\u0085\u009b\u061c\u200e\u200f\u2028\u2029\u202a\u202e\u2066\u2069";
const SHOWN = "\\u202e";

type Data = Record<string, unknown>;

const warned = vi.spyOn(process, "emitWarning").mockImplementation(() => {});
beforeEach(() => void warned.mockClear());

/** The message of what a call throws, or what it rejects with. */
async function messageOf(call: () => unknown): Promise<string> {
  try {
    await call();
  } catch (error) {
    return (error as Error).message;
  }
  throw new Error("it must throw");
}

const warning = () => warned.mock.calls.map(([message]) => String(message)).join("");

async function visiting(options: Parameters<typeof site>[0] = {}) {
  const shop = site<Data>(options);
  const browser = shop.browser();
  await browser.visit((session) => Object.assign(session.data, { [HOSTILE]: 1, name: "alice" }));
  warned.mockClear();
  return { ...shop, browser, ...(await browser.begin()) };
}

/** A request whose path is as Node.js gives it: bytes of a client, decoded as latin1. */
async function raw(url: string) {
  const { browser, sessions } = await visiting();
  const request = {
    headers: { cookie: browser.cookie },
    url,
    method: "GET",
    httpVersion: "1.1",
    socket: { encrypted: true },
  };
  return sessions.open(request);
}

describe("printable", () => {
  it("leaves texts of any language as they are", () => {
    for (const text of ["session.data.cart", "Käse – “tea” 茶 עברית 👩‍💻", ""]) expect(printable(text)).toBe(text);
  });

  it("writes what ends a line, or turns its direction, as JSON may write it", () => {
    expect(printable("a\u202eb\u2028\u0085\ud800")).toBe("a\\u202eb\\u2028\\u0085\\ud800");
    expect(JSON.parse(`"${printable(HOSTILE)}"`)).toBe(HOSTILE);
  });
});

describe("a message", () => {
  const messages: [string, () => Promise<string>][] = [
    [
      "of data that are too large",
      async () => {
        const { session, end } = await visiting({ limits: { bytes: 100 } });
        session.data[HOSTILE] = "x".repeat(200);
        return messageOf(end);
      },
    ],
    [
      "of data that are too deep",
      async () => {
        const { session, end } = await visiting({ limits: { depth: 1 } });
        session.data[HOSTILE] = [[[1]]];
        return messageOf(end);
      },
    ],
    [
      "of a value that can't be kept",
      async () => {
        const { session, end } = await visiting();
        session.data["form"] = { [HOSTILE]: () => 1 };
        return messageOf(end);
      },
    ],
    [
      "of a property that can't be kept",
      async () => {
        const { session, end } = await visiting();
        session.data["list"] = Object.assign([1], { [HOSTILE]: 1 });
        return messageOf(end);
      },
    ],
    [
      "of a property that is not enumerable",
      async () => {
        const { session } = await visiting();
        const form = Object.defineProperty({}, HOSTILE, { value: 1 });
        return messageOf(() => (session.data["form"] = form));
      },
    ],
    [
      "of an update that gives nothing",
      async () => {
        const { session } = await visiting();
        return messageOf(() => session.update(HOSTILE, () => undefined));
      },
    ],
    [
      "of an update that gives a promise",
      async () => {
        const { session } = await visiting();
        return messageOf(() => session.update(HOSTILE, async () => 1));
      },
    ],
    [
      "of an update that does more",
      async () => {
        const { session } = await visiting();
        return messageOf(() => session.update(HOSTILE, () => session.signOut()));
      },
    ],
    [
      "of a property of the session itself",
      async () => {
        const { session } = await visiting();
        return messageOf(() => Object.assign(session, { [HOSTILE]: 1 }));
      },
    ],
    [
      "of an id that is a list",
      async () => {
        const { sessions } = await visiting();
        return messageOf(() => sessions.revoke([HOSTILE] as never));
      },
    ],
    [
      "of a user id that is a list",
      async () => {
        const { sessions } = await visiting();
        return messageOf(() => sessions.revokeAll([HOSTILE] as never));
      },
    ],
    [
      "of an option that does not exist",
      async () => {
        const { sessions } = await visiting();
        return messageOf(() => sessions.revokeAll("alice", { [HOSTILE]: 1 } as never));
      },
    ],
    ["of options that are a text", () => messageOf(() => memoryStore(HOSTILE as never))],
    ["of a number that is none", () => messageOf(() => memoryStore({ maxSessions: HOSTILE as never }))],
    [
      "of a page to go back to",
      () => messageOf(() => returnTo(new Request("https://shop.example/"), { fallback: HOSTILE })),
    ],
    [
      "of an error of the store",
      async () => {
        const store = { ...memoryStore(), inProcess: true, create: () => Promise.reject(new Error(HOSTILE)) };
        const { session, end } = await site({ store }).browser().begin();
        (session as unknown as Session<Data>).data["a"] = 1;
        return messageOf(end);
      },
    ],
    [
      "of a former session",
      async () => {
        const source = {
          name: "former",
          cookies: [{ name: "former" }],
          find: () => [{ key: "1" }],
          read: async () => ({ data: { a: 1 }, expiresAt: HOSTILE as never }),
        };
        const sessions = createSessions({ secretKey: KEYS[0], store: memoryStore(), adopt: [source] });
        const headers = { cookie: "former=1" };
        return messageOf(() => sessions.open(new Request("https://shop.example/", { headers })));
      },
    ],
    [
      "of a route",
      async () => {
        const session = await raw(`/${HOSTILE}`);
        expect(Reflect.get(session, "name")).toBeUndefined();
        return warning();
      },
    ],
    [
      "of a key that was read of the session itself",
      async () => {
        const session = await raw("/");
        expect(Reflect.get(session, HOSTILE)).toBeUndefined();
        return warning();
      },
    ],
    [
      "of a listener that fails",
      async () => {
        const { sessions, browser } = await visiting();
        sessions.on("signedIn", () => {
          throw HOSTILE.replace("\n", "");
        });
        await browser.visit((session) => session.signIn("alice"));
        return warning();
      },
    ],
  ];

  it.each(messages)("%s shows no character that forges a line of a log", async (_what, make) => {
    const message = await make();
    expect(message).toContain(SHOWN);
    expect(message).toBe(printable(message));
  });

  it("of a listener that fails keeps the lines of the stack", async () => {
    const { sessions, browser } = await visiting();
    sessions.on("signedIn", () => {
      throw new Error("broken \u202e");
    });
    await browser.visit((session) => session.signIn("alice"));
    expect(warning()).toMatch(/failed: Error: broken \\u202e\n +at /);
  });
});
