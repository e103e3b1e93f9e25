import assert from "node:assert/strict";
import { expectAnswer } from "./checks.ts";
import type { AdapterRule, Declared } from "./contract.ts";

/** The rules of requests that have a body. */
export const bodyCases = ({ bodyLimit }: Declared): readonly AdapterRule[] => [
  [
    "has one session and one cookie for a request whose body comes in chunks",
    async (bench) => {
      const application = await bench.start({
        "/post": async (session, { request, text }) => {
          const before = application.sessions.of(request);
          session.data.text = await text();
          session.signIn("ada");
          return String(before === session && application.sessions.of(request) === session);
        },
      });
      const { visitor, calls } = application;
      const client = visitor();
      const first = await client.post("/post", ["one ", "two"]);
      expectAnswer(first, { body: "true", caching: "no-store", cookies: 1 }, "the first request");
      expectAnswer(await client.get("/data"), { body: '{"text":"one two"}' }, "the page after it");
      const second = await client.post("/post", ["three ", "four"]);
      expectAnswer(second, { body: "true", caching: "no-store", cookies: 1 }, "the second request");
      expectAnswer(await client.get("/data"), { body: '{"text":"three four"}' }, "the page after it");
      assert.equal(calls.create, 2, "each sign-in must store one session");
    },
  ],
  ...(bodyLimit === undefined ? [] : [limitCase(bodyLimit)]),
];

const limitCase = (bodyLimit: number): AdapterRule => [
  "stores nothing for a request whose body is over the limit of the application, and answers 413",
  async (bench) => {
    const { visitor, signedIn, calls } = await bench.start({
      "/post": async (session, { text }) => {
        session.data.text = await text();
        return "a success";
      },
    });
    const user = await signedIn();
    const { create, update } = calls;
    for (const client of [user, visitor()]) {
      const answer = await client.post("/post", ["x", "x".repeat(bodyLimit)]);
      expectAnswer(answer, { status: 413 }, "a body over the limit");
    }
    assert.deepEqual([calls.create, calls.update], [create, update], "nothing may be stored");
    expectAnswer(
      await user.post("/post", ["small"]),
      { body: "a success", caching: "private" },
      "a body below the limit",
    );
  },
];
