import { cached } from "sojourn/cached";
import { openStore } from "sojourn/open";
import { createSessions } from "sojourn";
import { describe, expect, it } from "vitest";
import { faulty } from "../../src/testing/faulty.ts";
import { REDIS_SERVER, startRedis } from "../support/redis.ts";
import { Browser, KEYS } from "../support/stores.ts";
import { until } from "../support/throwaway.ts";
import { engines } from "../support/engines.ts";

interface Data {
  visits?: number;
}

/** Makes the sessions of one process with a near cache. Counts its reads from the engine. */
async function makeProcess(url: string) {
  const opened = await openStore(url, { migrate: true });
  const counted = faulty(opened);
  const store = cached(counted);
  const sessions = createSessions<Data>({ secretKey: KEYS[0], store });
  return {
    sessions,
    reads: () => counted.calls.read,
    async end() {
      await sessions.close();
      await store.close();
    },
  };
}

const announcing = engines.filter(({ name }) => /Redis|PostgreSQL/.test(name));

describe.each(announcing)("cached before $name, in two processes", ({ isHere, start }) => {
  it.skipIf(!isHere)(
    "is notified of updates, sign-outs and revocations in the other process, and reads nothing in between",
    async () => {
      const { url, stop } = await start();
      const here = await makeProcess(url);
      const there = await makeProcess(url);
      try {
        const one = new Browser<Data>(here.sessions);
        await one.visit((session) => session.signIn("ada"));
        const other = one.copy(there.sessions);
        await until("the cache is on", async () => {
          const before = there.reads();
          expect(await other.userId()).toBe("ada");
          return there.reads() === before;
        });

        const before = there.reads();
        for (let visits = 0; visits < 50; visits++) expect(await other.userId()).toBe("ada");
        expect(there.reads()).toBe(before);

        for (let visits = 1; visits <= 10; visits++) {
          await one.visit((session) => session.update("visits", (n = 0) => n + 1));
          await until("the update is notified", async () => (await other.data()).visits === visits);
        }

        // The notification may not have arrived. A new token is accepted at once nevertheless.
        await one.visit((session) => session.signIn("ada"));
        const renewed = one.copy(there.sessions);
        expect(await renewed.userId()).toBe("ada");
        await until(
          "the old token is invalidated in the other process",
          async () => (await other.userId()) === undefined,
        );

        await here.sessions.revokeAll("ada");
        await until("the revocation is notified", async () => (await renewed.userId()) === undefined);
      } finally {
        await here.end();
        await there.end();
        await stop();
      }
    },
  );
});

describe.skipIf(REDIS_SERVER === "")("cached, while the engine is unreachable", () => {
  it("reads nothing from memory, and is on again when it is listening", async () => {
    const redis = await startRedis();
    const here = await makeProcess(`redis://127.0.0.1:${redis.port}?announceChanges=true`);
    try {
      const one = new Browser<Data>(here.sessions);
      await one.visit((session) => session.signIn("ada"));
      const isCached = async () => {
        const before = here.reads();
        const userId = await one.userId().catch(() => "unknown");
        return here.reads() === before && userId === "ada";
      };
      await until("the cache is on", isCached);
      await redis.kill();
      await until("the cache is off", async () => !(await isCached()));
      await expect(one.userId()).rejects.toMatchObject({ code: "ERR_SESSION_STORE" });
      await redis.restart();
      await until("the cache is on again", isCached);
    } finally {
      await here.end();
      await redis.end();
    }
  });
});
