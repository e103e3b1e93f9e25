import assert from "node:assert/strict";
import { expectAnswer } from "./checks.ts";
import type { AdapterRule, Declared } from "./contract.ts";

/** The rules of one client's requests, one after another. */
export const signInCases = ({ clientAddress }: Declared): readonly AdapterRule[] => [
  [
    "calls no store operation for a visitor, and sets no cookie",
    async (bench) => {
      const { visitor, calls } = await bench.start();
      expectAnswer(
        await visitor().get("/untouched"),
        { body: "untouched", caching: "nothing" },
        "a page without session",
      );
      expectAnswer(await visitor().get("/who"), { body: "nobody", caching: "vary" }, "a visitor's page");
      expectAnswer(await visitor().get("/data"), { body: "{}", caching: "vary" }, "a visitor's page");
      expectAnswer(await visitor().get("/logout"), { status: 303, caching: "vary" }, "a visitor's sign-out");
      const forged = { headers: { cookie: "session=forged; theme=dark" } };
      expectAnswer(await visitor().get("/who", forged), { body: "nobody", caching: "vary" }, "a forged cookie");
      assert.equal(calls.total, 0, "the store must not be called for visitors");
    },
  ],
  ...[false, true].map((answersAtOnce): AdapterRule => [
    `signs in, shows who is signed in, signs out, and signs in again${answersAtOnce ? ", with a store that answers at once" : ""}`,
    async (bench) => {
      const { visitor } = await bench.start({}, { answersAtOnce });
      const client = visitor();
      const signedIn = await client.post("/login");
      expectAnswer(signedIn, { status: 303, caching: "no-store", cookies: 1 }, "the sign-in");
      assert.match(signedIn.headers.location ?? "", /\/who$/, "the redirect must name /who");
      const tab = client.twin();
      expectAnswer(await client.get("/who"), { body: "ada", caching: "private" }, "the page of a user");
      expectAnswer(await client.get("/untouched"), { caching: "nothing" }, "a page without session");

      const signedOut = await client.get("/logout");
      expectAnswer(signedOut, { status: 303, caching: "no-store", cookies: 1 }, "the sign-out");
      assert.match(signedOut.cookies[0] ?? "", /^session=;.*Max-Age=0/, "a sign-out must delete the cookie");
      expectAnswer(await client.get("/who"), { body: "nobody", caching: "vary" }, "the page after the sign-out");
      expectAnswer(await tab.get("/who"), { body: "nobody" }, "the page with the old cookie");

      expectAnswer(await client.post("/login"), { status: 303, cookies: 1 }, "the second sign-in");
      expectAnswer(await client.get("/who"), { body: "ada" }, "the page after the second sign-in");
      expectAnswer(await tab.get("/who"), { body: "nobody" }, "the page with the old cookie");
    },
  ]),
  [
    "signs in anew over a session, and ends the old token",
    async (bench) => {
      const { signedIn } = await bench.start();
      const client = await signedIn();
      const thief = client.twin();
      expectAnswer(await client.post("/login"), { status: 303, caching: "no-store", cookies: 1 }, "the second sign-in");
      assert.notEqual(client.cookie, thief.cookie, "a sign-in must set a new cookie");
      expectAnswer(await client.get("/who"), { body: "ada" }, "the page after the second sign-in");
      expectAnswer(await thief.get("/who"), { body: "nobody" }, "the page with the token of before");
    },
  ],
  [
    "stores what a handler writes, once, and sets the cookie of a new session",
    async (bench) => {
      const { visitor, calls } = await bench.start({
        "/write": (session) => {
          session.data.count = 1;
          return "written";
        },
      });
      const client = visitor();
      const written = await client.get("/write");
      expectAnswer(written, { body: "written", caching: "no-store", cookies: 1 }, "the first write");
      assert.match(written.cookies[0] ?? "", /; HttpOnly/, "the cookie must have its attributes");
      expectAnswer(await client.get("/data"), { body: '{"count":1}', caching: "private" }, "the page after the write");
      assert.deepEqual([calls.create, calls.update], [1, 0], "the session must be stored once");
    },
  ],
  [
    "stores a change that a handler makes in place, after a wait, without a new cookie",
    async (bench) => {
      const { signedIn, calls } = await bench.start({
        "/put": async (session) => {
          await new Promise((resolve) => setImmediate(resolve));
          session.data.cart ??= { items: ["tea"] };
          return "put";
        },
        "/push": async (session) => {
          await new Promise((resolve) => setImmediate(resolve));
          (session.data.cart as { items: string[] }).items.push("milk");
          return "pushed";
        },
      });
      const client = await signedIn();
      expectAnswer(await client.get("/put"), { body: "put", caching: "private" }, "the first write");
      expectAnswer(await client.get("/push"), { body: "pushed", caching: "private" }, "the nested write");
      expectAnswer(await client.get("/data"), { body: '{"cart":{"items":["tea","milk"]}}' }, "the page after it");
      assert.deepEqual([calls.create, calls.update], [1, 2], "each change must be stored once");
    },
  ],
  [
    "sends a redirect when the session is stored, and no byte before",
    async (bench) => {
      const { signedIn, hold, visitor } = await bench.start({
        "/step": (session) => {
          session.data.step = "two";
          return { redirect: "/data" };
        },
      });
      const client = await signedIn();
      const gate = hold("update");
      const connection = await client.connect("/step");
      const head = connection.until("\r\n\r\n");
      await gate.reachedBefore(head);
      // While this is answered, what was sent too early would arrive.
      for (let n = 0; n < 3; n += 1) await visitor().get("/untouched");
      assert.equal(connection.received, "", "nothing may be sent before the session is stored");
      gate.open();
      assert.match(await head, /^HTTP\/1\.1 303 /, "the redirect must be sent when the session is stored");
      expectAnswer(await client.get("/data"), { body: '{"step":"two"}' }, "the page after the redirect");
      await connection.until();
    },
  ],
  [
    "shows a flash after a redirect, once, and to a visitor too",
    async (bench) => {
      const { signedIn, visitor } = await bench.start({
        "/save": (session) => {
          session.flash("info", "saved");
          return { redirect: "/flashes" };
        },
        "/flashes": (session) =>
          session
            .takeFlashes()
            .map(({ message }) => message)
            .join(),
      });
      for (const [client, cookies] of [
        [await signedIn(), 0],
        [visitor(), 1],
      ] as const) {
        const caching = cookies === 0 ? "private" : "no-store";
        expectAnswer(await client.get("/save"), { status: 303, caching, cookies }, "the redirect");
        expectAnswer(await client.get("/flashes"), { body: "saved", caching: "private" }, "the page with the flash");
        expectAnswer(await client.get("/flashes"), { body: "", caching: "private" }, "the page after it");
      }
    },
  ],
  [
    "gives sessions.of the session of its request, whatever the request is wrapped in",
    async (bench) => {
      const application = await bench.start({
        "/same": (session, { request }) => String(application.sessions.of(request) === session),
      });
      expectAnswer(await application.visitor().get("/same"), { body: "true" }, "sessions.of(exchange.request)");
    },
  ],
  [
    clientAddress
      ? "keeps the client's network address at a sign-in, for the list of the user's sessions"
      : "keeps no network address at a sign-in, since the framework does not tell it",
    async (bench) => {
      const { signedIn, sessions } = await bench.start();
      await signedIn();
      const [listed] = await sessions.list("ada");
      const address = listed?.client?.address;
      if (clientAddress) assert.match(String(address), /^(?:::ffff:)?127\.0\.0\.1$|^::1$/, "the address of the client");
      else assert.equal(address, undefined, "the address of the client");
    },
  ],
];
