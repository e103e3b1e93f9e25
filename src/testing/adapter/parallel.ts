import assert from "node:assert/strict";
import { createGate } from "./bench.ts";
import { expectAnswer } from "./checks.ts";
import { connectTo, TestClient } from "./client.ts";
import type { AdapterRule } from "./contract.ts";

/** The rules of requests that run at once, or over one connection. */
export const parallelCases: readonly AdapterRule[] = [
  [
    "keeps the changes of two parallel requests",
    async (bench) => {
      const [first, second] = [createGate(), createGate()];
      const { signedIn } = await bench.start({
        "/first": async (session) => {
          await first.pass();
          session.data.first = 1;
          session.update("count", (count) => Number(count ?? 0) + 1);
          return "first";
        },
        "/second": async (session) => {
          await second.pass();
          session.data.second = 2;
          session.update("count", (count) => Number(count ?? 0) + 1);
          return "second";
        },
      });
      const client = await signedIn();
      const answers = [client.get("/first"), client.get("/second")];
      await Promise.all([first.reachedBefore(answers[0]!), second.reachedBefore(answers[1]!)]);
      first.open();
      second.open();
      for (const answer of await Promise.all(answers))
        expectAnswer(answer, { caching: "private" }, "each of two parallel requests");
      const data = JSON.parse((await client.get("/data")).body) as unknown;
      assert.deepEqual(data, { first: 1, second: 2, count: 2 }, "the changes of both requests must be stored");
    },
  ],
  [
    "keeps the sessions of two clients apart while both requests run",
    async (bench) => {
      const [adas, bobs] = [createGate(), createGate()];
      const { signedIn } = await bench.start({
        "/slow": async (session) => {
          const before = session.userId;
          await (before === "ada" ? adas : bobs).pass();
          session.data.seen = before;
          return `${before} ${session.userId}`;
        },
      });
      const [ada, bob] = [await signedIn("ada"), await signedIn("bob")];
      const adasAnswer = ada.get("/slow");
      await adas.reachedBefore(adasAnswer);
      const bobsAnswer = bob.get("/slow");
      await bobs.reachedBefore(bobsAnswer);
      adas.open();
      expectAnswer(await adasAnswer, { body: "ada ada", caching: "private" }, "the first client's request");
      bobs.open();
      expectAnswer(await bobsAnswer, { body: "bob bob", caching: "private" }, "the second client's request");
      expectAnswer(await ada.get("/data"), { body: '{"seen":"ada"}' }, "the first client's data");
      expectAnswer(await bob.get("/data"), { body: '{"seen":"bob"}' }, "the second client's data");
    },
  ],
  [
    "keeps the sessions of two clients apart whose requests share a connection",
    async (bench) => {
      const { signedIn, visitor, origin } = await bench.start();
      const clients = [await signedIn("ada"), await signedIn("bob")];
      const [ada, bob] = clients.map((client) => client.request("/who", "keep-alive"));
      const connection = await connectTo(origin, `${ada}${bob}${visitor().request("/who")}`);
      const found = (await connection.until()).match(/(?:ada|bob|nobody)(?=\s|$|HTTP)/g);
      assert.deepEqual(
        found,
        ["ada", "bob", "nobody"],
        "each request of a connection has the session of its own cookie",
      );
      const { Agent } = await import("node:http");
      const agent = new Agent({ keepAlive: true, maxSockets: 1 });
      try {
        const one = new TestClient(origin, agent);
        await one.get("/login", { method: "POST", headers: { "x-user": "ada" } });
        expectAnswer(await one.get("/who"), { body: "ada" }, "the user's request");
        const nobody = await new TestClient(origin, agent).get("/who");
        expectAnswer(nobody, { body: "nobody", caching: "vary" }, "a visitor's request over a user's connection");
      } finally {
        agent.destroy();
      }
    },
  ],
  [
    "drops the changes of a slow request after a sign-out, and leaves the cookie alone",
    async (bench) => {
      const gate = createGate();
      const { signedIn, dropped } = await bench.start({
        "/slow": async (session) => {
          await gate.pass();
          session.data.late = 1;
          return "slow";
        },
      });
      const client = await signedIn();
      const tab = client.twin();
      const slow = tab.get("/slow");
      await gate.reachedBefore(slow);
      await client.get("/logout");
      gate.open();
      expectAnswer(await slow, { body: "slow", caching: "private" }, "the slow request");
      assert.deepEqual(
        dropped.map(({ reason }) => reason),
        ["ended"],
        "the event dropped must tell of the changes",
      );
      expectAnswer(await tab.get("/who"), { body: "nobody" }, "the page after the sign-out");
    },
  ],
  [
    "answers 409 to a slow request that changes a session whose user has signed in meanwhile",
    async (bench) => {
      const gate = createGate();
      const { visitor } = await bench.start({
        "/write": (session) => {
          session.data.planted = 1;
          return "written";
        },
        "/slow": async (session) => {
          await gate.pass();
          session.data.late = 1;
          return "a success";
        },
      });
      const client = visitor();
      await client.get("/write");
      const slow = client.twin().get("/slow");
      await gate.reachedBefore(slow);
      await client.post("/login");
      gate.open();
      const answer = await slow;
      expectAnswer(answer, { status: 409, caching: "no-store" }, "the slow request");
      assert.doesNotMatch(answer.body, /a success/, "the body of the success must not be sent");
      expectAnswer(await client.get("/data"), { body: '{"planted":1}' }, "the user's data");
    },
  ],
];
