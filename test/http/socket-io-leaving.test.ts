import type { SessionStore } from "sojourn";
import { memoryStore } from "sojourn/memory";
import { requireUser, sessionMiddleware } from "sojourn/socket.io";
import { cookieFor } from "sojourn/testing";
import { describe, expect, it, vi } from "vitest";
import { gated } from "../support/stores.ts";
import { endOf, outcomeOf, serveSockets } from "../support/http/socket-io.ts";
import { watchable } from "../support/watchable.ts";

const disconnected = (socket: { once(event: "disconnect", listener: () => void): unknown }) =>
  new Promise<void>((resolve) => socket.once("disconnect", resolve));

describe("a socket that leaves", () => {
  it("leaves nothing behind, however many come and go", async () => {
    const { store, watching, unwatched } = watchable();
    const { sessions, join, io } = await serveSockets({ store });
    const cookie = await cookieFor(sessions, "ada");
    for (let round = 0; round < 10; round++) {
      const joined = [];
      for (let i = 0; i < 20; i++) joined.push(await join({ cookie }));
      expect(watching()).toBe(true);
      const left = joined.map(({ socket }) => disconnected(socket));
      for (const { client } of joined) client.disconnect();
      await Promise.all(left);
      await unwatched();
    }
    expect(io.sockets.sockets.size).toBe(0);
    expect(io.sockets.listenerCount("connection")).toBe(1);
  });

  it("is not connected where it leaves before its session is read, and nothing watches the session", async () => {
    const { store, watching } = watchable();
    const held = gated(store);
    const { sessions, open, io } = await serveSockets({ store: held });
    const cookie = await cookieFor(sessions, "ada");
    const connected = vi.fn<() => void>();
    io.on("connection", connected);
    const reading = held.hold("read");
    const closed = new Promise((resolve) => io.engine.once("connection", (conn) => conn.once("close", resolve)));
    const client = open({ cookie });
    await reading.arrived;
    client.disconnect();
    client.io.engine.close();
    await closed;
    reading.letGo();
    // Another one, which comes later, has been through by then.
    const later = open({ cookie });
    await outcomeOf(later);
    expect(connected).toHaveBeenCalledTimes(1);
    later.disconnect();
    await vi.waitFor(() => expect(watching()).toBe(false));
  });

  it("frees its session where it leaves only the namespace", async () => {
    const { store, unwatched } = watchable();
    const { sessions, io, join } = await serveSockets({ store });
    io.of("/news");
    const { client, socket } = await join({ cookie: await cookieFor(sessions, "ada") });
    await join({ beside: client, namespace: "/news" });
    const left = disconnected(socket);
    client.disconnect();
    await left;
    await unwatched();
    expect(socket.conn.readyState).toBe("open");
  });

  it("is connected for as many namespaces as it likes, without a warning of too many listeners", async () => {
    const warned = vi.spyOn(process, "emitWarning");
    const { sessions, io, join } = await serveSockets();
    const { client } = await join({ cookie: await cookieFor(sessions, "ada") });
    for (let i = 0; i < 20; i++) {
      io.of(`/n${i}`).use(sessionMiddleware(sessions));
      await join({ beside: client, namespace: `/n${i}` });
    }
    expect(warned.mock.calls.map(([warning]) => String(warning)).filter((text) => /listeners/.test(text))).toEqual([]);
    warned.mockRestore();
  });
});

describe("a session that ends while a socket connects", () => {
  /** Middleware after the sessions that waits. */
  function gate() {
    let arrive!: () => void;
    let open!: () => void;
    const arrived = new Promise<void>((resolve) => (arrive = resolve));
    const opened = new Promise<void>((resolve) => (open = resolve));
    const middleware = (_socket: unknown, next: () => void) => {
      arrive();
      void opened.then(next);
    };
    return { arrived, open, middleware };
  }

  it.each([["websocket"], ["polling"]] as const)("is never connected over %s", async (transport) => {
    const { arrived, open: pass, middleware } = gate();
    const { sessions, open, io } = await serveSockets({ mount: (server) => server.use(middleware) });
    const connected = vi.fn<() => void>();
    io.on("connection", connected);
    const closed = new Promise((resolve) => io.engine.once("connection", (conn) => conn.once("close", resolve)));
    const client = open({ cookie: await cookieFor(sessions, "ada"), transports: [transport] });
    await arrived;
    await sessions.revokeAll("ada");
    await closed;
    pass();
    await new Promise((resolve) => setImmediate(resolve));
    expect(connected).not.toHaveBeenCalled();
    expect(client.connected).toBe(false);
  });

  it("is found where it has ended between the read and the watch, in another process", async () => {
    const kept = memoryStore();
    // Its notifications are lost.
    const store: SessionStore = { ...kept, subscribe: () => () => undefined };
    const held = gated(store);
    const { sessions, open } = await serveSockets({ store: held });
    const cookie = await cookieFor(sessions, "ada");
    const reading = held.hold("read", "after");
    const client = open({ cookie });
    await reading.arrived;
    const [id] = await kept.idsOfUser("ada").then((ids) => [...ids]);
    await kept.delete(id!);
    const outcome = outcomeOf(client);
    const ended = endOf(client);
    reading.letGo();
    expect([await outcome, (await ended).disconnect]).toEqual(["connected", "io server disconnect"]);
  });
});

describe("a client that is refused again and again on one connection", () => {
  it("loses the connection, and nothing is kept for it", async () => {
    const { store, watching, unwatched } = watchable();
    const { sessions, io, join } = await serveSockets({ store });
    io.of("/admin")
      .use(sessionMiddleware(sessions))
      .use((_socket, next) => next(new Error("no administrator")));
    const { client } = await join({ cookie: await cookieFor(sessions, "ada") });
    const lost = new Promise<string>((resolve) => client.once("disconnect", resolve));
    let tries = 0;
    const admin = client.io.socket("/admin");
    admin.on("connect_error", () => {
      tries += 1;
      if (tries < 1000) admin.connect();
    });
    admin.connect();
    await lost;
    await unwatched();
    expect([watching(), tries < 1000]).toEqual([false, true]);
  });

  it("keeps the connection where the session itself is the reason", async () => {
    const { sessions, io, join } = await serveSockets();
    io.of("/users").use(sessionMiddleware(sessions)).use(requireUser());
    const { client } = await join();
    const users = client.io.socket("/users");
    for (let i = 0; i < 150; i++) expect(await outcomeOf(users.connect())).toMatchObject({ message: "Please sign in" });
    expect(client.connected).toBe(true);
  });
});
