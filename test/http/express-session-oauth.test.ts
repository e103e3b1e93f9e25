import { createHash, randomUUID } from "node:crypto";
import express from "express";
import grant from "grant";
import OAuth2Strategy from "passport-oauth2";
import { describe, expect, it } from "vitest";
import { ask, type Client } from "../support/http/client.ts";
import { libraries, newPassport, showSession, visit, who, withPassport, type Held } from "../support/http/passport.ts";
import { originFor } from "../support/http/servers.ts";

// Sign-ins at a provider, whose state lies in req.session between two requests.

/** A provider that signs in whoever `as` names, with PKCE. Its access token is the user's name. */
async function provider(): Promise<string> {
  const issued = new Map<string, { user: string; challenge: unknown }>();
  const app = express().use(express.urlencoded({ extended: false }));
  app.get("/authorize", (req, res) => {
    const { redirect_uri, state, code_challenge, as } = req.query as Record<string, string>;
    const code = randomUUID();
    issued.set(code, { user: as!, challenge: code_challenge });
    res.redirect(`${redirect_uri}?${new URLSearchParams({ code, ...(state && { state }) }).toString()}`);
  });
  app.post("/token", (req, res) => {
    const { code, code_verifier: verifier = "" } = req.body as Record<string, string>;
    const { user, challenge } = issued.get(code!) ?? {};
    issued.delete(code!);
    const given = createHash("sha256").update(verifier).digest("base64url");
    if (!user || (challenge && challenge !== given)) res.status(400).json({ error: "invalid_grant" });
    else res.json({ access_token: user, token_type: "bearer" });
  });
  return originFor(app);
}

/** Visits a page of the application that leads to the provider. Gives the page to which the provider leads back. */
async function authorize(client: Client, page: string, user: string): Promise<string> {
  const { headers } = await client.get(page);
  const answer = await ask(`${headers.location!}&as=${user}`);
  const { pathname, search } = new URL(answer.headers.location!);
  return pathname + search;
}

describe.each(libraries)("on %s", (_, session) => {
  it.each([
    ["its nonce store", { state: true }],
    ["its session store", { store: true }],
    ["PKCE", { state: true, pkce: true }],
  ])("passport-oauth2 with %s signs in the client that has begun, and no other", async (_name, options) => {
    const origin = await provider();
    const authenticator = newPassport();
    const strategy = new OAuth2Strategy(
      {
        authorizationURL: `${origin}/authorize`,
        tokenURL: `${origin}/token`,
        clientID: "client",
        clientSecret: "secret",
        callbackURL: "/callback",
        ...options,
      },
      (access, _refresh, _profile, done) => done(null, { id: access }),
    );
    authenticator.use(strategy);
    const visitor = await visit(session(), (app) => {
      withPassport(app, authenticator);
      app.get("/provider", authenticator.authenticate("oauth2"));
      app.get("/callback", authenticator.authenticate("oauth2", { successRedirect: "/", failureRedirect: "/failed" }));
    });
    const [ada, grace] = [visitor(), visitor()];
    const [forAda, forGrace] = [await authorize(ada, "/provider", "ada"), await authorize(grace, "/provider", "grace")];
    // One who lures Ada to the end of a sign-in of Grace's does not get Ada into it.
    expect((await ada.get(forGrace)).headers.location).toBe("/failed");
    expect([await who(ada), await who(grace)]).toEqual([null, null]);
    const again = await authorize(ada, "/provider", "ada");
    expect((await ada.get(again)).headers.location).toBe("/");
    expect((await grace.get(forAda)).headers.location).toBe("/failed");
    expect([await who(ada), await who(grace)]).toEqual(["ada", null]);
    await grace.get(await authorize(grace, "/provider", "grace"));
    expect([await who(ada), await who(grace)]).toEqual(["ada", "grace"]);
    await ada.post("/logout");
    expect([await who(ada), await who(grace)]).toEqual([null, "grace"]);
  });

  it("grant gives the provider's answer to the client that has begun, and to no other", async () => {
    const origin = await provider();
    const { express: forExpress } = grant as unknown as { express(config: object): express.RequestHandler };
    const middleware = forExpress({
      defaults: { origin: "http://application.test", transport: "session", state: true },
      fake: {
        key: "client",
        secret: "secret",
        authorize_url: `${origin}/authorize`,
        access_url: `${origin}/token`,
        oauth: 2,
        pkce: true,
        callback: "/hello",
      },
    });
    const visitor = await visit(session(), (app) => {
      app.use(middleware);
      app.get("/hello", (req, res, next) => {
        const { response } = (req as Held).session.grant as { response: { access_token?: string; error?: unknown } };
        if (!response.access_token) return void res.status(403).send("");
        (req as Held).session.regenerate((error?: unknown) => {
          if (error) return next(error);
          (req as Held).session.user = response.access_token;
          res.send(response.access_token);
        });
      });
      app.post("/logout", (req, res, next) => {
        (req as Held).session.destroy((error?: unknown) => (error ? next(error) : res.send("")));
      });
      showSession(app);
    });
    const seen = async (client: Client) => (JSON.parse((await client.get("/who")).body) as { data: unknown }).data;
    const [ada, grace] = [visitor(), visitor()];
    const [forAda, forGrace] = [
      await authorize(ada, "/connect/fake", "ada"),
      await authorize(grace, "/connect/fake", "grace"),
    ];
    expect((await ada.get(forGrace)).headers.location).toBe("/hello");
    expect((await ada.get("/hello")).status).toBe(403);
    await ada.get(await authorize(ada, "/connect/fake", "ada"));
    expect((await ada.get("/hello")).body).toBe("ada");
    await grace.get(forAda);
    expect((await grace.get("/hello")).status).toBe(403);
    expect([await seen(ada), await seen(grace)]).toEqual([
      { user: "ada" },
      expect.not.objectContaining({ user: "ada" }),
    ]);
    const thief = ada.twin();
    await ada.post("/logout");
    expect([await seen(ada), await seen(thief)]).toEqual([{}, {}]);
  });
});
