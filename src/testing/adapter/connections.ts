import assert from "node:assert/strict";
import { createGate, type AnySession } from "./bench.ts";
import { eventually, expectAnswer } from "./checks.ts";
import type { AdapterRule } from "./contract.ts";

async function aborted({ signal }: AnySession): Promise<string> {
  if (!signal.aborted) await new Promise((resolve) => signal.addEventListener("abort", resolve));
  return "ended";
}

/** The rules of connections that outlive their session, or end before their response. */
export const connectionCases: readonly AdapterRule[] = [
  [
    "ends a response that waits for session.signal, when the session is revoked",
    async (bench) => {
      const { signedIn, sessions, watchers } = await bench.start({ "/wait": aborted });
      const client = await signedIn();
      const waiting = client.get("/wait");
      assert.ok(await eventually(() => watchers() > 0), "session.signal must watch the session");
      await sessions.revokeAll("ada");
      expectAnswer(await waiting, { body: "ended", caching: "private" }, "the response that waited");
      expectAnswer(await client.get("/who"), { body: "nobody" }, "the page after the revocation");
    },
  ],
  [
    "releases session.signal at the end of a response, of HEAD, and of a handler that throws",
    async (bench) => {
      const { signedIn, watchers } = await bench.start({
        "/signal": (session) => `aborted: ${session.signal.aborted}`,
        "/throw": (session) => {
          assert.equal(session.signal.aborted, false);
          throw new Error("planned error of a handler");
        },
      });
      const client = await signedIn();
      for (const [path, method] of [
        ["/signal", "GET"],
        ["/signal", "HEAD"],
        ["/throw", "GET"],
      ] as const) {
        await Promise.all(Array.from({ length: 5 }, () => client.get(path, { method })));
        assert.ok(await eventually(() => watchers() === 0), `${method} ${path}: nobody may watch the session any more`);
      }
    },
  ],
  [
    "stores or reports the changes of a request whose client has gone, and releases session.signal",
    async (bench) => {
      const [gate, signingIn] = [createGate(), createGate()];
      const { signedIn, visitor, dropped, sessions, watchers } = await bench.start({
        "/slow": async (session) => {
          assert.equal(session.signal.aborted, false);
          await gate.pass();
          session.data.late = 1;
          return "slow";
        },
        "/slow-login": async (session) => {
          await signingIn.pass();
          session.signIn("bob");
          return "slow";
        },
      });
      const client = await signedIn();
      for (const [path, leaver, held] of [
        ["/slow", client, gate],
        ["/slow-login", visitor(), signingIn],
      ] as const) {
        const connection = await leaver.connect(path);
        const closed = connection.until();
        await held.reachedBefore(closed);
        connection.destroy();
        await closed;
        expectAnswer(await client.get("/who"), { body: "ada" }, "the next request");
        held.open();
      }
      const isTold = (userId: string | undefined) => dropped.some((event) => event.userId === userId);
      const isStored = async () => (await client.get("/data")).body === '{"late":1}' || isTold("ada");
      assert.ok(await eventually(isStored), "a change must be stored, or the event dropped must tell of it");
      const isSignedIn = async () => (await sessions.list("bob")).length > 0 || dropped.length > 0;
      assert.ok(await eventually(isSignedIn), "a sign-in must be stored, or the event dropped must tell of it");
      assert.ok(await eventually(() => watchers() === 0), "nobody may watch the session any more");
    },
  ],
];
