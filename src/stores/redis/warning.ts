import type { RedisClient } from "./client.ts";
import type { RedisKeys } from "./keys.ts";

/** Whether it evicts is asked once, behind the first session that is created; where that is forbidden, never mind. */
export function warnOfEviction(client: Pick<RedisClient, "primaries">, keys: RedisKeys): () => void {
  let asked = false;

  async function ask(): Promise<void> {
    for (const send of (await client.primaries(keys.channel)).sends) {
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
    if (asked) return;
    asked = true;
    ask().catch(() => {});
  };
}
