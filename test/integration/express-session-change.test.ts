import express from "express";
import expressSession from "express-session";
import { session } from "sojourn/express-session";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { expressStorePackages, type ExpressStoreWorld } from "../support/express-stores.ts";
import { Client } from "../support/http/client.ts";
import { originFor } from "../support/http/servers.ts";

const SECRET = "a secret of the old application, which is long enough";
const PARALLEL = 10;

/** One application: nothing but its first line tells whether express-session or the drop-in is behind it. */
async function serve(use: typeof expressSession, store: unknown) {
  const app = express();
  app.use(use({ secret: SECRET, store: store as never, resave: false, saveUninitialized: false }));
  app.post("/login", (req, res, next) => {
    (req.session as unknown as expressSession.Session).regenerate((error: unknown) => {
      if (error) return next(error);
      Object.assign(req.session, { passport: { user: "ada" }, items: {} });
      res.send("in");
    });
  });
  app.post("/add/:item", (req, res) => {
    (req.session as unknown as { items: Record<string, true> }).items[req.params.item] = true;
    res.send("added");
  });
  app.get("/", (req, res) => void res.json({ ...req.session, cookie: undefined }));
  app.post("/logout", (req, res, next) => {
    (req.session as unknown as expressSession.Session).destroy((error: unknown) =>
      error ? next(error) : res.send("out"),
    );
  });
  return originFor(app);
}

for (const { name, isHere, lists, start } of expressStorePackages) {
  describe.skipIf(!isHere)(`a change from express-session to sojourn/express-session over ${name}`, () => {
    let world: ExpressStoreWorld;
    beforeAll(async () => (world = await start()));
    afterAll(() => world?.stop());

    it("signs nobody out, loses no parallel change, and ends both sessions at the sign-out", async () => {
      const before = await serve(expressSession, world.open());
      const middlewares: ReturnType<typeof session>[] = [];
      const made = (options: Parameters<typeof session>[0]) => {
        middlewares.push(session(options));
        return middlewares[0]!;
      };
      const after = await serve(made as unknown as typeof expressSession, world.open());
      const [ada, other] = [new Client(before), new Client(before)];
      await ada.post("/login");
      await other.post("/login");
      const { cookie } = ada;
      const items = Array.from({ length: PARALLEL }, (_, i) => `i${i}`);
      const adding = items.map((item) => new Client(after).get(`/add/${item}`, { method: "POST", cookie }));
      const answers = await Promise.all(adding);
      expect(answers.map(({ status }) => status)).toEqual(items.map(() => 200));
      const cookies = new Set(answers.map(({ setCookies }) => setCookies[0]!.split(";")[0]!));
      expect(cookies.size).toBe(1);
      const [now] = [...cookies];
      const page = async (of: string | undefined) =>
        JSON.parse((await new Client(after).get("/", { cookie: of! })).body) as { items?: object };
      expect(Object.keys((await page(now)).items!).toSorted()).toEqual(items);
      expect(await page(other.cookie)).toMatchObject({ passport: { user: "ada" }, items: {} });
      const [middleware] = middlewares;
      if (lists) expect(await middleware!.sessions.list("ada")).toHaveLength(2);
      await new Client(after).get("/logout", { method: "POST", cookie: now! });
      expect([await page(now), await page(cookie)]).toEqual([{}, {}]);
      expect((await new Client(before).get("/", { cookie: cookie! })).body).toBe("{}");
    });
  });
}
