import express, { type RequestHandler } from "express";
import expressSession from "express-session";
import { expressSession as formerSessions } from "sojourn/adopt";
import dropIn from "sojourn/express-session";
import { memoryStore } from "sojourn/memory";
import { describe, expect, it } from "vitest";
import { ask, Client } from "../support/http/client.ts";
import { originFor } from "../support/http/servers.ts";

const SECRET = "keep this secret of the application, 1";

/** An application of express-session, and the same one with the drop-in in its place. */
async function applications() {
  const oldStore = new expressSession.MemoryStore();
  const options = { secret: SECRET, resave: false, saveUninitialized: false };
  const serve = async (session: RequestHandler) => {
    const app = express().use(session);
    type Kept = { passport?: { user: string }; visits?: number };
    app.post("/login", (req, res) => {
      Object.assign(req.session as Kept, { passport: { user: "ada" }, visits: 0 });
      res.send("");
    });
    app.get("/", (req, res) => {
      const kept = req.session as Kept;
      if (kept.visits !== undefined) kept.visits += 1;
      res.json({ user: kept.passport?.user, visits: kept.visits });
    });
    app.post("/logout", (req, res, next) => {
      (req.session as unknown as { destroy(done: (error?: unknown) => void): void }).destroy((error) => {
        if (error) next(error);
        else res.send("");
      });
    });
    return originFor(app);
  };
  const before = await serve(expressSession({ ...options, store: oldStore }));
  const session = dropIn({
    ...options,
    store: memoryStore(),
    adopt: [formerSessions({ secret: SECRET, store: oldStore })],
  });
  const after = await serve(session);
  const signIn = async () => (await ask(`${before}/login`, { method: "POST" })).setCookies[0]!.split(";", 1)[0]!;
  return { before, after, signIn, sessions: session.sessions };
}

describe("The option adopt of sojourn/express-session", () => {
  it("keeps users signed in whose cookie has the same name, in two browsers with parallel requests", async () => {
    const { after, signIn, sessions } = await applications();
    const cookies = [await signIn(), await signIn()];
    for (const cookie of cookies) {
      const first = await Promise.all(Array.from({ length: 8 }, async () => ask(after, { cookie })));
      expect(first.map(({ body }) => (JSON.parse(body) as { user: string }).user)).toEqual(Array(8).fill("ada"));
      const lines = new Set(first.flatMap(({ setCookies }) => setCookies.map((line) => line.split(";", 1)[0]!)));
      expect(lines.size).toBe(1);
      const [replaced] = [...lines];
      expect(replaced).toMatch(/^connect\.sid=s%3A[\w-]{22}\./);
      expect(first.flatMap(({ setCookies }) => setCookies).filter((line) => line.includes("=;"))).toEqual([]);
      expect(JSON.parse((await ask(after, { cookie: replaced })).body)).toMatchObject({ user: "ada" });
    }
    expect(await sessions.list("ada")).toHaveLength(2);
  });

  it("ends the old session at destroy(), and takes the old cookie no more", async () => {
    const { before, after, signIn } = await applications();
    const cookie = await signIn();
    const browser = new Client(after);
    await browser.get("/", { cookie });
    expect((await browser.post("/logout")).status).toBe(200);
    expect(JSON.parse((await ask(after, { cookie })).body)).toEqual({});
    expect(JSON.parse((await ask(before, { cookie })).body)).toEqual({});
  });

  it("shows nobody a session of a cookie that another secret has signed", async () => {
    const { after, signIn } = await applications();
    const cookie = await signIn();
    expect(JSON.parse((await ask(after, { cookie: `${cookie.slice(0, -3)}AAA` })).body)).toEqual({});
  });
});
