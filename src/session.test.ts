import { describe, expect, it } from "vitest";
import { begin, START, site, type SiteOptions } from "../test/support/stores.ts";
import { requestSessionOf } from "./request/session-handle.ts";
import type { Session } from "./session.ts";

interface Data {
  name?: string;
  n?: number;
  cart?: { items: string[] };
}

async function begun(options: SiteOptions = {}) {
  const server = site<Data>(options);
  const browser = server.browser();
  await browser.visit((session) => {
    session.data.name = "Zoë";
    session.data.cart = { items: ["tea"] };
    session.signIn("alice");
  });
  return { ...server, browser, session: (await browser.begin()).session };
}

describe("Session", () => {
  it("of a visitor is new, empty and nobody's", async () => {
    const { session } = await site<Data>().browser().begin();
    expect(session).toMatchObject({
      isNew: true,
      isLoaded: true,
      userId: undefined,
      signedInAt: undefined,
      createdAt: START,
    });
    expect(session.expiresAt).toBe(START + 86_400_000);
    expect(Object.keys(session.data)).toEqual([]);
    expect("toString" in session.data).toBe(false);
  });

  it("tells when it began, when somebody signed in, and when it ends", async () => {
    const { browser, time } = await begun();
    time.now += 5000;
    const { session } = await browser.begin();
    expect(session).toMatchObject({ createdAt: START, signedInAt: START, expiresAt: START + 86_400_000, isNew: false });
    session.signIn("alice");
    expect(session.signedInAt).toBe(START + 5000);
  });

  it("notices a change deep inside", async () => {
    const { browser } = await begun();
    await browser.visit((session) => session.data.cart?.items.push("milk"));
    expect((await browser.data()).cart).toEqual({ items: ["tea", "milk"] });
  });
});

describe("session.pop", () => {
  it("takes a key out and gives its value, or the fallback", async () => {
    const { session } = await begun();
    expect(session.pop("name", "nobody")).toBe("Zoë");
    expect(session.pop("name", "nobody")).toBe("nobody");
    expect(session.pop("name")).toBeUndefined();
    expect(Object.keys(session.data)).toEqual(["cart"]);
  });

  it("never takes what an object inherits", async () => {
    const session = (await site().browser().begin()).session;
    for (const key of ["toString", "constructor", "__proto__", "hasOwnProperty"]) expect(session.pop(key, 1)).toBe(1);
  });
});

describe("session.update", () => {
  it("refuses an asynchronous function, and changes nothing", async () => {
    const { session } = await begun();
    const apply = (async () => 1) as unknown as () => number;
    expect(() => session.update("n", apply)).toThrow('update("n", …) needs a synchronous function');
    expect("n" in session.data).toBe(false);
  });

  it("changes nothing where the value can't be kept", async () => {
    const { session } = await begun();
    expect(() => session.update("n", () => (() => 1) as unknown as number)).toThrow(TypeError);
    expect("n" in session.data).toBe(false);
  });
});

describe("The function of session.update", () => {
  const calls: Record<string, (session: Session<Data>) => unknown> = {
    "called update()": (session) => session.update("n", (n = 0) => n + 1),
    "called flash()": (session) => session.flash("info", "Saved."),
    "called takeFlashes()": (session) => session.takeFlashes(),
    "called rotate()": (session) => session.rotate(),
    "called signIn()": (session) => session.signIn("bob"),
    "called signOut()": (session) => session.signOut(),
    "changed session.data": (session) => (session.data.name = "Ada"),
    "changed session.data, by pop()": (session) => session.pop("name"),
    "changed session.data, by clear()": (session) => session.clear(),
  };
  it.each(Object.keys(calls))(
    "may only give a value, because another request may have it called again: %s",
    async (what) => {
      const { session } = await begun();
      const before = session.toJSON();
      const apply = (n = 0) => (calls[what]!(session), n + 1);
      expect(() => session.update("n", apply)).toThrow(
        `update("n", …): its function ${what.replace(/, by .*/, "")}. It may be called more than once`,
      );
      expect(session.toJSON()).toEqual(before);
    },
  );

  it.each(["save", "reload"] as const)("may not call %s()", async (call) => {
    const { session } = await begun();
    let called: Promise<unknown> | undefined;
    session.update("n", (n = 0) => {
      called = session[call]();
      return n + 1;
    });
    await expect(called).rejects.toThrow(`its function called ${call}()`);
  });

  it("may read the session", async () => {
    const { session } = await begun();
    expect(session.update("n", (n = 0) => n + session.data.name!.length)).toBe(3);
  });
});

describe("session.flash", () => {
  it("is shown once, in this request or the next", async () => {
    const { browser } = site<Data>();
    const one = browser();
    await one.visit((session) => session.flash("info", "Saved."));
    await one.visit((session) => expect(session.takeFlashes("error")).toEqual([]));
    await one.visit((session) => expect(session.takeFlashes()).toEqual([{ category: "info", message: "Saved." }]));
    await one.visit((session) => expect(session.takeFlashes()).toEqual([]));
  });

  it("shown in its own request leaves nothing for the next", async () => {
    const { browser } = await begun();
    await browser.visit((session) => {
      session.flash("info", "now");
      expect(session.takeFlashes("info")).toHaveLength(1);
    });
    await browser.visit((session) => expect(session.takeFlashes()).toEqual([]));
  });

  it("shown in its own request begins no session for a visitor", async () => {
    const { browser, store } = site<Data>();
    const answer = await browser().visit((session) => {
      session.flash("error", "Wrong password.");
      session.takeFlashes();
    });
    expect(answer.headers.getSetCookie()).toEqual([]);
    expect(store.calls.total).toBe(0);
  });

  it("needs a category of text", async () => {
    const { session } = await begun();
    expect(() => session.flash(5 as unknown as string, "x")).toThrow(TypeError);
  });
});

describe("session.signIn", () => {
  it("takes the user's id: a string of 1 to 512 bytes", async () => {
    const { session } = await begun();
    for (const userId of ["", undefined, null, 7, {}, "x".repeat(513), "ü".repeat(257)]) {
      expect(() => session.signIn(userId as string)).toThrow(/takes the user's id/);
    }
    expect(() => session.signIn(42 as unknown as string)).toThrow("not 42: give String(user.id)");
    expect(() => session.signIn({ id: "7" } as unknown as string)).toThrow("not an object: give its id");
    for (const userId of ["0", "x".repeat(512), "ü".repeat(256), "__proto__", "a\0b", " "]) {
      const browser = site().browser();
      await browser.visit((one) => one.signIn(userId));
      expect(await browser.userId()).toBe(userId);
    }
  });

  it("refuses half a surrogate pair, which another half would be taken for", async () => {
    const { session } = await begun();
    expect(() => session.signIn("user-\ud800")).toThrow(TypeError);
  });
});

describe("session.signedInWithin", () => {
  it("refuses a duration without a unit from a visitor too", async () => {
    const { session } = await site().browser().begin();
    expect(() => session.signedInWithin(5 as never)).toThrow("has no unit");
    expect(session.signedInWithin("5m")).toBe(false);
  });
});

describe("session.signOut", () => {
  it("leaves a new, empty session behind", async () => {
    const { session } = await begun();
    const { id } = session;
    session.flash("info", "x");
    session.signOut();
    expect(session).toMatchObject({ userId: undefined, signedInAt: undefined, isNew: true });
    expect(session.id).not.toBe(id);
    expect(Object.keys(session.data)).toEqual([]);
    expect(session.data.name).toBeUndefined();
    expect(session.takeFlashes()).toEqual([]);
    expect(session.pop("name", "nobody")).toBe("nobody");
  });

  it("may be called twice, and by a visitor", async () => {
    const { session, browser } = await begun();
    session.signOut();
    session.signOut();
    await browser.visit((again) => {
      again.signOut();
      again.signOut();
    });
    expect(await browser.userId()).toBeUndefined();
    const visitor = site<Data>().browser();
    const answer = await visitor.visit((stranger) => stranger.signOut());
    expect(answer.headers.getSetCookie()).toEqual([]);
  });

  it("shows a flash that comes after it to the next request, in a new session", async () => {
    const { browser, events } = await begun();
    const before = browser.copy();
    await browser.visit((session) => {
      session.signOut();
      session.flash("info", "You have been signed out.");
    });
    expect(await before.userId()).toBeUndefined();
    await browser.visit((session) => {
      expect(session.userId).toBeUndefined();
      expect(Object.keys(session.data)).toEqual([]);
      expect(session.takeFlashes()).toEqual([{ category: "info", message: "You have been signed out." }]);
    });
    expect(events.map(({ name }) => name)).toEqual(expect.arrayContaining(["signedOut", "created"]));
  });

  it("can be followed by another sign-in in the same request, which keeps nothing of before", async () => {
    const { browser, events } = await begun();
    const before = browser.copy();
    await browser.visit((session) => {
      const { id } = session;
      session.data.name = "of alice";
      session.signOut();
      session.data.n = 7;
      session.signIn("bob");
      expect(session.userId).toBe("bob");
      expect(session.id).not.toBe(id);
    });
    expect(await before.userId()).toBeUndefined();
    await browser.visit((session) => {
      expect(session.userId).toBe("bob");
      expect({ ...session.data }).toEqual({ n: 7 });
    });
    expect(events.map(({ name }) => name)).toEqual(expect.arrayContaining(["signedOut", "created", "signedIn"]));
  });

  it("gives the id of a session that another request has prevented to none that follows", async () => {
    const { browser, events } = await begun();
    const other = browser.copy();
    const { session } = await browser.begin();
    await other.visit((elsewhere) => elsewhere.signIn("bob"));
    session.signOut();
    session.data.n = 7;
    const { id } = session;
    await session.save();
    expect(events.at(-1)).toMatchObject({ name: "dropped", reason: "superseded" });
    session.signIn("carol");
    expect(session.id).not.toBe(id);
  });

  it("fails and leaves the client signed in where the new session can't be stored", async () => {
    const { browser } = await begun({ faults: { create: ["ok", "error"] } });
    const before = browser.copy();
    const leaving = await browser.begin();
    leaving.session.signOut();
    leaving.session.flash("info", "x");
    await expect(leaving.end()).rejects.toMatchObject({ code: "ERR_SESSION_STORE" });
    expect(await before.userId()).toBe("alice");
    await browser.visit((session) => {
      session.signOut();
      session.flash("info", "x");
    });
    expect(await before.userId()).toBeUndefined();
  });

  it("drops what was changed before it", async () => {
    const { browser, events } = await begun();
    const copy = browser.copy();
    await browser.visit((session) => {
      session.data.name = "x";
      session.signOut();
    });
    expect(await copy.data()).toEqual({});
    expect(events.at(-1)).toMatchObject({ name: "signedOut" });
    expect(browser.jar.size).toBe(0);
  });
});

describe("A session that is not loaded", () => {
  it("says so at every member, and works after load()", async () => {
    const { browser, sessions, store } = await begun();
    const reads = store.calls.read;
    const request = new Request("https://shop.example/", { headers: { cookie: browser.cookie } });
    const session = begin(sessions, request);
    expect(session.isLoaded).toBe(false);
    for (const act of [
      () => session.data,
      () => session.id,
      () => session.userId,
      () => session.isNew,
      () => session.expiresAt,
      () => session.takeFlashes(),
      () => session.pop("name"),
      () => session.signOut(),
      () => session.rotate(),
      () => session.signIn("bob"),
    ]) {
      expect(act, `with ${String(act)}`).toThrow(/await session\.load\(\) first/);
    }
    await expect(session.save()).rejects.toThrow(/await session\.load\(\) first/);
    expect(store.calls.read).toBe(reads);
    expect(await session.load()).toBe(session);
    expect(session.data.name).toBe("Zoë");
  });

  it("costs nothing to commit, and tells caches nothing", async () => {
    const { browser, sessions, store } = await begun();
    const total = store.calls.total;
    const session = begin(sessions, new Request("https://shop.example/", { headers: { cookie: browser.cookie } }));
    const answer = await sessions.commit(session, new Response());
    expect(Array.from(answer.headers)).toEqual([]);
    expect(store.calls.total).toBe(total);
  });
});

describe("visitOf", () => {
  it("refuses what is no session", () => {
    for (const other of [undefined, null, 5, {}, { data: {} }, new Request("https://shop.example/")]) {
      expect(() => requestSessionOf(other)).toThrow(/not a session/);
    }
  });
});
