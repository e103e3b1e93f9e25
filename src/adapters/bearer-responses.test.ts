import { describe, expect, it } from "vitest";
import { application, bearing, PAGE, type Data } from "../../test/support/bearer.ts";
import { KEYS, site } from "../../test/support/stores.ts";
import { SessionError } from "../errors.ts";
import type { Session } from "../session.ts";
import type { Sessions } from "../sessions.ts";
import { requireRecentSignIn, requireUser, withSession } from "./fetch.ts";

describe("bearerTokens beside the guards", () => {
  const guarded = (shop: ReturnType<typeof application>, guard: "user" | "recent") => {
    const handler = (_request: Request, session: Session<Data>) => new Response(session.userId);
    const app = withSession(
      shop.sessions,
      guard === "user" ? requireUser(handler) : requireRecentSignIn(handler, { within: "10m" }),
      { bearer: shop.bearer, onError: (error) => error.getResponse() },
    );
    return async (headers: Record<string, string>) => (await app(new Request(PAGE, { headers }))).headers;
  };

  it("say in WWW-Authenticate how to sign in", async () => {
    const shop = application({ cookies: true });
    const token = (await shop.answer(bearing("none"), (session) => session.signIn("ada"))).token!;
    const [ask, askRecent] = [guarded(shop, "user"), guarded(shop, "recent")];
    expect((await ask({})).get("www-authenticate")).toBe("Bearer");
    expect((await ask(bearing("bogus"))).get("www-authenticate")).toBe('Bearer error="invalid_token"');
    expect((await ask(bearing(token))).get("www-authenticate")).toBeNull();
    expect((await ask({})).get("vary")).toBe("Cookie, Authorization");
    shop.time.now += 600_001;
    expect((await askRecent(bearing(token))).get("www-authenticate")).toBe(
      'Bearer error="insufficient_user_authentication", max_age="600"',
    );
    expect((await askRecent({})).get("www-authenticate")).toBe("Bearer");
  });

  it("leave the header out where bearerTokens is not mounted", async () => {
    const app = withSession(
      site().sessions,
      requireUser(() => new Response()),
      { onError: (e) => e.getResponse() },
    );
    const { headers, status } = await app(new Request(PAGE));
    expect([status, headers.get("www-authenticate"), headers.get("vary")]).toEqual([401, null, "Cookie"]);
  });

  it("leave the application's own challenge as it is", async () => {
    const { answer } = application();
    const own = (value?: string) => (session: Session<Data>) =>
      new Response(session.userId, { status: 401, headers: value ? { "www-authenticate": value } : {} });
    expect(await answer({}, own("Basic"))).toMatchObject({ challenge: "Basic" });
    expect(await answer({}, own())).toMatchObject({ challenge: "Bearer" });
  });
});

/** The sessions that a session belongs to. */
const shopOf = new WeakMap<object, Sessions<Data>>();

describe("the response header Session-Token", () => {
  it.each<[string, (session: Session<Data>) => unknown]>([
    ["rotate()", (session) => session.rotate()],
    ["rotate() and save()", (session) => (session.rotate(), session.save())],
    ["signIn() again", (session) => session.signIn("ada")],
    ["credentialsChanged()", (session) => shopOf.get(session)!.credentialsChanged(session)],
  ])(
    "is in a response with 304 that has the token of %s, since the old one is not valid any more",
    async (_, change) => {
      const { answer, signIn, sessions } = application();
      const token = await signIn();
      const response = await answer(bearing(token), async (session) => {
        shopOf.set(session, sessions);
        await change(session);
        return new Response(null, { status: 304 });
      });
      expect(response).toMatchObject({ status: 304, cache: "no-store", vary: "Authorization" });
      expect(await answer(bearing(response.token!))).toMatchObject({ body: "ada" });
      expect(await answer(bearing(token))).toMatchObject({ body: "anonymous" });
    },
  );

  it("is in a response with 304 if rotation renews a token that the client was not sent", async () => {
    const { answer, time } = application({}, { rotation: { every: "1h" } });
    const response = await answer({}, async (session) => {
      session.signIn("ada");
      await session.save();
      time.now += 3_600_001;
      session.data.seen = true;
      return new Response(null, { status: 304 });
    });
    expect(await answer(bearing(response.token!))).toMatchObject({ body: "ada" });
  });

  it("is not in a response with 304 that renews the token after a change of the secret key", async () => {
    const before = application({}, { secretKey: KEYS[0] });
    const { answer } = application({}, { secretKey: [KEYS[1], KEYS[0]], store: before.backend });
    const token = await before.signIn();
    const read = (session: Session<Data>) => new Response(session.userId ? null : "", { status: 304 });
    expect(await answer(bearing(token), read)).toMatchObject({ status: 304, token: undefined });
    expect((await answer(bearing(token))).token).toMatch(/^b/);
  });

  it("is not in a response with 304 to a periodic rotation, and the next response has the new token", async () => {
    const { answer, signIn, time } = application({}, { rotation: { every: "1h" } });
    const token = await signIn();
    time.now += 3_600_001;
    const read = (status: number) => (session: Session<Data>) => new Response(session.userId ? null : "", { status });
    expect(await answer(bearing(token), read(304))).toMatchObject({ status: 304, token: undefined });
    const next = await answer(bearing(token));
    expect(next.body).toBe("ada");
    expect(next.token).toMatch(/^b/);
  });

  it("is not in a response for an error", async () => {
    let fate: "ok" | "error" = "ok";
    const { answer, signIn } = application({}, { faults: { update: () => fate } });
    const token = await signIn();
    fate = "error";
    const failed = await answer(bearing(token), (session) => session.rotate());
    expect(failed).toMatchObject({ status: 503, token: undefined, cache: "no-store" });
    expect(failed.vary).toBe("Authorization");
    fate = "ok";
    expect(await answer(bearing(token))).toMatchObject({ body: "ada" });
  });

  it("goes with an error's response after save() has stored it, or the client would be signed out", async () => {
    const { answer, signIn, sessions } = application();
    const old = await signIn();
    const failed = await answer(bearing(old), async (session) => {
      session.signIn("ada");
      await session.save();
      session.data["late"] = 1;
      throw new SessionError("ERR_SESSION_STORE", "gone");
    });
    expect(failed).toMatchObject({ status: 503, cache: "no-store" });
    expect(await answer(bearing(failed.token!))).toMatchObject({ body: "ada" });
    expect(await sessions.list("ada")).toHaveLength(1);
  });

  it("leaves a response that is committed again after the session has ended", async () => {
    const { sessions, bearer } = application();
    const session = await sessions.open(new Request(PAGE), { bearer });
    session.signIn("ada");
    const first = await sessions.commit(session, new Response("ok"));
    expect(first.headers.get("session-token")).toMatch(/^b/);
    expect((await sessions.commit(session, first)).headers.get("session-token")).toMatch(/^b/);
    await sessions.revokeAll("ada");
    session.data["late"] = 1;
    const second = await sessions.commit(session, first);
    expect(second.headers.get("session-token")).toBeNull();
  });
});
