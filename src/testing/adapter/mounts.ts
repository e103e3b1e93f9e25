import assert from "node:assert/strict";
import type { Sessions } from "../../sessions.ts";
import { cookieFor } from "../application.ts";
import type { Handler, Setup } from "./bench.ts";
import { expectAnswer } from "./checks.ts";
import type { AdapterRule, Declared } from "./contract.ts";

const inner: Readonly<Record<string, Handler>> = {
  "/inner/who": (session) => session.userId ?? "nobody",
  "/inner/login": (session) => {
    session.signIn("ada");
    return "in";
  },
};

/** The rules of the adapter's options, and of adapters within each other. */
export const mountCases = ({ nested, severalSessions }: Declared): readonly AdapterRule[] => [
  [
    "throws a TypeError for sessions that createSessions has not made, and for an option that it does not have",
    async (bench) => {
      const { sessions } = await bench.start();
      const mount = { path: "/", sessions: sessions as unknown as Sessions, options: {} };
      const other = { ...sessions } as unknown as Sessions;
      await assert.rejects(bench.serve([{ ...mount, sessions: other }], {}), TypeError, "other sessions");
      const options = { lazily: true } as object;
      await assert.rejects(bench.serve([{ ...mount, options }], {}), TypeError, "an unknown option");
    },
  ],
  [
    "does not read the session with the option lazy, until the handler loads it",
    async (bench) => {
      const { signedIn, calls, failing } = await bench.start(
        { "/load": async (session) => (await session.load()).userId ?? "nobody" },
        { options: { lazy: true } },
      );
      const client = await signedIn();
      const { total, read } = calls;
      expectAnswer(await client.get("/untouched"), { body: "untouched", caching: "nothing" }, "a page without session");
      assert.equal(calls.total, total, "the store must not be called");
      expectAnswer(await client.get("/load"), { body: "ada", caching: "private" }, "a page that loads the session");
      assert.equal(calls.read, read + 1, "the session must be read once");
      failing.add("read");
      expectAnswer(
        await client.get("/load"),
        { status: 503, caching: "no-store" },
        "a page that can't load the session",
      );
    },
  ],
  [
    "does not extend the session with the option passive",
    async (bench) => {
      for (const [passive, found] of [
        [true, "nobody"],
        [false, "ada"],
      ] as const) {
        const { signedIn, advance } = await bench.start({}, { options: { passive: () => passive } });
        const client = await signedIn();
        advance("8m");
        expectAnswer(await client.get("/who"), { body: "ada" }, "the page in time");
        advance("8m");
        expectAnswer(await client.get("/who"), { body: found }, "the page later");
      }
    },
  ],
  [
    "answers 403 to a form of another site with the option csrf, and calls neither the store nor the handler",
    async (bench) => {
      const { csrfProtection } = await import("../../adapters/csrf.ts");
      let handled = 0;
      const { signedIn, calls } = await bench.start(
        {
          "/post": () => {
            handled += 1;
            return "posted";
          },
        },
        { options: { csrf: csrfProtection() } },
      );
      const client = await signedIn();
      const post = (site: string) => client.get("/post", { method: "POST", headers: { "sec-fetch-site": site } });
      const { total } = calls;
      expectAnswer(await post("cross-site"), { status: 403 }, "a form of another site");
      assert.equal(calls.total, total, "the store must not be called");
      assert.equal(handled, 0, "the handler must not be called");
      expectAnswer(await post("same-origin"), { body: "posted" }, "a form of this site");
    },
  ],
  [
    "takes a token in Authorization with the option bearer, gives it in Session-Token, and neither reads nor sets a cookie",
    async (bench) => {
      const { bearerTokens } = await import("../../adapters/bearer.ts");
      let handled = 0;
      const { visitor, sessions } = await bench.start(
        {
          "/write": (session) => {
            handled += 1;
            session.data.count = 1;
            return session.userId ?? "nobody";
          },
        },
        { options: { bearer: bearerTokens() } },
      );
      const vary = "Authorization";
      const signedIn = await visitor().post("/login");
      expectAnswer(signedIn, { status: 303, caching: "no-store", vary }, "the sign-in");
      const token = signedIn.headers["session-token"] ?? "";
      assert.notEqual(token, "", "the sign-in must have the header Session-Token");
      const ask = (path: string, headers: Record<string, string> = { authorization: `Bearer ${token}` }) =>
        visitor().get(path, { headers });
      expectAnswer(await ask("/who"), { body: "ada", caching: "private", vary }, "the page with the token");
      expectAnswer(await ask("/write"), { body: "ada", caching: "private", vary }, "the write with the token");
      expectAnswer(await ask("/data"), { body: '{"count":1}' }, "the page after the write");
      expectAnswer(await ask("/untouched"), { caching: "nothing", vary }, "a page without session");
      const cookie = await cookieFor(sessions, "ada");
      expectAnswer(await ask("/who", { cookie }), { body: "nobody", caching: "vary", vary }, "a page with a cookie");
      const both = await ask("/write", { cookie, authorization: `Bearer ${token}` });
      expectAnswer(both, { status: 400 }, "a request with two tokens");
      assert.equal(handled, 1, "the handler must not be called for a request with two tokens");
      const signedOut = await ask("/logout");
      expectAnswer(signedOut, { status: 303, caching: "no-store", vary }, "the sign-out");
      expectAnswer(await ask("/who"), { body: "nobody", caching: "vary", vary }, "the page after the sign-out");
    },
  ],
  [
    "runs each handler, and its body, within the option context",
    async (bench) => {
      const { createContext } = await import("../../adapters/context.ts");
      const { context, session: current } = createContext<Record<string, unknown>>();
      const shown = async function* () {
        await new Promise((resolve) => setImmediate(resolve));
        yield `${current.userId} `;
        await new Promise((resolve) => setImmediate(resolve));
        yield `${current.userId}`;
      };
      const { signedIn } = await bench.start(
        {
          "/page": async () => {
            let page = "";
            for await (const part of shown()) page += part;
            return page;
          },
          "/body": (session) => ({ status: session.isNew ? 409 : 200, body: shown() }),
        },
        { options: { context } },
      );
      const [ada, bob] = [await signedIn("ada"), await signedIn("bob")];
      for (const path of ["/page", "/body"]) {
        const answers = await Promise.all([ada.get(path), bob.get(path)]);
        expectAnswer(answers[0], { body: "ada ada" }, `${path} of the first client`);
        expectAnswer(answers[1], { body: "bob bob" }, `${path} of the second client`);
      }
    },
  ],
  ...(nested ? nestedCases : [refusalCase("throws a TypeError where it is used within itself", { inner: {} })]),
  severalSessions
    ? severalCase
    : refusalCase("throws a TypeError where two Sessions serve one route", { hasOther: true }),
];

function refusalCase(name: string, setup: Setup): AdapterRule {
  return [name, (bench) => assert.rejects(bench.start(inner, setup), TypeError, "the application must not start")];
}

const nestedCases: readonly AdapterRule[] = [
  [
    "stores once and sets one cookie where it is used within itself",
    async (bench) => {
      const { visitor, calls } = await bench.start(inner, { inner: {} });
      const client = visitor();
      expectAnswer(await client.post("/inner/login"), { caching: "no-store", cookies: 1 }, "the sign-in");
      expectAnswer(await client.get("/inner/who"), { body: "ada", caching: "private" }, "the inner page");
      expectAnswer(await client.get("/who"), { body: "ada", caching: "private" }, "the outer page");
      assert.deepEqual([calls.create, calls.update, calls.read], [1, 0, 2], "the calls of the store");
    },
  ],
  [
    "takes the options of the inner adapter where it is used within itself",
    async (bench) => {
      for (const [outer, within, found] of [
        [false, true, "nobody"],
        [true, false, "ada"],
      ] as const) {
        const { signedIn, advance } = await bench.start(inner, {
          options: { passive: () => outer },
          inner: { passive: () => within },
        });
        const client = await signedIn();
        advance("8m");
        expectAnswer(await client.get("/inner/who"), { body: "ada" }, "the inner page in time");
        advance("8m");
        expectAnswer(await client.get("/inner/who"), { body: found }, "the inner page later");
      }
    },
  ],
  [
    "reads the session in the inner adapter where only the outer one is lazy",
    async (bench) => {
      const { signedIn, calls, failing } = await bench.start(inner, { options: { lazy: true }, inner: {} });
      const client = await signedIn();
      const { read } = calls;
      expectAnswer(await client.get("/inner/who"), { body: "ada", caching: "private" }, "the inner page");
      assert.equal(calls.read, read + 1, "the session must be read once");
      failing.add("read");
      expectAnswer(await client.get("/inner/who"), { status: 503, caching: "no-store" }, "the inner page in an outage");
      failing.clear();
      expectAnswer(await client.get("/inner/who"), { body: "ada" }, "the inner page after the outage");
    },
  ],
];

const severalCase: AdapterRule = [
  "gives a route the session of the nearest of two Sessions, and sets the cookie of each",
  async (bench) => {
    const application = await bench.start(
      {
        "/both": (session, { request }) => {
          const { sessions, others } = application;
          sessions.of(request).data.from = "session";
          others.of(request).data.from = "other";
          return String(others.of(request) === session);
        },
        "/show": (session, { request }) =>
          `${String(application.sessions.of(request).data.from)} ${String(session.data.from)}`,
      },
      { hasOther: true },
    );
    const client = application.visitor();
    const answer = await client.get("/both");
    expectAnswer(answer, { body: "true", caching: "no-store", cookies: 2 }, "the page that writes to both");
    const names = new Set(answer.cookies.map((line) => line.split("=")[0]));
    assert.deepEqual(names, new Set(["session", "other"]), "each cookie must be set once");
    expectAnswer(await client.get("/show"), { body: "session other", caching: "private" }, "the page after it");
  },
];
