import { randomBytes } from "node:crypto";
import express from "express";
import { createSessions, type Session } from "sojourn";
import { sessionMiddleware } from "sojourn/express";
import { memoryStore } from "sojourn/memory";
import { describe, expect, it } from "vitest";
import { originFor, SECRET_KEY } from "../support/http/servers.ts";
import { createGate } from "../support/http/stage.ts";

const request = (cookie = ""): Request => new Request("http://localhost/", { headers: { cookie } });
const cookieIn = (response: Response): string => response.headers.getSetCookie()[0]!.split(";")[0]!;

describe("Sessions.open", () => {
  it("reads once where one request opens its session twice at once, and loses no other request's update", async () => {
    const store = memoryStore();
    const sessions = createSessions({ secretKey: SECRET_KEY, store });
    const first = await sessions.open(request());
    first.data.begun = 1;
    const cookie = cookieIn(await sessions.commit(first, new Response()));

    let reads = 0;
    const { read } = store;
    store.read = async (id) => {
      reads += 1;
      return read(id);
    };
    const twice = request(cookie);
    const opening = [sessions.open(twice), sessions.open(twice)];
    const session = await opening[0]!;
    session.data.mine = 1;
    expect(await opening[1]).toBe(session);
    expect(reads).toBe(1);
    const other = await sessions.open(request(cookie));
    other.data.theirs = 1;
    await sessions.commit(other, new Response());
    await sessions.commit(session, new Response());
    expect((await sessions.open(request(cookie))).data).toEqual({ begun: 1, mine: 1, theirs: 1 });
  });
});

describe("sojourn for Express and a streamed response", () => {
  // Merged keys come in another order, which must not count as an unsaved change.
  it("sends it completely if another request stored the session first", async () => {
    const sessions = createSessions({ secretKey: SECRET_KEY, store: memoryStore() });
    const [beginning, ending] = [createGate(), createGate()];
    const app = express().use(sessionMiddleware(sessions));
    const stream = async (session: Session, res: express.Response): Promise<void> => {
      await beginning.pass();
      session.data.mine = 1;
      res.write("begun\n");
      await ending.pass();
      res.end("done\n");
    };
    app.get("/", (req, res) => void stream(req.session, res));
    const first = await sessions.open(request());
    first.data.begun = 1;
    const cookie = cookieIn(await sessions.commit(first, new Response()));
    const answering = fetch(await originFor(app), { headers: { cookie } });
    await beginning.reached;
    const other = await sessions.open(request(cookie));
    other.data.theirs = 1;
    await sessions.commit(other, new Response());
    beginning.open();
    const answer = await answering;
    ending.open();
    expect(await answer.text()).toBe("begun\ndone\n");
  });
});

describe("sessions under a new secret key", () => {
  async function late(change: (session: { data: Record<string, unknown> }) => void): Promise<Response> {
    const store = memoryStore();
    const previous = randomBytes(32).toString("base64url");
    const before = createSessions({ secretKey: previous, store });
    const first = await before.open(request());
    first.signIn("ada");
    const cookie = cookieIn(await before.commit(first, new Response()));

    const sessions = createSessions({ secretKey: [SECRET_KEY, previous], store });
    const slow = await sessions.open(request(cookie));
    change(slow);
    const other = await sessions.open(request(cookie));
    other.signOut();
    await sessions.commit(other, new Response());
    return sessions.commit(slow, new Response());
  }

  // A cookie that is signed again waits for the headers, and must be taken back.
  it("set no cookie in a response that comes after the sign-out, if it wrote", async () => {
    const response = await late((session) => (session.data.late = 1));
    expect(response.headers.getSetCookie()).toEqual([]);
  });

  it("set no cookie in a response that comes after the sign-out, if it only read", async () => {
    const response = await late((session) => void session.data.anything);
    expect(response.headers.getSetCookie()).toEqual([]);
  });
});

describe("sojourn for Express, after the response", () => {
  const attempts = ["signOut", "signIn", "rotate"] as const;

  /** The error of a change of the token after `res.send`, or `undefined` if there is none. */
  async function afterSending(isDelayed: boolean, attempt: (typeof attempts)[number]): Promise<string | undefined> {
    const store = memoryStore();
    const sessions = createSessions({ secretKey: SECRET_KEY, store });
    const app = express().use(sessionMiddleware(sessions));
    let code: string | undefined;
    app.get("/", (req, res) => {
      if (isDelayed) req.session.data.changed = true;
      res.send("bye");
      try {
        req.session[attempt]("eve");
      } catch (error) {
        code = (error as { code: string }).code;
      }
    });
    const first = await sessions.open(request());
    first.signIn("ada");
    const cookie = cookieIn(await sessions.commit(first, new Response()));
    await fetch(await originFor(app), { headers: { cookie } });
    return code;
  }

  it.each(attempts)("refuses %s if it left at once", async (attempt) => {
    expect(await afterSending(false, attempt)).toBe("ERR_SESSION_HEADERS_SENT");
  });

  // Until the store has replied, the session can still be changed, but a requested sign-in is forgotten.
  it.each(attempts)("refuses %s if the response is delayed", async (attempt) => {
    expect(await afterSending(true, attempt)).toBe("ERR_SESSION_HEADERS_SENT");
  });
});
