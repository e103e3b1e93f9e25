import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { createSessions } from "sojourn";
import { openStore } from "sojourn/open";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Browser, KEYS } from "../support/stores.ts";
import { engines } from "../support/engines.ts";

const PROCESSES = 4;
const UPDATES = 250;

const updates = join(import.meta.dirname, "../fixtures/updates.mjs");

interface Data {
  count?: number;
}

describe.each(engines)("four processes on $name", ({ isHere, start }) => {
  let engine: Awaited<ReturnType<typeof start>> | undefined;
  beforeAll(async () => {
    if (isHere) engine = await start();
  });
  afterAll(() => engine?.stop());

  it.skipIf(!isHere).each([1, 40])("lose none of 1000 parallel updates to %i sessions", async (count) => {
    const { url } = engine!;
    const userId = `user of ${count}`;
    const store = await openStore(url, { migrate: true });
    try {
      const sessions = createSessions<Data>({ secretKey: KEYS[0], store, storeTimeout: "60s" });
      const browsers = Array.from({ length: count }, () => new Browser<Data>(sessions));
      for (const browser of browsers) await browser.visit((session) => session.signIn(userId));
      const args = [updates, url, KEYS[0], String(UPDATES), ...browsers.map(({ cookie }) => cookie)];
      const answers = await Promise.all(
        Array.from({ length: PROCESSES }, () => promisify(execFile)(process.execPath, args)),
      );
      expect(answers.map(({ stderr }) => stderr)).toEqual(Array(PROCESSES).fill(""));
      expect(answers.map(({ stdout }) => Number(stdout))).toEqual(Array(PROCESSES).fill(UPDATES));
      let sum = 0;
      for (const browser of browsers) sum += (await browser.data()).count ?? 0;
      expect(sum).toBe(PROCESSES * UPDATES);
      expect(await sessions.list(userId)).toHaveLength(count);
      expect(await sessions.revokeAll(userId)).toBe(count);
      for (const browser of browsers) expect(await browser.userId()).toBeUndefined();
    } finally {
      await store.close();
    }
  });
});
