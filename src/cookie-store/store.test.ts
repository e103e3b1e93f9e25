import { describe, expect, it } from "vitest";
import { Browser, KEYS, START } from "../../test/support/stores.ts";
import type { SessionsOptions } from "../options.ts";
import { createSessions } from "../sessions.ts";
import type { SessionStore } from "../store.ts";
import { cached } from "../stores/cached.ts";
import { fileStore } from "../stores/file/store.ts";
import { memoryStore } from "../stores/memory.ts";
import { copySessions } from "../stores/migration/copy.ts";
import { movingStore } from "../stores/migration/moving.ts";
import { faulty } from "../testing/faulty.ts";
import { cookieStore, type CookieStoreOptions } from "./store.ts";

type Data = Record<string, unknown>;

/** An application with its sessions in cookies, and a browser. */
function application(options: Partial<SessionsOptions> = {}, store: CookieStoreOptions = {}) {
  const time = { now: START };
  const settings = { secretKey: KEYS[0], clock: () => time.now, store: cookieStore(store), ...options };
  const sessions = createSessions<Data>(settings);
  return { time, sessions, browser: new Browser<Data>(sessions) };
}

/** Text that no encoding makes shorter. */
const text = (length: number) => "x".repeat(length);
const names = (browser: Browser<Data>) => [...browser.jar.keys()];

describe("A session in cookies", () => {
  it("is the session that a handler of any store has", async () => {
    const { browser } = application();
    await browser.visit((session) => {
      session.data["cart"] = { items: ["tea"], since: new Date(5) };
      session.flash("info", "Welcome");
    });
    await browser.visit((session) => {
      expect(session.isNew).toBe(false);
      (session.data["cart"] as { items: string[] }).items.push("milk");
      expect(session.takeFlashes()).toEqual([{ category: "info", message: "Welcome" }]);
    });
    expect(await browser.data()).toEqual({ cart: { items: ["tea", "milk"], since: new Date(5) } });
    await browser.visit((session) => session.signIn("alice", { note: "laptop" }));
    expect(await browser.userId()).toBe("alice");
    await browser.visit((session) => {
      session.signOut();
      session.flash("info", "Bye");
    });
    const { session } = await browser.begin();
    expect(session.userId).toBeUndefined();
    expect(session.takeFlashes()).toEqual([{ category: "info", message: "Bye" }]);
  });

  it("costs a visitor no cookie", async () => {
    const { browser } = application();
    const answer = await browser.visit((session) => void session.data["nothing"]);
    expect(answer.headers.getSetCookie()).toEqual([]);
  });

  it("shows nothing of its data, in cookies that the browser protects as the token's", async () => {
    const { browser } = application();
    const answer = await browser.visit((session) => (session.data["secret"] = text(3000)));
    const lines = answer.headers.getSetCookie();
    expect(lines).toHaveLength(2);
    for (const [index, line] of lines.entries()) {
      expect(line).toMatch(index === 0 ? /^__Host-session=2/ : /^__Host-session\.1=/);
      expect(line).toMatch(/; Max-Age=86400; Path=\/; Secure; HttpOnly; SameSite=Lax$/);
      expect(line.length).toBeLessThanOrEqual(4096);
      expect(line).not.toContain("xxxxxxxxxx");
      expect(Buffer.from(line.split("=")[1]!, "base64url").toString("latin1")).not.toContain("xxxxxxxxxx");
    }
    expect(answer.headers.get("cache-control")).toMatch(/no-store|private/);
  });

  it("is read again from as many cookies as it needs", async () => {
    for (const length of [1, 2800, 2900, 3000, 5900, 6000, 8000]) {
      const { browser } = application();
      await browser.visit((session) => (session.data["text"] = text(length)));
      expect(await browser.data(), `of ${length} bytes`).toEqual({ text: text(length) });
    }
  });

  it("clears the cookies that a smaller session does not need, and all of them at the sign-out", async () => {
    const { browser } = application();
    await browser.visit((session) => (session.data["text"] = text(8000)));
    expect(names(browser)).toEqual(["__Host-session", "__Host-session.1", "__Host-session.2"]);
    await browser.visit((session) => (session.data["text"] = text(4000)));
    expect(names(browser)).toEqual(["__Host-session", "__Host-session.1"]);
    expect(await browser.data()).toEqual({ text: text(4000) });
    await browser.visit((session) => session.signOut());
    expect(names(browser)).toEqual([]);
  });

  it("is refused with ERR_SESSION_COOKIE_TOO_LARGE over the limit, and the client keeps what it had", async () => {
    const { browser } = application();
    await browser.visit((session) => (session.data["n"] = 1));
    const { session, end } = await browser.begin();
    session.data["text"] = text(12_000);
    await expect(session.save()).rejects.toMatchObject({ code: "ERR_SESSION_COOKIE_TOO_LARGE", status: 413 });
    expect((await end()).headers.getSetCookie()).toEqual([]);
    expect(await browser.data()).toEqual({ n: 1 });
    await expect(application().browser.visit((first) => (first.data["text"] = text(12_000)))).rejects.toMatchObject({
      code: "ERR_SESSION_COOKIE_TOO_LARGE",
      expose: false,
    });
  });

  it("goes with the error's response as it was saved before", async () => {
    const { browser } = application();
    const { session, end } = await browser.begin();
    session.data["n"] = 1;
    await session.save();
    session.data["text"] = text(12_000);
    await expect(end()).rejects.toMatchObject({ code: "ERR_SESSION_COOKIE_TOO_LARGE" });
    await end(new Response("sorry", { status: 413 }));
    expect(await browser.data()).toEqual({ n: 1 });
  });

  it("is saved twice in a request with one set of cookies", async () => {
    const { browser } = application();
    const answer = await browser.visit(async (session) => {
      session.data["n"] = 1;
      await session.save();
      session.data["text"] = text(4000);
      await session.save();
      session.signIn("alice");
    });
    expect(answer.headers.getSetCookie()).toHaveLength(2);
    expect(await browser.data()).toEqual({ n: 1, text: text(4000) });
    expect(await browser.userId()).toBe("alice");
  });
});

describe("The timeouts of a session in cookies", () => {
  it("are inside of what is encrypted, whatever the browser keeps", async () => {
    const { browser, time } = application({ idleTimeout: "1h", absoluteTimeout: "3h" });
    await browser.visit((session) => session.signIn("alice"));
    const thief = browser.copy();
    time.now += 3_599_999;
    expect(await thief.userId()).toBe("alice");
    time.now += 1;
    expect(await thief.userId()).toBeUndefined();
    await browser.visit((session) => (session.data["n"] = 1));
    expect(await browser.userId()).toBeUndefined();
  });

  it("are extended by reading, with a new cookie at most once an interval", async () => {
    const { browser, time } = application({ idleTimeout: "1h", touchInterval: "5m", absoluteTimeout: "90m" });
    await browser.visit((session) => session.signIn("alice"));
    let cookies = 0;
    for (let minute = 1; minute <= 89; minute++) {
      time.now += 60_000;
      const answer = await browser.visit((session) => void session.userId);
      cookies += answer.headers.getSetCookie().length;
      expect(await browser.userId(), `after ${minute} minutes`).toBe("alice");
    }
    expect(cookies).toBe(6);
    time.now += 60_000;
    expect(await browser.userId()).toBeUndefined();
  });

  it("are not extended by a passive request", async () => {
    const { browser, time } = application({ idleTimeout: "1h" });
    await browser.visit((session) => session.signIn("alice"));
    time.now += 1_800_000;
    const answer = await browser.visit((session) => (session.passive = true));
    expect(answer.headers.getSetCookie()).toEqual([]);
    await browser.visit((session) => {
      session.passive = true;
      session.data["n"] = 1;
    });
    time.now += 1_800_000;
    expect(await browser.userId()).toBeUndefined();
  });
});

/** Another value, whatever its last character is. */
const otherEnd = (value: string) => value.slice(0, -1) + (value.endsWith("_") ? "-" : "_");

describe("Hostile cookies of a session in cookies", () => {
  /** The cookies of two sessions of one application, and of an earlier version of the first. */
  async function cookies() {
    const { browser, sessions, time } = application();
    await browser.visit((session) => (session.data["text"] = `a1${text(8000)}`));
    const earlier = new Map(browser.jar);
    await browser.visit((session) => (session.data["text"] = `a2${text(8000)}`));
    const other = new Browser<Data>(sessions);
    await other.visit((session) => (session.data["text"] = `b1${text(8000)}`));
    const [first, second, third] = ["__Host-session", "__Host-session.1", "__Host-session.2"] as const;
    return { sessions, time, browser, jar: browser.jar, earlier, other: other.jar, first, second, third };
  }

  it.each<[string, (given: Awaited<ReturnType<typeof cookies>>) => string | undefined]>([
    ["the first piece alone", ({ jar, first }) => `${first}=${jar.get(first)}`],
    ["without the first piece", ({ jar, second, third }) => `${second}=${jar.get(second)}; ${third}=${jar.get(third)}`],
    ["without the last piece", ({ jar, first, second }) => `${first}=${jar.get(first)}; ${second}=${jar.get(second)}`],
    [
      "pieces under each other's name",
      ({ jar, first, second, third }) =>
        `${first}=${jar.get(first)}; ${second}=${jar.get(third)}; ${third}=${jar.get(second)}`,
    ],
    [
      "a piece of another session",
      ({ jar, other, first, second, third }) =>
        `${first}=${jar.get(first)}; ${second}=${other.get(second)}; ${third}=${jar.get(third)}`,
    ],
    [
      "a piece of an earlier version",
      ({ jar, earlier, first, second, third }) =>
        `${first}=${jar.get(first)}; ${second}=${jar.get(second)}; ${third}=${earlier.get(third)}`,
    ],
    [
      "a piece of another session with the tag of this one",
      ({ jar, other, first, second, third }) =>
        `${first}=${jar.get(first)}; ${second}=${jar.get(second)!.slice(0, 8)}${other.get(second)!.slice(8)}; ${third}=${jar.get(third)}`,
    ],
    [
      "a piece twice, of which one is forged with the right tag",
      ({ jar, first, second, third }) =>
        `${first}=${jar.get(first)}; ${second}=${otherEnd(jar.get(second)!)}; ${second}=${jar.get(second)}; ${third}=${jar.get(third)}`,
    ],
    [
      "the id of another session",
      ({ jar, other, first, second, third }) =>
        `${first}=${jar.get(first)!.slice(0, 2)}${other.get(first)!.slice(2, 24)}${jar.get(first)!.slice(24)}; ${second}=${jar.get(second)}; ${third}=${jar.get(third)}`,
    ],
    [
      "two live sessions at once",
      ({ jar, other }) => [...jar, ...other].map(([name, value]) => `${name}=${value}`).join("; "),
    ],
    [
      "two versions of one session at once",
      ({ jar, earlier }) => [...jar, ...earlier].map(([name, value]) => `${name}=${value}`).join("; "),
    ],
  ])("are anonymous, never adopted, never an error: %s", async (_, forge) => {
    const given = await cookies();
    const request = new Request("https://shop.example/", { headers: { cookie: forge(given)! } });
    const session = await given.sessions.open(request);
    expect(session.isNew).toBe(true);
    expect({ ...session.data }).toEqual({});
    const answer = await given.sessions.commit(session, new Response());
    expect(answer.headers.getSetCookie()).toEqual([]);
  });

  it("do no harm beside the session: its pieces are known by their tag", async () => {
    const { browser, jar, first, second } = await cookies();
    const planted = `${second}=planted; ${first}=2${"A".repeat(100)}; ${first}=; ${second}.1=x; ${first}.9=y`;
    const all = `${planted}; ${browser.cookie}; ${second}=${jar.get(second)}`;
    const session = await browser.sessions.open(new Request("https://shop.example/", { headers: { cookie: all } }));
    expect(String(session.data["text"])).toMatch(/^a2/);
  });

  it("that are broken are replaced as a whole by the next session", async () => {
    const { browser, third } = await cookies();
    browser.jar.set(third, "broken");
    await browser.visit((session) => (session.data["n"] = 1));
    expect(names(browser)).toEqual(["__Host-session"]);
    expect(await browser.data()).toEqual({ n: 1 });
  });

  it("with any character changed or cut off are anonymous", async () => {
    const { browser } = application();
    await browser.visit((session) => session.signIn("alice"));
    const [[name, value]] = [...browser.jar] as [[string, string]];
    for (let at = 0; at < value.length; at++) {
      for (const forged of [
        `${value.slice(0, at)}${value[at] === "A" ? "B" : "A"}${value.slice(at + 1)}`,
        `${value.slice(0, at)}+${value.slice(at + 1)}`,
        value.slice(0, at),
      ]) {
        browser.jar.set(name, forged);
        expect(await browser.userId()).toBeUndefined();
      }
    }
    const last = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    for (const character of last) {
      browser.jar.set(name, value.slice(0, -1) + character);
      expect(await browser.userId()).toBe(character === value.at(-1) ? "alice" : undefined);
    }
    for (const junk of [
      "",
      "2",
      "20",
      "29",
      `22${"A".repeat(8000)}`,
      `2${"9".repeat(300)}`,
      "\u00ff".repeat(40),
      '"2"',
    ]) {
      browser.jar.set(name, junk);
      expect(await browser.userId()).toBeUndefined();
    }
  });

  it("from a record of a server's store under the same key are anonymous", async () => {
    const { browser } = application();
    const stored = new Map<string, Uint8Array>();
    const memory = memoryStore({ clock: () => START });
    const server = createSessions<Data>({
      secretKey: KEYS[0],
      clock: () => START,
      store: {
        ...memory,
        inProcess: false,
        create: (id, record) => (stored.set(id, record.payload), memory.create(id, record)),
      },
    });
    await new Browser<Data>(server).visit((session) => session.signIn("alice"));
    const [[id, payload]] = [...stored] as [[string, Uint8Array]];
    browser.jar.set("__Host-session", `21${id}${Buffer.from(payload).toString("base64url")}`);
    expect(await browser.userId()).toBeUndefined();
  });

  it("of HTTP are not believed over HTTPS", async () => {
    const { browser } = application();
    await browser.visit((session) => session.signIn("alice"), { url: "http://shop.example/" });
    expect(names(browser)).toEqual(["session"]);
    expect(await browser.userId()).toBeUndefined();
  });
});

describe("The secret keys of a session in cookies", () => {
  it("may be replaced: a previous key still opens it, and the next response encrypts it by the current one", async () => {
    const old = application();
    await old.browser.visit((session) => session.signIn("alice"));
    const both = application({ secretKey: [KEYS[1], KEYS[0]] });
    const browser = old.browser.copy(both.sessions);
    const removed = () => browser.copy(application({ secretKey: KEYS[1] }).sessions);
    expect(await removed().userId()).toBeUndefined();
    await browser.visit((session) => expect(session.userId).toBe("alice"));
    expect(await removed().userId()).toBe("alice");
    expect((await browser.visit()).headers.getSetCookie()).toEqual([]);
  });

  it("open no session of another cookie's name", async () => {
    const { browser } = application();
    await browser.visit((session) => session.signIn("alice"));
    const other = application({ cookie: { name: "other" } }).browser;
    other.jar.set("__Host-other", browser.jar.get("__Host-session")!);
    expect(await other.userId()).toBeUndefined();
  });
});

describe("cookieStore", () => {
  it.each<[string, Partial<SessionsOptions>, CookieStoreOptions, RegExp]>([
    ["a limit of sessions of a user", { maxPerUser: 3 }, {}, /^maxPerUser: /],
    ["rotation", { rotation: { every: "1h" } }, {}, /^rotation: /],
    ["a size beyond what headers carry", {}, { maxBytes: 20_000 }, /^cookieStore: maxBytes must be .* to 10240/],
    ["a size of zero", {}, { maxBytes: 0 }, /^cookieStore: maxBytes/],
    ["an unknown option", {}, { compress: true } as CookieStoreOptions, /has no option "compress"/],
    [
      "a name that leaves no room",
      { cookie: { path: `/${text(2500)}` } },
      {},
      /^cookie: its name and attributes leave/,
    ],
  ])("refuses when the application is built: %s", (_, options, store, said) => {
    expect(() => application(options, store)).toThrow(TypeError);
    expect(() => application(options, store)).toThrow(said);
  });

  it("refuses by name what needs the sessions on a server", async () => {
    const { sessions, browser } = application();
    await browser.visit((session) => session.signIn("alice"));
    const { session } = await browser.begin();
    const calls: [string, () => unknown][] = [
      ["sessions.list()", () => sessions.list("alice")],
      ["sessions.revoke()", () => sessions.revoke(session.id)],
      ["sessions.revokeAll()", () => sessions.revokeAll("alice")],
      ["sessions.revokeEverything()", () => sessions.revokeEverything()],
      ["sessions.credentialsChanged()", () => sessions.credentialsChanged(session)],
      ["session.rotate()", async () => session.rotate()],
      ['session.save({ onConflict: "fail" })', () => session.save({ onConflict: "fail" })],
      ["session.signal", async () => session.signal],
    ];
    for (const [name, call] of calls) {
      const error = await (call() as Promise<unknown>).then(String, (thrown: unknown) => thrown);
      expect(String(error)).toMatch(/^TypeError: .*cookieStore\(/);
      expect(String(error)).toContain(`${name} needs`);
    }
  });

  it.each<[string, (store: SessionStore) => unknown]>([
    ["cached", (store) => cached(store)],
    ["movingStore", (store) => movingStore({ from: store, to: fileStore() })],
    ["movingStore", (store) => movingStore({ from: fileStore(), to: store })],
    ["copySessions", (store) => copySessions(store, fileStore())],
    ["faulty", (store) => faulty(store)],
    ["cookieStore", (store) => cookieStore({ revocations: store })],
  ])("is refused by %s when that is built, with or without revocations", async (name, build) => {
    for (const store of [cookieStore(), cookieStore({ revocations: memoryStore() })]) {
      const error: unknown = await (async () => build(store))().then(String, (thrown: unknown) => thrown);
      expect(String(error)).toMatch(new RegExp(`^TypeError: ${name}.*cookieStore\\(\\)`));
    }
  });

  it("is no store outside of a request", async () => {
    await expect(cookieStore().read("an id")).rejects.toThrow(TypeError);
  });

  it("has a change refused that comes after the headers were sent", async () => {
    const { browser } = application();
    await browser.visit((session) => (session.data["n"] = 1));
    const { session, end } = await browser.begin();
    void session.data;
    await end();
    session.data["n"] = 2;
    await expect(session.save()).rejects.toMatchObject({
      code: "ERR_SESSION_HEADERS_SENT",
      message: expect.stringContaining("kept in cookies") as string,
    });
    expect(await browser.data()).toEqual({ n: 1 });
  });

  it("lets a connection read its session, and refuses its changes", async () => {
    const { browser, sessions, time } = application({ idleTimeout: "1h" });
    await browser.visit((session) => session.signIn("alice"));
    time.now += 1_800_000;
    const headers = { cookie: browser.cookie, origin: "https://shop.example" };
    const session = await sessions.attach(new Request("https://shop.example/", { headers }));
    expect(session.userId).toBe("alice");
    await session.reload();
    expect(session.userId).toBe("alice");
    session.data["n"] = 1;
    await expect(session.save()).rejects.toMatchObject({ code: "ERR_SESSION_HEADERS_SENT" });
    time.now += 1_800_000;
    await session.reload();
    expect(session.userId).toBeUndefined();
  });

  it("leaves a copied cookie valid after the sign-out, until its timeouts", async () => {
    const { browser } = application();
    await browser.visit((session) => session.signIn("alice"));
    const thief = browser.copy();
    await browser.visit((session) => session.signOut());
    expect(await browser.userId()).toBeUndefined();
    expect(await thief.userId()).toBe("alice");
  });
});
