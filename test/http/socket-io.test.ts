import { randomBytes } from "node:crypto";
import { createSessions, type Sessions } from "sojourn";
import { bearerTokens } from "sojourn/bearer";
import { createContext } from "sojourn/context";
import { cookieStore } from "sojourn/cookie";
import { memoryStore } from "sojourn/memory";
import { requireRecentSignIn, requireUser, sessionMiddleware } from "sojourn/socket.io";
import { cookieFor, faulty, testClock, tokenFor } from "sojourn/testing";
import { describe, expect, it, onTestFinished, vi } from "vitest";
import { SECRET_KEY } from "../support/http/servers.ts";
import {
  type ChatServer,
  type ChatSocket,
  endOf,
  outcomeOf,
  serveSockets,
  type SocketStage,
  TRANSPORTS,
} from "../support/http/socket-io.ts";

const FOREIGN = "https://evil.example";

/** Signs in on a request of its own, as a page does, and gives the new cookie. */
async function signInAgain(sessions: Sessions, cookie: string) {
  const session = await sessions.open(new Request("http://localhost/login", { headers: { cookie } }));
  session.signIn("ada");
  const response = await sessions.commit(session, new Response());
  return response.headers.getSetCookie()[0]!.split(";")[0]!;
}

const WAYS = TRANSPORTS.map((transports) => ({ name: transports.join(", then "), transports }));

describe.each(WAYS)("sojourn/socket.io over $name", ({ transports }) => {
  it("gives the session of the handshake's cookie", async () => {
    const { sessions, join } = await serveSockets();
    const cookie = await cookieFor(sessions, "ada", { data: { theme: "dark" } });
    const { socket } = await join({ cookie, transports });
    expect([socket.data.session.userId, socket.data.session.data["theme"]]).toEqual(["ada", "dark"]);
  });

  // The TCP connection of the handshake may be long gone, since polling uses many, and an upgrade another one.
  it.each<[string, (sessions: Sessions, id: string) => Promise<unknown>]>([
    ["revoked", (sessions, id) => sessions.revoke(id)],
    ["revoked with all of its user", (sessions) => sessions.revokeAll("ada")],
  ])("disconnects the socket when the session is %s", async (_, end) => {
    const { sessions, join, io } = await serveSockets();
    const { client, socket } = await join({ cookie: await cookieFor(sessions, "ada"), transports });
    for (let i = 0; i < 3; i++) {
      socket.once("question", (answer: () => void) => answer());
      await client.emitWithAck("question");
    }
    const ended = endOf(client);
    await end(sessions, socket.data.session.id);
    expect(await ended).toEqual({
      reason: "The session has ended: revoked",
      disconnect: "io server disconnect",
    });
    expect(io.sockets.sockets.size).toBe(0);
  });

  it("refuses a handshake of another origin, which cors does not, and lets pages of a listed one connect", async () => {
    const listed = "https://app.example";
    const { sessions, open } = await serveSockets({
      options: { origins: [listed] },
      server: { cors: { origin: [listed, FOREIGN], credentials: true } },
    });
    const cookie = await cookieFor(sessions, "ada");
    const refused = await outcomeOf(open({ cookie, transports, headers: { origin: FOREIGN } }));
    expect(refused).toMatchObject({ data: { code: "ERR_SESSION_ORIGIN", status: 403 } });
    expect(await outcomeOf(open({ cookie, transports, headers: { origin: listed } }))).toBe("connected");
  });

  it("refuses a visitor where a user is required, and takes a forged cookie for a visitor's", async () => {
    const { sessions, open } = await serveSockets({ mount: (io) => io.use(requireUser()) });
    const cookie = await cookieFor(sessions, "ada");
    const forged = cookie.replaceAll(/.{4}(?=;|$)/g, "AAAA");
    for (const given of [undefined, forged, "session=", `session=${randomBytes(48).toString("base64url")}`]) {
      expect(await outcomeOf(open({ cookie: given, transports }))).toMatchObject({
        message: "Please sign in",
        data: { code: "ERR_SESSION_SIGN_IN", status: 401 },
      });
    }
    expect(await outcomeOf(open({ cookie, transports }))).toBe("connected");
  });
});

describe("a socket's handshake", () => {
  it("is let through without a session, and its session is a visitor's", async () => {
    const { join } = await serveSockets();
    const { socket } = await join();
    expect([socket.data.session.userId, socket.data.session.isNew]).toEqual([undefined, true]);
  });

  it("is refused where a script or an image of another site has sent it without an Origin", async () => {
    const { sessions, open } = await serveSockets();
    const cookie = await cookieFor(sessions, "ada");
    const headers = { "sec-fetch-site": "cross-site" };
    expect(await outcomeOf(open({ cookie, headers, transports: ["polling"] }))).toMatchObject({
      data: { code: "ERR_SESSION_ORIGIN" },
    });
  });

  it("has of two cookies of the same name the session that a request has", async () => {
    const { sessions, join } = await serveSockets();
    const [ada, eve] = [await cookieFor(sessions, "ada"), await cookieFor(sessions, "eve")];
    for (const cookie of [`${ada}; ${eve}`, `${eve}; ${ada}`, `session=forged; ${ada}`]) {
      const { userId } = await sessions.open(new Request("http://localhost/", { headers: { cookie } }));
      const { socket } = await join({ cookie });
      expect(socket.data.session.userId).toBe(userId);
    }
  });

  it("carries the token of a native client in Authorization", async () => {
    const { sessions, join } = await serveSockets({ options: { bearer: () => bearerTokens() } });
    const token = await tokenFor(sessions, "ada");
    const { socket } = await join({ headers: { authorization: `Bearer ${token}` } });
    expect(socket.data.session.userId).toBe("ada");
  });

  it("is refused with 503 while the store fails, which is logged, and the client may try again", async () => {
    const logged = vi.spyOn(console, "error").mockReturnValue();
    const kept = memoryStore();
    let isDown = false;
    const store = faulty(kept, { read: () => (isDown ? new Error("secret address of the store") : "ok") });
    const { sessions, open } = await serveSockets({ store });
    const cookie = await cookieFor(sessions, "ada");
    isDown = true;
    const client = open({ cookie });
    const refused = await outcomeOf(client);
    expect(refused).toMatchObject({ data: { code: "ERR_SESSION_STORE", status: 503 } });
    expect((refused as Error).message).not.toContain("secret");
    expect(String(logged.mock.calls[0]![0])).toContain("SessionError");
    isDown = false;
    expect(await outcomeOf(client.connect())).toBe("connected");
    logged.mockRestore();
  });

  it("needs a recent sign-in where that is required", async () => {
    const { clock, advance } = testClock();
    const { sessions, open } = await serveSockets({
      store: memoryStore({ clock }),
      settings: { clock },
      mount: (io) => io.use(requireRecentSignIn({ within: "10m" })),
    });
    const cookie = await cookieFor(sessions, "ada");
    expect(await outcomeOf(open({ cookie }))).toBe("connected");
    advance("11m");
    expect(await outcomeOf(open({ cookie }))).toMatchObject({ data: { code: "ERR_SESSION_SIGN_IN", status: 401 } });
  });
});

describe("a socket that is connected", () => {
  it("is disconnected when the session is signed out by a request in another process", async () => {
    const store = memoryStore();
    const { sessions, join } = await serveSockets({ store });
    const elsewhere = createSessions({ secretKey: SECRET_KEY, store });
    const cookie = await cookieFor(sessions, "ada");
    const { client } = await join({ cookie });
    const ended = endOf(client);
    const session = await elsewhere.open(new Request("http://localhost/logout", { headers: { cookie } }));
    session.signOut();
    await elsewhere.commit(session, new Response());
    expect(await ended).toMatchObject({ disconnect: "io server disconnect", reason: /The session has ended/ });
  });

  it("is disconnected when the session expires", async () => {
    const { clock, advance } = testClock();
    const { sessions, join } = await serveSockets({
      store: memoryStore({ clock }),
      settings: { clock, idleTimeout: "30m" },
    });
    const cookie = await cookieFor(sessions, "ada");
    const { client } = await join({ cookie });
    const other = await sessions.open(new Request("http://localhost/", { headers: { cookie } }));
    const ended = endOf(client);
    advance("31m");
    // It finds the end, as a timer of real time would.
    await other.reload();
    expect(await ended).toMatchObject({ disconnect: "io server disconnect" });
  });

  it("is disconnected by a sign-in that gives the session a new token, and connects again with that", async () => {
    const { sessions, join } = await serveSockets();
    const first = await cookieFor(sessions, "bob", { data: { cart: ["tea"] } });
    const { client } = await join({ cookie: first });
    const ended = endOf(client);
    const cookie = await signInAgain(sessions, first);
    await ended;
    const { socket } = await join({ cookie });
    expect(socket.data.session.userId).toBe("ada");
  });

  it("can't sign in or out, nor begin a session, since it sets no cookie", async () => {
    const { sessions, join } = await serveSockets();
    const { socket } = await join({ cookie: await cookieFor(sessions, "ada") });
    const { session } = socket.data;
    const refused = expect.objectContaining({ code: "ERR_SESSION_HEADERS_SENT" });
    expect(() => session.signIn("eve")).toThrow("This connection can't sign in, since it sets no cookie");
    expect(() => session.signOut()).toThrow("sessions.revoke(session.id)");
    expect(() => session.rotate()).toThrow(refused);
    const visitor = (await join()).socket.data.session;
    visitor.data["cart"] = ["tea"];
    await expect(visitor.save()).rejects.toThrow(refused);
  });

  it("stores changes by save(), reads them anew by reload(), and merges those of several tabs", async () => {
    const { sessions, join } = await serveSockets();
    const cookie = await cookieFor(sessions, "ada");
    const tabs = await Promise.all([1, 2, 3].map(async () => (await join({ cookie })).socket.data.session));
    await Promise.all(
      tabs.map((session) => {
        session.update("messages", (n) => ((n as number | undefined) ?? 0) + 1);
        return session.save();
      }),
    );
    await tabs[0]!.reload();
    expect(tabs[0]!.data["messages"]).toBe(3);
  });

  it("reports a change that was not stored before the client left", async () => {
    const { sessions, join } = await serveSockets();
    const { client, socket } = await join({ cookie: await cookieFor(sessions, "ada") });
    const dropped = new Promise((resolve) => sessions.on("dropped", resolve));
    socket.data.session.data["draft"] = "lost";
    client.disconnect();
    expect(await dropped).toMatchObject({ userId: "ada", reason: "late" });
  });

  it("extends its session by save() and reload() only, and not where the event is passive", async () => {
    const { clock, advance } = testClock();
    const { sessions, join } = await serveSockets({
      store: memoryStore({ clock }),
      settings: { clock, idleTimeout: "30m" },
    });
    const cookie = await cookieFor(sessions, "ada");
    const left = async () => {
      const request = new Request("http://localhost/", { headers: { cookie } });
      return (await sessions.open(request, { passive: true })).expiresAt - clock();
    };
    advance("10m");
    const { socket } = await join({ cookie });
    const { session } = socket.data;
    expect([await left(), session.data["theme"]]).toEqual([20 * 60_000, undefined]);
    session.passive = true;
    await session.reload();
    expect(await left()).toBe(20 * 60_000);
    session.passive = false;
    await session.save();
    expect(await left()).toBe(30 * 60_000);
    advance("10m");
    await session.reload();
    expect(await left()).toBe(30 * 60_000);
  });

  it("stays connected while the store fails, and save() rejects", async () => {
    let isDown = false;
    const store = faulty(memoryStore(), {
      read: () => (isDown ? "error" : "ok"),
      update: () => (isDown ? "error" : "ok"),
    });
    const { sessions, join } = await serveSockets({ store });
    const { client, socket } = await join({ cookie: await cookieFor(sessions, "ada") });
    const failed = new Promise((resolve) => sessions.on("error", resolve));
    isDown = true;
    const { session } = socket.data;
    session.data["draft"] = "kept";
    await expect(session.save()).rejects.toMatchObject({ code: "ERR_SESSION_STORE" });
    await expect(session.reload()).rejects.toMatchObject({ code: "ERR_SESSION_STORE" });
    void failed;
    expect(client.connected).toBe(true);
    isDown = false;
    await session.reload();
    session.data["draft"] = "stored";
    await session.save();
    const ended = endOf(client);
    await sessions.revokeAll("ada");
    expect((await ended).disconnect).toBe("io server disconnect");
  });

  it("has the session of sojourn/context in its middleware and in the handlers of its events", async () => {
    const { context, session } = createContext<Record<string, unknown>>();
    const seen: (string | undefined)[] = [];
    const { sessions, join } = await serveSockets({
      options: { context },
      mount: (io) => {
        io.use((_socket, next) => {
          seen.push(session.userId);
          next();
        });
        io.on("connection", (socket: ChatSocket) => {
          seen.push(session.userId);
          socket.on("who", (answer: (userId: string | undefined) => void) => answer(session.userId));
        });
      },
    });
    const clients = [];
    for (const user of ["ada", "eve"]) {
      clients.push((await join({ cookie: await cookieFor(sessions, user) })).client);
    }
    expect(seen).toEqual(["ada", "ada", "eve", "eve"]);
    expect(await Promise.all(clients.map((client) => client.emitWithAck("who")))).toEqual(["ada", "eve"]);
  });

  it("shows neither its session nor its token to an adapter that sends sockets to other servers", async () => {
    const { sessions, io, join } = await serveSockets();
    const token = await tokenFor(sessions, "ada");
    const cookie = await cookieFor(sessions, "ada", { data: { secret: "1234" } });
    const secret = /=([^;]+)/.exec(cookie)![1]!;
    const { client, socket } = await join({
      cookie,
      headers: { authorization: `Bearer ${token}`, "x-other": "shown" },
    });
    Object.assign(socket.data, { name: "Ada" });
    // What ClusterAdapter of socket.io-adapter sends.
    const { data, handshake } = (await io.fetchSockets())[0]!;
    const sent = JSON.stringify({ data, handshake });
    expect(sent).toContain("shown");
    expect([secret, token, "1234"].filter((text) => sent.includes(text))).toEqual([]);
    expect(JSON.parse(sent).data).toEqual({ name: "Ada" });
    // Another namespace reads the same handshake.
    io.of("/news").use(sessionMiddleware(sessions));
    const news = await join({ beside: client, namespace: "/news" });
    expect(news.socket.data.session.userId).toBe("ada");
  });
});

describe("several namespaces on one connection", () => {
  it("have a session each, read when the socket joins, and are all told of its end", async () => {
    const stage = await serveSockets();
    const { sessions, io, join } = stage;
    io.of("/news").use(sessionMiddleware(sessions));
    const cookie = await cookieFor(sessions, "ada");
    const { client, socket } = await join({ cookie });
    const session = await sessions.open(new Request("http://localhost/", { headers: { cookie } }));
    session.data["theme"] = "dark";
    await session.save();
    const news = await join({ beside: client, namespace: "/news" });
    expect(news.socket.conn).toBe(socket.conn);
    expect([socket.data.session.data["theme"], news.socket.data.session.data["theme"]]).toEqual([undefined, "dark"]);
    const ends = [endOf(client), endOf(news.client)];
    await sessions.revokeAll("ada");
    const end = { reason: "The session has ended: revoked", disconnect: "io server disconnect" };
    expect(await Promise.all(ends)).toEqual([end, end]);
  });

  it("lose the connection with the session, so that one for visitors connects again with the new cookie", async () => {
    const { sessions, io, join } = await serveSockets();
    io.of("/public");
    const { client } = await join({ cookie: await cookieFor(sessions, "ada") });
    const visitors = await join({ beside: client, namespace: "/public" });
    const ends = [endOf(client), endOf(visitors.client)];
    await sessions.revokeAll("ada");
    expect((await Promise.all(ends)).map(({ disconnect }) => disconnect)).toEqual([
      "io server disconnect",
      "transport close",
    ]);
  });
});

describe.each(WAYS)("a connection over $name that is older than a rotation of its token", ({ transports }) => {
  it.each([
    ["", false],
    [", also if the first use of the middleware comes later than the connection", true],
  ])(
    "is made anew for a further namespace, and the token of its handshake is no theft%s",
    async (_, withoutSessions) => {
      vi.useFakeTimers({ toFake: ["Date"] });
      onTestFinished(() => void vi.useRealTimers());
      const advance = (seconds: number) => void vi.setSystemTime(Date.now() + seconds * 1000);
      const rotation = { every: "15m", grace: "30s" } as const;
      const { sessions, io, join } = await serveSockets({ settings: { rotation }, withoutSessions });
      io.of("/news").use(sessionMiddleware(sessions));
      const replayed: string[] = [];
      sessions.on("replayed", ({ id }) => replayed.push(id));
      const visit = async (cookie: string) => {
        const session = await sessions.open(new Request("http://localhost/", { headers: { cookie } }));
        const { userId } = session;
        const response = await sessions.commit(session, new Response());
        return { userId, cookie: response.headers.getSetCookie()[0]?.split(";")[0] ?? cookie };
      };
      const first = await cookieFor(sessions, "ada");
      const { client, socket } = await join({ cookie: first, transports });
      advance(15 * 60);
      const { cookie } = await visit(first);
      expect(cookie).not.toBe(first);
      await visit(cookie);
      advance(31);

      // A browser reconnects, with the cookie that it has by then.
      client.io.opts.extraHeaders = { cookie };
      client.io.reconnection(true);
      const news = await join({ beside: client, namespace: "/news" });
      expect(news.socket.data.session.userId).toBe("ada");
      expect(news.socket.conn).not.toBe(socket.conn);
      expect(replayed).toEqual([]);
      expect((await visit(cookie)).userId).toBe("ada");
      expect(io.sockets.sockets.size).toBe(1);
    },
  );
});

describe("a mistake in the program", () => {
  /** What is logged, and what the client is told. */
  async function mistake(staging: Parameters<typeof serveSockets>[0], prepare?: (stage: SocketStage) => void) {
    const logged = vi.spyOn(console, "error").mockReturnValue();
    onTestFinished(() => logged.mockRestore());
    const stage = await serveSockets(staging);
    prepare?.(stage);
    const refused = await outcomeOf(stage.open());
    expect(refused).toMatchObject({ message: "Internal Server Error", data: { status: 500 } });
    return String(logged.mock.calls[0]![0]);
  }

  it("is a server that recovers connections, since it sends what was missed before the session is read", async () => {
    expect(await mistake({ server: { connectionStateRecovery: {} } })).toContain("connectionStateRecovery");
  });

  it("is a connection that began without an HTTP request", async () => {
    const forget = ({ io }: SocketStage) =>
      io.engine.on("connection", (conn: { request: unknown }) => (conn.request = null));
    expect(await mistake({}, forget)).toContain("WebTransport");
  });

  it("is a guard without sessions before it", async () => {
    const mount = (io: ChatServer) => io.of("/").use(requireUser());
    const sessions = createSessions({ secretKey: SECRET_KEY, store: memoryStore() });
    const logged = await mistake({ sessions, mount, withoutSessions: true });
    expect(logged).toContain('mount io.use(sessionMiddleware(sessions)) from "sojourn/socket.io"');
  });

  it("is refused at once where it can be: sessions kept in cookies, other options, or something else than sessions", () => {
    const sessions = createSessions({ secretKey: SECRET_KEY, store: memoryStore() });
    const inCookies = createSessions({ secretKey: SECRET_KEY, store: cookieStore() });
    expect(() => sessionMiddleware(inCookies)).toThrow(
      'sessionMiddleware of "sojourn/socket.io" needs the sessions on a',
    );
    expect(() => sessionMiddleware(sessions, { lazy: true } as never)).toThrow('has no option "lazy"');
    expect(() => sessionMiddleware(sessions, { bearer: {} as never })).toThrow("bearer takes bearerTokens()");
    expect(() => sessionMiddleware({} as never)).toThrow("must be what createSessions()");
    expect(() => requireRecentSignIn({ within: "10m", loginPage: "/login" } as never)).toThrow('no option "loginPage"');
  });
});
