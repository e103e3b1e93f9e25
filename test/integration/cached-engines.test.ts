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

/** An application process with a near cache, and what it asks the engine. */
async function application(url: string) {
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
  it.skipIf(!isHere)("hears of updates, sign-outs and revocations elsewhere, and asks nothing meanwhile", async () => {
    const { url, stop } = await start();
    const here = await application(url);
    const there = await application(url);
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
        await until("it has heard of the update", async () => (await other.data()).visits === visits);
      }

      // The notification may not have arrived. A new token is accepted at once nevertheless.
      await one.visit((session) => session.signIn("ada"));
      const renewed = one.copy(there.sessions);
      expect(await renewed.userId()).toBe("ada");
      await until("the old token is dead there too", async () => (await other.userId()) === undefined);

      await here.sessions.revokeAll("ada");
      await until("it has heard of the revocation", async () => (await renewed.userId()) === undefined);
    } finally {
      await here.end();
      await there.end();
      await stop();
    }
  });
});

describe.skipIf(REDIS_SERVER === "")("cached, while the engine is away", () => {
  it("answers nothing from memory, and is on again once it hears", async () => {
    const redis = await startRedis();
    const here = await application(`redis://127.0.0.1:${redis.port}?announceChanges=true`);
    try {
      const one = new Browser<Data>(here.sessions);
      await one.visit((session) => session.signIn("ada"));
      const isCached = async () => {
        const before = here.reads();
        const userId = await one.userId().catch(() => "nobody knows");
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
