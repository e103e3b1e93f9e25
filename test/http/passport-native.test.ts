import { Authenticator } from "@fastify/passport";
import Fastify from "fastify";
import express, { type RequestHandler } from "express";
import { Strategy } from "passport-local";
import { createSessions, type Sessions } from "sojourn";
import { sessionMiddleware } from "sojourn/express";
import { sessionPlugin } from "sojourn/fastify";
import { memoryStore } from "sojourn/memory";
import { passportSessions } from "sojourn/passport";
import { describe, expect, it } from "vitest";
import { Client } from "../support/http/client.ts";
import { LOGIN, newPassport, PASSWORDS, type Held } from "../support/http/passport.ts";
import { originFor, SECRET_KEY } from "../support/http/servers.ts";

// passport 0.7 and @fastify/passport 4 on Sojourn's own adapters.

type Data = Record<string, unknown>;
type Serialize = (id: string) => unknown;

interface Setting {
  readonly serialize?: Serialize;
  /** Whether somebody is a user still. */
  readonly isKnown?: (id: string) => boolean;
}

interface Application {
  readonly sessions: Sessions<Data>;
  readonly visitor: () => Client;
}

const idOf = (value: unknown): string =>
  String(typeof value === "object" ? (value as { id: string }).id : (value as string | number));

async function onExpress({ serialize = (id) => id, isKnown = () => true }: Setting = {}): Promise<Application> {
  const sessions = createSessions<Data>({ secretKey: SECRET_KEY, store: memoryStore() });
  const passport = newPassport({
    serialize: ({ id }) => serialize(id),
    deserialize: (value: never) => isKnown(idOf(value)) && { id: idOf(value), kept: value },
  });
  expect(passportSessions(passport, sessions)).toBe(passport);
  const app = express().use(sessionMiddleware(sessions));
  app.use(passport.initialize(), passport.session());
  const login = (options: object): RequestHandler => passport.authenticate("local", options);
  app.post("/login", login({}), (_req, res) => res.send("in"));
  app.post("/login-keeping", login({ keepSessionInfo: true }), (_req, res) => res.send("in"));
  app.post("/logout", (req, res, next) => {
    const keepSessionInfo = req.query["keep"] === "yes";
    (req as unknown as Held).logout({ keepSessionInfo }, (error) => (error ? next(error) : res.redirect("/")));
  });
  app.post("/set", (req, res) => {
    Object.assign(sessions.of(req).data, req.query);
    res.send("");
  });
  app.get("/who", (req, res) => {
    const { user } = req as unknown as Held;
    const { passport: _user, ...data } = sessions.of(req).data;
    res.json({ user: user ?? null, data });
  });
  app.get("/id", (req, res) => res.send(sessions.of(req).id));
  app.use(
    ((error: Error, _req, res, _next) => void res.status(500).send(error.message)) as express.ErrorRequestHandler,
  );
  const origin = await originFor(app);
  return { sessions, visitor: () => new Client(origin) };
}

async function onFastify({ serialize = (id) => id, isKnown = () => true }: Setting = {}): Promise<Application> {
  const sessions = createSessions<Data>({ secretKey: SECRET_KEY, store: memoryStore() });
  const passport = passportSessions(new Authenticator(), sessions);
  passport.use(
    new Strategy((name, password, done) => {
      if (PASSWORDS.get(name) === password) done(null, { id: name });
      else done(null, false, { message: "That is not the password." });
    }) as never,
  );
  passport.registerUserSerializer(async ({ id }: { id: string }) => serialize(id));
  passport.registerUserDeserializer(async (value) => isKnown(idOf(value)) && { id: idOf(value), kept: value });
  const app = Fastify();
  await app.register(sessionPlugin(sessions));
  await app.register(passport.initialize());
  await app.register(passport.secureSession());
  const login = (options: object) => ({ preValidation: passport.authenticate("local", options) });
  app.post("/login", login({}), (_request, reply) => reply.send("in"));
  app.post("/login-keeping", login({ keepSessionInfo: true }), (_request, reply) => reply.send("in"));
  app.post("/logout", (request, reply) => request.logOut().then(() => reply.redirect("/")));
  app.post("/set", (request, reply) => {
    Object.assign(sessions.of(request).data, request.query);
    return reply.send("");
  });
  app.get("/who", (request, reply) => {
    const { passport: _user, ...data } = sessions.of(request).data;
    return reply.send({ user: request.user ?? null, data });
  });
  app.get("/id", (request, reply) => reply.send(sessions.of(request).id));
  app.setErrorHandler((error: Error, _request, reply) => reply.code(500).send(error.message));
  await app.ready();
  const origin = await originFor((req, res) => app.routing(req, res));
  return { sessions, visitor: () => new Client(origin) };
}

interface Seen {
  readonly user: { id: string; kept: unknown } | null;
  readonly data: Data;
}
const see = async (client: Client) => JSON.parse((await client.get("/who")).body) as Seen;
const who = async (client: Client) => (await see(client)).user?.id ?? null;

describe.each([
  ["passport 0.7 in Express", onExpress],
  ["@fastify/passport 4", onFastify],
])("%s with passportSessions", (_, start) => {
  it("signs one client in and out, and no other", async () => {
    const { visitor, sessions } = await start();
    const [ada, grace] = [visitor(), visitor()];
    expect((await ada.post("/login?username=ada&password=hopper")).status).toBe(401);
    expect([await who(ada), ada.cookie]).toEqual([null, undefined]);
    await ada.post(LOGIN.ada);
    expect([await who(ada), await who(grace)]).toEqual(["ada", null]);
    await grace.post(LOGIN.grace);
    const thief = ada.twin();
    expect((await ada.post("/logout")).status).toBe(302);
    expect([await who(ada), await who(thief), await who(grace)]).toEqual([null, null, "grace"]);
    expect([await sessions.list("ada"), (await sessions.list("grace")).length]).toEqual([[], 1]);
  });

  it("gives a sign-in a new id and cookie, and takes the cookie of before for nobody's", async () => {
    const { visitor } = await start();
    const ada = visitor();
    await ada.post("/set?cart=tea");
    const planted = ada.twin();
    const before = (await ada.get("/id")).body;
    await ada.post(LOGIN.ada);
    expect([await who(ada), await see(planted)]).toEqual(["ada", { user: null, data: {} }]);
    expect((await ada.get("/id")).body).not.toBe(before);
  });

  it("keeps data over a sign-in only where keepSessionInfo says so, and never those of another user", async () => {
    const { visitor } = await start();
    const [ada, grace] = [visitor(), visitor()];
    for (const client of [ada, grace]) await client.post("/set?cart=tea");
    await ada.post(LOGIN.ada);
    await grace.post(LOGIN.grace.replace("/login", "/login-keeping"));
    expect([(await see(ada)).data, (await see(grace)).data]).toEqual([{}, { cart: "tea" }]);
    await grace.post(LOGIN.ada.replace("/login", "/login-keeping"));
    expect(await see(grace)).toMatchObject({ user: { id: "ada" }, data: {} });
  });

  it("knows the user in sessions.list, and signs out everywhere by revokeAll", async () => {
    const { visitor, sessions } = await start();
    const [phone, laptop, grace] = [visitor(), visitor(), visitor()];
    await phone.post(LOGIN.ada);
    await laptop.post(LOGIN.ada);
    await grace.post(LOGIN.grace);
    const listed = (await sessions.list("ada")).map(({ id }) => id);
    expect(listed.toSorted()).toEqual([(await phone.get("/id")).body, (await laptop.get("/id")).body].toSorted());
    await sessions.revokeAll("ada");
    expect([await who(phone), await who(laptop), await who(grace)]).toEqual([null, null, "grace"]);
  });

  it.each<[string, Serialize, unknown]>([
    ["a text", (id) => id, "ada"],
    ["a number", () => 7, 7],
    ["an object", (id) => ({ id, name: "Ada" }), { id: "ada", name: "Ada" }],
  ])("gives deserializeUser what serializeUser gave: %s", async (_name, serialize, kept) => {
    const { visitor, sessions } = await start({ serialize });
    const [ada, grace] = [visitor(), visitor()];
    await ada.post(LOGIN.ada);
    expect((await see(ada)).user?.kept).toEqual(kept);
    expect(await sessions.list(idOf(kept))).toHaveLength(1);
    expect(await who(grace)).toBe(null);
  });

  it("answers 500 to a sign-in of a user without an id, and signs nobody in", async () => {
    const { visitor } = await start({ serialize: () => ({ name: "Ada" }) });
    const ada = visitor();
    const answer = await ada.post(LOGIN.ada);
    expect([answer.status, answer.setCookies]).toEqual([500, []]);
    expect(answer.body).toContain("passport's serializeUser must give the user's id");
    expect(await who(ada)).toBe(null);
  });

  it("signs out a user whom deserializeUser does not know any more", async () => {
    const known = new Set(["ada"]);
    const { visitor, sessions } = await start({ isKnown: (id) => known.has(id) });
    const ada = visitor();
    await ada.post(LOGIN.ada);
    expect(await who(ada)).toBe("ada");
    known.clear();
    expect([await who(ada), await sessions.list("ada")]).toEqual([null, []]);
    known.add("ada");
    expect(await who(ada)).toBe(null);
  });
});

describe("passportSessions", () => {
  it("keeps data over a sign-out in Express where keepSessionInfo says so", async () => {
    const { visitor } = await onExpress({ serialize: (id) => ({ id }) });
    const ada = visitor();
    await ada.post(LOGIN.ada);
    await ada.post("/set?cart=tea");
    const signedIn = ada.twin();
    await ada.post("/logout?keep=yes");
    expect([await see(ada), await who(signedIn)]).toEqual([{ user: null, data: { cart: "tea" } }, null]);
  });

  it("refuses anything but a passport", () => {
    const sessions = createSessions({ secretKey: SECRET_KEY, store: memoryStore() });
    const other = { serializeUser: () => {}, deserializeUser: () => {} };
    expect(() => passportSessions(other, sessions)).toThrow(
      "passportSessions takes passport 0.7, or an Authenticator of @fastify/passport 4",
    );
  });
});
