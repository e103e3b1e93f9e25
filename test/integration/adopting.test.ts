import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { RedisStore } from "connect-redis";
import express from "express";
import expressSession from "express-session";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ask, Client } from "../support/http/client.ts";
import { originFor, SECRET_KEY } from "../support/http/servers.ts";
import { connectNodeRedis, REDIS_SERVER, startRedis, type RedisServer } from "../support/redis.ts";

const PROGRAM = fileURLToPath(new URL("../support/http/adopting-process.ts", import.meta.url));
const OLD_SECRET = "an old secret of the former application, 1";

describe.skipIf(!REDIS_SERVER)("The option adopt in two processes over sessions that connect-redis has written", () => {
  let server: RedisServer;
  let client: Awaited<ReturnType<typeof connectNodeRedis>>;
  let origins: string[];
  const children: ChildProcess[] = [];

  beforeAll(async () => {
    server = await startRedis();
    client = await connectNodeRedis(server.port);
    origins = await Promise.all([start(), start()]);
  });
  afterAll(async () => {
    for (const child of children) {
      const ended = once(child, "close");
      child.kill();
      await ended;
    }
    client.destroy();
    await server.end();
  });

  async function start(): Promise<string> {
    const child = spawn(process.execPath, ["--import", "tsx", PROGRAM, `${server.port}`, SECRET_KEY, OLD_SECRET], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    children.push(child);
    const [said] = (await once(createInterface(child.stdout), "line")) as [string];
    return said;
  }

  /** The cookie of a browser that has signed in to the application as it was before, and what that shows for the cookie. */
  async function before(userId: string) {
    const app = express();
    const store = new RedisStore({ client });
    const options = { resave: false, saveUninitialized: false, cookie: { maxAge: 3_600_000 } };
    app.use(expressSession({ secret: OLD_SECRET, store, ...options }));
    app.post("/", (req, res) => {
      Object.assign(req.session, { userId, cart: { items: ["tea"] } });
      res.send("");
    });
    app.get("/", (req, res) => void res.send((req.session as { userId?: string }).userId ?? "nobody"));
    const origin = await originFor(app);
    const cookie = (await ask(origin, { method: "POST" })).setCookies[0]!.split(";", 1)[0]!;
    return { cookie, who: async () => (await ask(origin, { cookie })).body };
  }
  const tokensOf = (answers: readonly { readonly setCookies: readonly string[] }[]) =>
    new Set(answers.map(({ setCookies }) => setCookies.find((line) => line.startsWith("session="))?.split(";", 1)[0]));

  it("gives 50 parallel first requests one session, in which no change is lost", async () => {
    const { cookie } = await before("ada");
    const asked = Array.from({ length: 50 }, async (_, i) => ask(`${origins[i % 2]!}/count`, { cookie }));
    const answers = await Promise.all(asked);
    expect(answers.filter(({ status }) => status !== 200)).toEqual([]);
    const tokens = tokensOf(answers);
    expect(tokens.size).toBe(1);
    const data = await ask(`${origins[0]!}/data`, { cookie: [...tokens][0] });
    expect(Object.fromEntries(JSON.parse(data.body) as [])).toMatchObject({ count: 50, cart: { items: ["tea"] } });
  });

  it("makes a sign-out final in both, and in the application as it was before", async () => {
    const { cookie, who } = await before("bea");
    expect(await who()).toBe("bea");
    const browser = new Client(origins[0]!);
    expect((await browser.get("/", { cookie })).body).toBe("signed in as bea");
    expect(await who()).toBe("bea");
    await browser.post("/logout");
    expect(await who()).toBe("nobody");
    for (const origin of origins) expect((await ask(origin, { cookie })).body).toBe("anonymous");
  });

  it("makes a sign-out final against first requests that meet it in the other process", async () => {
    const { cookie } = await before("eve");
    const first = await ask(origins[0]!, { cookie });
    const own = [...tokensOf([first])][0];
    const meeting = Array.from({ length: 20 }, async (_, i) =>
      i === 10 ? ask(`${origins[0]!}/logout`, { cookie: own, method: "POST" }) : ask(origins[1]!, { cookie }),
    );
    await Promise.all(meeting);
    for (const origin of origins) expect((await ask(origin, { cookie })).body).toBe("anonymous");
    expect((await ask(origins[1]!, { cookie: own })).body).toBe("anonymous");
  });
});
