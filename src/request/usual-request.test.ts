import { describe, expect, it } from "vitest";
import { begin, Browser, KEYS, site } from "../../test/support/stores.ts";
import { cookieStore } from "../cookie-store/store.ts";
import { createSessions, type Sessions } from "../sessions.ts";
import { memoryStore } from "../stores/memory.ts";
import { loadSession } from "./load-session.ts";
import { requestSessionOf } from "./session-handle.ts";
import { isUsual } from "./usual-request.ts";

const URL = "https://shop.example/";

const requestWith = (cookie?: string) => new Request(URL, { headers: cookie === undefined ? {} : { cookie } });

/** A request whose session nobody has read. */
const unread = (sessions: Sessions, cookie?: string) => requestSessionOf(begin(sessions, requestWith(cookie)));

async function opened(sessions: Sessions, cookie?: string) {
  const session = await sessions.open(requestWith(cookie));
  return { session, requestSession: requestSessionOf(session) };
}

async function signedIn() {
  const server = site();
  const browser = server.browser();
  await browser.visit((session) => session.signIn("alice"));
  const other = server.browser();
  await other.visit((session) => session.signIn("bob"));
  return { ...server, cookie: browser.cookie, otherCookie: other.cookie };
}

describe("a request without reason for a closer look", () => {
  it("has no cookie, and does not use the session", async () => {
    const { sessions } = await signedIn();
    expect(isUsual(unread(sessions))).toBe(true);
    const used = unread(sessions);
    used.access();
    expect(isUsual(used)).toBe(false);
  });

  it("has the cookie of a live session, beside cookies of others", async () => {
    const { sessions, cookie } = await signedIn();
    expect(isUsual((await opened(sessions, cookie)).requestSession)).toBe(true);
    expect(isUsual((await opened(sessions, `theme=dark; ${cookie}; size=2`)).requestSession)).toBe(true);
    expect(isUsual((await opened(sessions, `theme=${"x".repeat(9000)}; ${cookie}`)).requestSession)).toBe(false);
  });

  it("has a valid token and does not read its session", async () => {
    const { sessions, cookie } = await signedIn();
    expect(isUsual(unread(sessions, cookie))).toBe(true);
    expect(isUsual(unread(sessions, `${cookie.slice(0, -1)}${cookie.endsWith("A") ? "B" : "A"}`))).toBe(false);
  });

  it("has no second value of the cookie", async () => {
    const { sessions, cookie, otherCookie } = await signedIn();
    const [name] = cookie.split("=", 1);
    for (const second of [`${name}=other`, otherCookie]) {
      expect(isUsual(unread(sessions, `${cookie}; ${second}`))).toBe(false);
      expect(isUsual((await opened(sessions, `${second}; ${cookie}`)).requestSession)).toBe(false);
    }
  });

  it("has no cookie of another application, and no session that has ended", async () => {
    const { sessions, cookie } = await signedIn();
    const [name] = cookie.split("=", 1);
    expect(isUsual((await opened(sessions, "theme=dark")).requestSession)).toBe(false);
    const { session, requestSession } = await opened(sessions, `${name}=other`);
    expect(isUsual(requestSession)).toBe(false);
    // A session that begins beside that cookie makes it none of ours.
    session.signIn("carol");
    await session.save();
    requestSession.cookie.withdraw();
    expect(requestSession.token).toBeDefined();
    expect(isUsual(requestSession)).toBe(false);
    await sessions.revokeAll("alice");
    expect(isUsual((await opened(sessions, cookie)).requestSession)).toBe(false);
  });

  it("gets no cookie, neither now nor when its response was written before", async () => {
    const { sessions, cookie } = await signedIn();
    const { session, requestSession } = await opened(sessions, cookie);
    session.rotate();
    await session.save();
    expect(requestSession.cookie.pending).toBeDefined();
    expect(isUsual(requestSession)).toBe(false);
    requestSession.cookie.take();
    expect(isUsual(requestSession)).toBe(false);
  });

  it("has read its session from a store that works", async () => {
    const { sessions, store, cookie } = await signedIn();
    store.read = () => Promise.reject(new Error("down"));
    const requestSession = unread(sessions, cookie);
    await expect(loadSession(requestSession)).rejects.toThrow();
    expect(isUsual(requestSession)).toBe(false);
  });

  it("may not have the cookie of a former library in place of ours", () => {
    const none = () => Promise.resolve(undefined);
    const former = { name: "old", cookies: [{ name: "old" }], find: () => [], read: none, end: none };
    const sessions = createSessions({ secretKey: KEYS[0], store: memoryStore(), adopt: [former as never] });
    expect(isUsual(unread(sessions, "__Host-session=other; old=1"))).toBe(false);
  });

  it("has a session in cookies that opens", async () => {
    const sessions = createSessions({ secretKey: KEYS[0], store: cookieStore() });
    const browser = new Browser(sessions);
    await browser.visit((session) => session.signIn("alice"));
    expect(isUsual((await opened(sessions, `${browser.cookie}; theme=dark`)).requestSession)).toBe(true);
    expect(isUsual((await opened(sessions, "__Host-session=other")).requestSession)).toBe(false);
    expect(isUsual((await opened(sessions, `${browser.cookie}; theme=${"x".repeat(9000)}`)).requestSession)).toBe(
      false,
    );
  });
});
