import { Buffer } from "node:buffer";
import type { RedisArguments, RedisDriver } from "./client.ts";
import type { RedisKeys } from "./keys.ts";
import { encodeUser, hasUser, headLengthFor, type IndexedUser, MAX_INSTANT } from "./value.ts";
import { ADD_TO_INDEX, LIST_INDEX, REMOVE_FROM_INDEX, type RedisScript, runScript } from "./scripts.ts";

/** How far the clocks of servers and processes may differ. An entry and an index are kept for so long after their time. */
const CLOCK_DIFFERENCE_MS = 3_600_000;
const PAGE_SIZE = 200;

interface IndexEntry {
  readonly encodedId: string;
  readonly score: string;
}

/**
 * The index of users' sessions. An index and a session may be on different nodes of a cluster, so no script can write both.
 * A session is added to the index before it gets the user, for twice its lifetime. An entry is removed when its session
 * has ended, or when its time is over and the session is gone. So an index contains every live session of a user, and some
 * others: readers look at the sessions.
 */
export function userIndex(options: {
  driver: Pick<RedisDriver, "send">;
  keys: RedisKeys;
  runWrite: (script: RedisScript, key: string, args: RedisArguments) => Promise<unknown>;
  confirmEarlierWrites: (key: string) => Promise<void>;
}) {
  const { driver, keys, runWrite, confirmEarlierWrites } = options;

  /** Runs in the background: an entry that stays is found when its time is over. */
  function removeEntries(userId: string, entries: readonly IndexEntry[]): void {
    if (entries.length === 0) return;
    const args = entries.flatMap(({ encodedId, score }) => [encodedId, score]);
    runWrite(REMOVE_FROM_INDEX, keys.indexKey(userId), args).catch(() => {});
  }

  function readHead(encodedId: string, length: number): Promise<unknown> {
    const key = keys.sessionKey(keys.decodeId(encodedId));
    return driver.send(key, ["GETRANGE", key, "0", `${length - 1}`]);
  }

  /** Removes those of the entries whose sessions are gone. Their time must be over. */
  async function removeIfGone(userId: string, entries: readonly IndexEntry[]): Promise<void> {
    const heads = await Promise.all(entries.map(({ encodedId }) => readHead(encodedId, 1)));
    removeEntries(
      userId,
      entries.filter((_, index) => (heads[index] as Buffer).length === 0),
    );
  }

  /** Only this reads scores from an index, and only of the oldest entries: scores make a long index slow to read. */
  async function removeOldEntries(userId: string): Promise<void> {
    const key = keys.indexKey(userId);
    const past = `${Date.now() - CLOCK_DIFFERENCE_MS}`;
    const command = ["ZRANGEBYSCORE", key, "-inf", past, "WITHSCORES", "LIMIT", "0", `${PAGE_SIZE}`];
    await removeIfGone(userId, parseEntries(toStrings(await driver.send(key, command))));
  }

  return {
    /** Adds a session to the index, before it gets the user. Returns until when the entry is sure to stay. */
    async add(userId: string, id: string, expiresAt: number): Promise<number> {
      const now = Date.now();
      const wanted = Math.min(MAX_INSTANT - 1, expiresAt + Math.max(0, expiresAt - now));
      const past = now - CLOCK_DIFFERENCE_MS;
      const args = [keys.encodeId(id), `${wanted}`, `${past}`, `${CLOCK_DIFFERENCE_MS}`];
      const [score, ...oldEntries] = toStrings(await runWrite(ADD_TO_INDEX, keys.indexKey(userId), args));
      if (oldEntries.length > 0) removeIfGone(userId, parseEntries(oldEntries)).catch(() => {});
      return Math.min(MAX_INSTANT, Number(score));
    },

    /** Removes a session that has ended or has another user now. */
    remove(id: string, { userId, indexedUntil }: IndexedUser): void {
      removeEntries(userId, [{ encodedId: keys.encodeId(id), score: `${indexedUntil}` }]);
    },

    /**
     * Finds the ids of the user's live sessions. It fails if one session cannot be read, because that may be live.
     *
     * One script lists the whole index. Parts of it could come from several servers, after a restart, a failover or the
     * move of a slot, and no position in an index means the same on each of them.
     */
    async idsOfUser(userId: string): Promise<string[]> {
      const key = keys.indexKey(userId);
      const headLength = headLengthFor(userId);
      const user = encodeUser(userId);
      const encodedIds = toStrings(await runScript(driver, LIST_INDEX, key, []));
      const ids: string[] = [];
      for (let from = 0; from < encodedIds.length; from += PAGE_SIZE) {
        const page = encodedIds.slice(from, from + PAGE_SIZE);
        const heads = await Promise.all(page.map((encodedId) => readHead(encodedId, headLength)));
        // The command that has ended a session may have failed for want of replicas. A failover would bring that session
        // back, so a list without it must not be the answer yet.
        const endings: Promise<void>[] = [];
        for (const [index, encodedId] of page.entries()) {
          const id = keys.decodeId(encodedId);
          if (hasUser(heads[index] as Buffer, user)) ids.push(id);
          else endings.push(confirmEarlierWrites(keys.sessionKey(id)));
        }
        await Promise.all(endings);
      }
      if (ids.length < encodedIds.length) removeOldEntries(userId).catch(() => {});
      return ids;
    },
  };
}

// A score is a number in a reply of RESP3, and text in RESP2 and in replies of scripts.
function toStrings(reply: unknown): string[] {
  return (reply as unknown[]).flat().map((part) => (typeof part === "number" ? part.toFixed(0) : String(part)));
}

function parseEntries(idsAndScores: readonly string[]): IndexEntry[] {
  const entries: IndexEntry[] = [];
  for (let index = 0; index + 1 < idsAndScores.length; index += 2) {
    entries.push({ encodedId: idsAndScores[index]!, score: idsAndScores[index + 1]! });
  }
  return entries;
}
