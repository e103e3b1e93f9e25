import type { RedisDriver } from "./client.ts";
import type { RedisKeys } from "./keys.ts";

/**
 * Returns a function that checks once, in the background, whether a server evicts keys, and warns. A missing right to ask is
 * ignored.
 */
export function evictionCheck(driver: Pick<RedisDriver, "findPrimaries">, keys: RedisKeys): () => void {
  let hasStarted = false;

  async function warnOfEviction(): Promise<void> {
    for (const send of (await driver.findPrimaries(keys.channel)).senders) {
      const info = String(await send(["INFO", "memory"]));
      const policy = /^maxmemory_policy:(\S+)/m.exec(info)?.[1];
      const limit = /^maxmemory:(\d+)/m.exec(info)?.[1];
      if (policy === undefined || policy === "noeviction" || limit === undefined || limit === "0") continue;
      process.emitWarning(
        `Redis evicts keys when its memory is full (maxmemory-policy ${policy}): sessions would vanish, and users' ` +
          'indexes with them, so that revokeAll misses sessions. Set maxmemory-policy to "noeviction".',
        { code: "SOJOURN_REDIS_EVICTION" },
      );
      return;
    }
  }

  return () => {
    if (hasStarted) return;
    hasStarted = true;
    warnOfEviction().catch(() => {});
  };
}
