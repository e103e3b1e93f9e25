import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createHmac } from "node:crypto";
import express, { type Express } from "express";
import expressSession from "express-session";
import { createSessions, type FormerSessions, type Sessions } from "sojourn";
import type { CallbackStore } from "sojourn/adopt";
import { sessionMiddleware } from "sojourn/express";
import { memoryStore } from "sojourn/memory";
import { afterAll, afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { document, filesOf, workshop } from "../support/http/blocks.ts";
import { Client } from "../support/http/client.ts";
import { libraries, PREVIOUS as OLD_SECRET } from "../support/http/former.ts";
import { originFor, SECRET_KEY } from "../support/http/servers.ts";

const NEW_KEY = "x7Vq3Lz0TgPb5NdQ8hJ2sGf4uEo6iAaRkV_mW9cYrK1";

beforeEach(() => {
  vi.stubEnv("SECRET_KEY", SECRET_KEY);
  for (const name of ["OLD_SECRET", "OLD_KEY", "OLD_PASSWORD"]) vi.stubEnv(name, OLD_SECRET);
});
afterEach(() => void vi.unstubAllEnvs());

const places: (() => void)[] = [];
afterAll(() => places.forEach((clear) => clear()));

/** The files of a page, each with its path. */
function filesIn(page: string) {
  const place = workshop();
  places.push(place.clear);
  const files = filesOf(document(`docs/${page}.md`)).map(({ name, code }) => ({ name, path: place.file(name, code) }));
  return { place, names: files.map(({ name }) => name), paths: files.map(({ path }) => path) };
}

/** A directory of its own for fileStore. */
function temporary(): void {
  const directory = mkdtempSync(join(tmpdir(), "sojourn-test-"));
  places.push(() => rmSync(directory, { recursive: true, force: true }));
  vi.stubEnv("TMPDIR", directory);
}

describe("the page on moving users", () => {
  const { place, names, paths } = filesIn("moving-users");

  /** One address, behind which the former application and the one that has moved take turns. */
  async function applications() {
    temporary();
    type SessionsOf = (store: CallbackStore, keepCookie: boolean) => Sessions;
    const { sessionsOf } = (await import(paths[0]!)) as { sessionsOf: SessionsOf };
    const store = new expressSession.MemoryStore();
    const former = express().use(
      expressSession({ secret: OLD_SECRET, store, resave: false, saveUninitialized: false }),
    );
    former.post("/login", (req, res) => {
      Object.assign(req.session, { passport: { user: req.query["user"] } });
      res.send("");
    });
    former.get("/", (req, res) => {
      res.send((req.session as { passport?: { user: string } }).passport?.user ?? "nobody");
    });
    former.post("/logout", (req, res) => {
      store.destroy(req.sessionID, () => res.send(""));
      delete (req as { session?: unknown }).session;
    });
    const moved = () => {
      const sessions = sessionsOf(store, true);
      const app = express().use(sessionMiddleware(sessions));
      app.post("/login", (req, res) => {
        sessions.of(req).signIn(req.query["user"] as string);
        res.send("");
      });
      app.get("/", (req, res) => void res.send(sessions.of(req).userId ?? "nobody"));
      app.post("/logout", (req, res) => {
        sessions.of(req).signOut();
        res.send("");
      });
      return app;
    };
    let current: Express = former;
    const origin = await originFor((req, res) => current(req, res));
    return {
      browser: () => new Client(origin),
      back: () => void (current = former),
      /** Also with a new secret key, as the page says. */
      forward(secretKey = SECRET_KEY) {
        vi.stubEnv("SECRET_KEY", secretKey);
        current = moved();
      },
    };
  }
  const who = async (browser: Client) => (await browser.get("/")).body;

  it("says rightly what users see who go back for a day and move again", async () => {
    const { browser, back, forward } = await applications();
    const [before, leaving, during, outMeanwhile, idle] = Array.from({ length: 5 }, browser);
    for (const [i, one] of [before, leaving, outMeanwhile, idle].entries()) await one!.post(`/login?user=old${i}`);

    forward();
    expect([await who(before!), await who(leaving!), await who(outMeanwhile!)]).toEqual(["old0", "old1", "old2"]);
    await leaving!.post("/logout");
    await during!.post("/login?user=new");
    expect([await who(leaving!), await who(during!)]).toEqual(["nobody", "new"]);

    back();
    expect(await who(before!)).toBe("old0");
    expect(await who(leaving!)).toBe("nobody");
    expect(await who(during!)).toBe("nobody");
    expect(await who(idle!)).toBe("old3");
    await during!.post("/login?user=new");
    await outMeanwhile!.post("/logout");

    forward(NEW_KEY);
    expect(await who(before!)).toBe("old0");
    expect(await who(leaving!)).toBe("nobody");
    expect(await who(during!)).toBe("new");
    expect(await who(outMeanwhile!)).toBe("nobody");
    expect(await who(idle!)).toBe("old3");
  });

  it("shows a source of one's own that adopts, and ends at the sign-out", async () => {
    interface Old {
      secret: string;
      find(id: string): Promise<unknown>;
      delete(id: string): Promise<void>;
    }
    const { ownSessions } = (await import(paths[1]!)) as { ownSessions(old: Old): FormerSessions };
    const kept = new Map([["one", { user: "ada", cart: ["tea"], end: new Date(Date.now() + 60_000) }]]);
    const source = ownSessions({
      secret: OLD_SECRET,
      find: async (id) => kept.get(id),
      delete: async (id) => void kept.delete(id),
    });
    const sessions = createSessions({ secretKey: SECRET_KEY, store: memoryStore(), adopt: [source] });
    const signature = createHmac("sha256", OLD_SECRET).update("one").digest("base64url");
    const open = (cookie: string) => sessions.open(new Request("https://shop.example/", { headers: { cookie } }));
    expect((await open(`sid=one.${signature}x`)).userId).toBeUndefined();
    const session = await open(`sid=one.${signature}`);
    expect([session.userId, session.data]).toEqual(["ada", { cart: ["tea"] }]);
    session.signOut();
    await sessions.commit(session, new Response());
    expect(kept.size).toBe(0);
  });

  it("has types that are right", async () => {
    expect(await place.typeErrors([], names)).toBe("");
  });
});

describe.each([
  ["coming-from-cookie-session", libraries[2]],
  ["coming-from-iron-session", libraries[3]],
  ["coming-from-fastify-session", libraries[1]],
  ["coming-from-koa-session", libraries[4]],
  ["coming-from-koa-session", libraries[5]],
] as const)("the page %s", (page, library) => {
  const { place, names, paths } = filesIn(page);

  it(`keeps the users of ${library.name} signed in`, async () => {
    temporary();
    const former = await library.start({ secret: OLD_SECRET, cookieName: "my-app" });
    const shown = (await import(paths[0]!)) as { sessions?: Sessions; sessionsOf?(store: unknown): Sessions };
    const sessions = shown.sessions ?? shown.sessionsOf!(former.store);
    const cookie = await former.signIn();
    const session = await sessions.open(new Request("https://shop.example/", { headers: { cookie } }));
    expect([session.userId, session.data]).toEqual(["ada", { userId: "ada", cart: ["tea", "Zoë"] }]);
    await sessions.revokeEverything();
  });

  it("has types that are right", async () => {
    expect(await place.typeErrors([], names)).toBe("");
  });
});
