import assert from "node:assert/strict";
import type { Handler } from "./bench.ts";
import { expectAnswer, expectCaching } from "./checks.ts";
import type { AdapterRule, Declared } from "./contract.ts";

const count = (session: Parameters<Handler>[0]): number => {
  const counted = Number(session.data.count ?? 0) + 1;
  session.data.count = counted;
  return counted;
};

async function* chunks(): AsyncGenerator<string> {
  yield "one\n";
  yield "two\n";
}

/** The rules of responses: their methods, statuses, cookies and headers. */
export const responseCases = ({ responses }: Declared): readonly AdapterRule[] => [
  [
    "answers HEAD as GET without a body: stored, with the cookie and the headers for caches",
    async (bench) => {
      const { visitor, signedIn, calls } = await bench.start({ "/count": (session) => `counted ${count(session)}` });
      const client = visitor();
      const head = await client.get("/count", { method: "HEAD" });
      expectAnswer(head, { body: "", caching: "no-store", cookies: 1 }, "HEAD of a new session");
      expectAnswer(await client.get("/count", { method: "HEAD" }), { body: "", caching: "private" }, "a second HEAD");
      expectAnswer(await client.get("/data"), { body: '{"count":2}' }, "the page after HEAD");
      const user = await signedIn();
      expectAnswer(
        await user.get("/who", { method: "HEAD" }),
        { body: "", caching: "private" },
        "HEAD of a user's page",
      );
      expectAnswer(await user.get("/untouched", { method: "HEAD" }), { caching: "nothing" }, "HEAD of another page");
      assert.deepEqual([calls.create, calls.update], [2, 1], "each change must be stored once");
    },
  ],
  [
    "answers HEAD of a streamed body without the body, with the changes before it stored",
    async (bench) => {
      const { visitor, dropped } = await bench.start({
        "/stream": (session) => (count(session), { body: chunks() }),
      });
      const client = visitor();
      const head = await client.get("/stream", { method: "HEAD" });
      expectAnswer(head, { body: "", caching: "no-store", cookies: 1 }, "HEAD of a new session");
      expectAnswer(await client.get("/stream", { method: "HEAD" }), { body: "", caching: "private" }, "a second HEAD");
      expectAnswer(await client.get("/data"), { body: '{"count":2}' }, "the page after HEAD");
      assert.deepEqual(dropped, [], "no change may be lost");
    },
  ],
  [
    "stores a change, sets the cookie and tells caches in responses without a body (204, 304)",
    async (bench) => {
      const { visitor } = await bench.start({
        "/204": (session) => (count(session), { status: 204 }),
        "/304": (session) => (count(session), { status: 304, headers: [["etag", '"a"']] }),
        "/unchanged": (session) => ({ status: 304, headers: [["etag", `"${session.userId ?? "nobody"}"`]] }),
      });
      for (const status of [204, 304]) {
        const client = visitor();
        const first = await client.get(`/${status}`, { headers: { "if-none-match": '"a"' } });
        expectAnswer(first, { status, body: "", caching: "no-store", cookies: 1 }, `${status} of a new session`);
        const second = await client.get(`/${status}`, { headers: { "if-none-match": '"a"' } });
        expectAnswer(second, { status, body: "", caching: "private" }, `${status} of a session`);
        expectAnswer(await client.get("/data"), { body: '{"count":2}' }, `the page after ${status}`);
      }
      const unchanged = await visitor().get("/unchanged", { headers: { "if-none-match": '"nobody"' } });
      expectAnswer(unchanged, { status: 304, caching: "vary" }, "304 of a visitor");
      assert.equal(unchanged.headers.etag, '"nobody"', "the application's ETag must stay");
    },
  ],
  [
    "keeps the cookies of the application, in their order, beside the cookie of the session",
    async (bench) => {
      const two = [
        ["set-cookie", "theme=dark; Path=/"],
        ["set-cookie", "lang=eo; Path=/"],
      ] as const;
      const { visitor } = await bench.start({
        "/cookies": (session) => (count(session), { headers: two, body: "cookies" }),
        "/logout-with-cookies": (session) => (session.signOut(), { headers: two, body: "cookies" }),
      });
      const client = visitor();
      for (const [path, cookies] of [
        ["/cookies", 1],
        ["/cookies", 0],
        ["/logout-with-cookies", 1],
      ] as const) {
        const answer = await client.get(path);
        expectAnswer(answer, { body: "cookies", cookies }, path);
        assert.deepEqual(
          answer.otherCookies,
          two.map(([, line]) => line),
          `${path}: the application's cookies must stay`,
        );
      }
    },
  ],
  [
    "keeps Vary and Cache-Control of the application, unless the response has the session's cookie",
    async (bench) => {
      const headers = [
        ["vary", "Accept-Encoding"],
        ["cache-control", "public, max-age=60"],
      ] as const;
      const { signedIn, visitor } = await bench.start({
        "/public": (session) => ({ headers, body: session.userId ?? "nobody" }),
        "/public-write": (session) => (count(session), { headers, body: "written" }),
        "/vary": (session) => ({ headers: headers.slice(0, 1), body: session.userId ?? "nobody" }),
      });
      const varies = (vary: string | undefined) =>
        assert.match(vary ?? "", /accept-encoding/i, "the application's Vary must stay");
      for (const client of [await signedIn(), visitor()]) {
        const answer = await client.get("/public");
        assert.equal(
          answer.headers["cache-control"],
          "public, max-age=60",
          "the application's Cache-Control must stay",
        );
        assert.match(answer.headers.vary ?? "", /cookie/i, "Vary must name Cookie");
        varies(answer.headers.vary);
      }
      const written = await visitor().get("/public-write");
      expectAnswer(written, { caching: "no-store", cookies: 1 }, "a response with a cookie");
      varies(written.headers.vary);
      const user = await (await signedIn()).get("/vary");
      expectCaching(user, "private", "a user's page");
      varies(user.headers.vary);
    },
  ],
  ...(responses ? [keptCase] : []),
];

const keptCase: AdapterRule = [
  "leaves a response that the application keeps as it is, and gives nobody another's cookie",
  async (bench) => {
    const kept = {
      "/204": new Response(null, { status: 204 }),
      "/303": Response.redirect("http://localhost/who", 303),
    };
    const { visitor } = await bench.start(
      Object.fromEntries(
        Object.entries(kept).map(([path, response]): [string, Handler] => [
          path,
          (session, exchange) => {
            if (exchange.header("x-write")) count(session);
            return { response };
          },
        ]),
      ),
    );
    for (const path of ["/204", "/303"] as const) {
      const status = Number(path.slice(1));
      for (const method of ["GET", "HEAD", "GET"]) {
        const mine = await visitor().get(path, { method, headers: { "x-write": "1" } });
        expectAnswer(mine, { status, caching: "no-store", cookies: 1 }, `${method} ${path} of a client with a session`);
        const next = await visitor().get(path, { method });
        expectAnswer(next, { status, caching: "nothing" }, `${method} ${path} of the next client`);
      }
      const { headers } = kept[path];
      assert.deepEqual(headers.getSetCookie(), [], "the kept response must not have the cookie");
      assert.equal(headers.get("vary") ?? headers.get("cache-control"), null, "the kept response must not be changed");
    }
  },
];
