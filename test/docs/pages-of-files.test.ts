import { spawnSync } from "node:child_process";
import { dirname, join } from "node:path";
import type { Express } from "express";
import type { FastifyInstance } from "fastify";
import type { Hono } from "hono";
import { createSessions, type Session, type Sessions } from "sojourn";
import { memoryStore } from "sojourn/memory";
import { cookieFor } from "sojourn/testing";
import { afterAll, describe, expect, it } from "vitest";
import { document, filesOf, quotesOf, ROOT, workshop } from "../support/http/blocks.ts";
import { Client } from "../support/http/client.ts";
import { originFor, SECRET_KEY } from "../support/http/servers.ts";
import type { Listener } from "../support/http/ways.ts";

const PAGES = [
  "docs/testing.md",
  "docs/fastify.md",
  "docs/hono.md",
  "docs/koa.md",
  "docs/h3.md",
  "docs/write-an-adapter.md",
  "docs/templates.md",
  "docs/passport.md",
  "docs/socket.io.md",
  "docs/websockets.md",
];

describe.each(PAGES)("%s", (name) => {
  const page = document(name);
  const files = filesOf(page);
  const place = workshop();
  const paths = files.map((file) => place.file(file.name, file.code));
  const tests = files.filter((file) => file.name.endsWith(".test.ts"));
  afterAll(place.clear);

  it("says of each block of TypeScript what its file is called", () => {
    expect(files.length).toBeGreaterThan(1);
    expect(page.match(/```tsx?\n/g)).toHaveLength(files.length + quotesOf(page).length);
  });

  it("shows code whose types are right", async () => {
    expect(
      await place.typeErrors(
        [],
        files.map((file) => file.name),
      ),
    ).toBe("");
  });

  if (tests.length === 0) return;
  it("shows tests that pass", () => {
    place.file("vitest.config.mjs", "export default {};\n");
    const vitest = join(ROOT, "node_modules/vitest/vitest.mjs");
    const { stdout, stderr, status } = spawnSync(
      process.execPath,
      [vitest, "run", "--root", dirname(paths[0]!), "--reporter=json", "--maxWorkers=1", "--no-isolate"],
      { encoding: "utf8" },
    );
    expect({ status, stderr, stdout }).toMatchObject({ status: 0 });
    expect((JSON.parse(stdout) as { testResults: unknown[] }).testResults).toHaveLength(tests.length);
  });
});

describe("the session in a template", () => {
  const place = workshop();
  afterAll(place.clear);
  const [onExpress, onHono] = filesOf(document("docs/templates.md")).map(({ name, code }) => place.file(name, code));
  const sessions = createSessions({ secretKey: SECRET_KEY, store: memoryStore() });

  it("is shown by an engine of Express, which gets it by res.locals", async () => {
    const { createApp } = (await import(onExpress!)) as { createApp(given: Sessions): Express };
    const app = createApp(sessions);
    app.set("views", dirname(place.file("home.test", "")));
    app.engine("test", (_path, locals, done) => {
      const { session } = locals as unknown as { session: Session };
      done(null, `Hello ${String(session.data["username"])}`);
    });
    app.set("view engine", "test");
    const base = await originFor(app);
    const cookie = await cookieFor(sessions, "1", { data: { username: "ada" } });
    expect(await (await fetch(base, { headers: { cookie } })).text()).toBe("Hello ada");
  });

  it("is shown by a component of Hono", async () => {
    const { createApp } = (await import(onHono!)) as { createApp(given: Sessions): Hono };
    const cookie = await cookieFor(sessions, "1", { data: { username: "ada" } });
    const response = await createApp(sessions).request("/", { headers: { cookie } });
    expect(await response.text()).toContain("<p>Hello ada</p>");
  });
});

describe("passport on native sessions", () => {
  const place = workshop();
  afterAll(place.clear);
  const paths = filesOf(document("docs/passport.md")).map(({ name, code }) => place.file(name, code));
  type Find = (name: string, password: string) => { id: string } | undefined;
  const findUser: Find = (name, password) => (password === "lovelace" ? { id: name } : undefined);

  it.each(paths)("signs in and out as %s shows", async (path) => {
    const sessions = createSessions({ secretKey: SECRET_KEY, store: memoryStore() });
    const { createApp } = (await import(path)) as { createApp(given: Sessions, find: Find): Express | FastifyInstance };
    const app = createApp(sessions, findUser);
    if ("routing" in app) await app.ready();
    const [ada, visitor] = (await clientsOf("routing" in app ? (req, res) => app.routing(req, res) : app)) as [
      Client,
      Client,
    ];
    expect((await ada.post("/login?username=ada&password=guess")).status).toBe(401);
    expect((await ada.post("/login?username=ada&password=lovelace")).status).toBe(303);
    expect([(await ada.get("/")).body, (await visitor.get("/")).body]).toEqual(["Hello ada", "Hello stranger"]);
    expect(await sessions.list("ada")).toHaveLength(1);
    await ada.post("/logout");
    expect([(await ada.get("/")).body, await sessions.list("ada")]).toEqual(["Hello stranger", []]);
  });
});

async function clientsOf(listener: Listener): Promise<Client[]> {
  const origin = await originFor(listener);
  return [new Client(origin), new Client(origin)];
}
