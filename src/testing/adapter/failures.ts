import assert from "node:assert/strict";
import type { Handler } from "./bench.ts";
import { expectAnswer, expectCaching } from "./checks.ts";
import type { Answer } from "./client.ts";
import type { AdapterRule, Declared } from "./contract.ts";

/** Headers that describe a success, and must not describe an error. */
const DESCRIPTION = [
  ["etag", '"a-success"'],
  ["last-modified", "Mon, 02 Nov 2026 08:00:00 GMT"],
  ["content-language", "eo"],
] as const;

const write: Handler = (session) => {
  session.data.count = Number(session.data.count ?? 0) + 1;
  return { headers: DESCRIPTION, body: "a success" };
};

function expectOutage(answer: Answer, rule: string): void {
  expectAnswer(answer, { status: 503, caching: "no-store" }, rule);
  assert.doesNotMatch(answer.body, /a success/, `${rule}: the body of the success must not be sent`);
  for (const [name] of DESCRIPTION)
    assert.notEqual(answer.headers[name], new Map(DESCRIPTION).get(name), `${rule}: ${name} describes the success`);
}

/** The rules of handlers that throw, and of a store that fails. */
export const failureCases = ({ handlerErrors }: Declared): readonly AdapterRule[] => [
  [
    handlerErrors === "stored"
      ? "answers a complete 500 where a handler throws, with the changes stored and their cookie set"
      : "answers a complete 500 where a handler throws, with its changes discarded and no cookie",
    async (bench) => {
      const { visitor, signedIn, calls } = await bench.start({
        "/throw": (session) => {
          session.data.changed = 1;
          throw new Error("planned error of a handler");
        },
      });
      const isStored = handlerErrors === "stored";
      const [user, client] = [await signedIn(), visitor()];
      const [users, visitors] = [await user.get("/throw"), await client.get("/throw")];
      for (const answer of [users, visitors]) {
        assert.equal(answer.status, 500, "the status must be 500");
        assert.ok(answer.isComplete, "the response must be complete");
        assert.doesNotMatch(answer.headers["cache-control"] ?? "", /public|max-age/, "no cache may store an error");
      }
      const data = isStored ? '{"changed":1}' : "{}";
      assert.equal(visitors.cookies.length, isStored ? 1 : 0, "the cookie must be set if the changes are stored");
      if (isStored) expectCaching(visitors, "no-store", "an error with a cookie");
      expectAnswer(await client.get("/data"), { body: data }, "the data of the visitor");
      expectAnswer(await user.get("/data"), { body: data }, "the data of the user");
      assert.deepEqual([calls.create, calls.update], isStored ? [2, 1] : [1, 0], "the calls of the store");
    },
  ],
  [
    "answers 503 where the store can't be read, calls no handler, and leaves the cookie alone",
    async (bench) => {
      let handled = 0;
      const { signedIn, failing } = await bench.start({
        "/page": () => {
          handled += 1;
          return "a success";
        },
      });
      const client = await signedIn();
      failing.add("read");
      expectOutage(await client.get("/page"), "a failing read");
      assert.equal(handled, 0, "the handler must not be called without its session");
      failing.delete("read");
      expectAnswer(await client.get("/who"), { body: "ada", caching: "private" }, "the page after the outage");
    },
  ],
  [
    "answers 503 where a change can't be stored, without the success, and leaves the cookie alone",
    async (bench) => {
      const { signedIn, visitor, failing } = await bench.start({
        "/write": write,
        "/redirect": (session) => {
          session.data.step = 1;
          return { redirect: "/who" };
        },
      });
      const client = await signedIn();
      // A sign-out is tried again after a second, in the background.
      const leaving = await signedIn("eve");
      for (const operation of ["create", "update", "delete"] as const) failing.add(operation);
      expectOutage(await client.get("/write"), "a failing write");
      expectOutage(await client.get("/redirect"), "a failing write before a redirect");
      expectOutage(await leaving.get("/logout"), "a failing sign-out");
      expectOutage(await visitor().get("/write"), "a failing write of a new session");
      expectOutage(await visitor().post("/login"), "a failing sign-in");
      failing.clear();
      expectAnswer(await client.get("/who"), { body: "ada", caching: "private" }, "the page after the outage");
      expectAnswer(await client.get("/write"), { body: "a success", caching: "private" }, "the write after the outage");
      expectAnswer(await client.get("/data"), { body: '{"count":1}' }, "the data after the outage");
    },
  ],
  [
    "sends the cookie that an earlier save() has stored with the 503 for a change that can't be stored",
    async (bench) => {
      const { signedIn, failing } = await bench.start({
        "/rotate": async (session) => {
          session.rotate();
          await session.save();
          failing.add("update");
          session.data.late = 1;
          return "a success";
        },
      });
      const client = await signedIn();
      const answer = await client.get("/rotate");
      expectAnswer(answer, { status: 503, caching: "no-store", cookies: 1 }, "a change after save()");
      assert.doesNotMatch(answer.body, /a success/, "the body of the success must not be sent");
      failing.clear();
      expectAnswer(await client.get("/who"), { body: "ada" }, "the page with the new cookie");
      expectAnswer(await client.get("/data"), { body: "{}" }, "the data after the outage");
    },
  ],
  [
    "serves visitors, and pages without session, while the store fails",
    async (bench) => {
      const { visitor, failing } = await bench.start();
      for (const operation of ["read", "create", "update", "touch", "delete"] as const) failing.add(operation);
      expectAnswer(await visitor().get("/who"), { body: "nobody", caching: "vary" }, "a visitor's page");
      expectAnswer(
        await visitor().get("/untouched"),
        { body: "untouched", caching: "nothing" },
        "a page without session",
      );
    },
  ],
  [
    "answers 500 to a value that can't be stored, and 413 to data that are too large",
    async (bench) => {
      const { signedIn, visitor, calls } = await bench.start({
        "/function": (session) => {
          session.data.bad = () => {};
          return "a success";
        },
        "/large": (session) => {
          session.data.large = "x".repeat(300_000);
          return "a success";
        },
      });
      const user = await signedIn();
      for (const [path, status] of [
        ["/function", 500],
        ["/large", 413],
      ] as const) {
        for (const client of [user, visitor()]) {
          const answer = await client.get(path);
          expectAnswer(answer, { status }, path);
          assert.doesNotMatch(answer.headers["cache-control"] ?? "", /public|max-age/, "no cache may store an error");
          assert.doesNotMatch(answer.body, /a success/, `${path}: the body of the success must not be sent`);
        }
      }
      assert.deepEqual([calls.create, calls.update], [1, 0], "nothing may be stored");
    },
  ],
];
