import { Buffer } from "node:buffer";
import type { RedisClient, Words } from "./client.ts";
import type { RedisKeys } from "./keys.ts";
import { headLength, isOwnedBy, LATEST, userKind, userSection, type IndexedUser } from "./value.ts";
import { INDEX, NAMES, run, type Script, UNINDEX } from "./scripts.ts";

/** What clocks of servers and processes may differ by. An index outlives its entries by it, and entries their time. */
const CLOCKS = 3_600_000;
const PAGE = 200;

interface Entry {
  readonly name: string;
  readonly score: string;
}

/**
 * The index of users' sessions. An index and a session lie on different nodes of a cluster, so no script can write
 * both: a session is indexed before it is a user's, for twice the time it is to live, and an entry goes when its
 * session has been ended, or once its time is over and the session is seen to be gone. So an index names each live
 * session, and some others: whoever reads it looks at the sessions.
 */
export function userIndex(given: {
  client: Pick<RedisClient, "send">;
  keys: RedisKeys;
  write: (script: Script, key: string, words: Words) => Promise<unknown>;
}) {
  const { client, keys, write } = given;

  /** Nobody waits for it: what stays is found by its time. */
  function remove(userId: string, entries: readonly Entry[]): void {
    if (entries.length === 0) return;
    const words = entries.flatMap(({ name, score }) => [name, score]);
    write(UNINDEX, keys.index(userId), words).catch(() => {});
  }

  function beginning(name: string, length: number): Promise<unknown> {
    const key = keys.session(keys.idOf(name));
    return client.send(key, ["GETRANGE", key, "0", `${length - 1}`]);
  }

  /** Removes entries whose time is over, if their sessions are gone. */
  async function tidy(userId: string, entries: readonly Entry[]): Promise<void> {
    const heads = await Promise.all(entries.map(({ name }) => beginning(name, 1)));
    remove(
      userId,
      entries.filter((_, index) => (heads[index] as Buffer).length === 0),
    );
  }

  /** The entries are asked for with their scores only here: those are what makes a long index slow to read. */
  async function tidyPast(userId: string): Promise<void> {
    const key = keys.index(userId);
    const words = ["ZRANGEBYSCORE", key, "-inf", `${Date.now() - CLOCKS}`, "WITHSCORES", "LIMIT", "0", `${PAGE}`];
    await tidy(userId, entriesIn(texts(await client.send(key, words))));
  }

  return {
    /** Names a session in the index, before it is the user's, and says until when it is sure to be there. */
    async add(userId: string, id: string, expiresAt: number): Promise<number> {
      const now = Date.now();
      const wanted = Math.min(LATEST - 1, expiresAt + Math.max(0, expiresAt - now));
      const words = [keys.name(id), `${wanted}`, `${now - CLOCKS}`, `${CLOCKS}`];
      const [score, ...past] = texts(await write(INDEX, keys.index(userId), words));
      if (past.length > 0) tidy(userId, entriesIn(past)).catch(() => {});
      return Math.min(LATEST, Number(score));
    },

    /** The session has ended, or is somebody else's. */
    forget(id: string, { userId, indexedUntil }: IndexedUser): void {
      remove(userId, [{ name: keys.name(id), score: `${indexedUntil}` }]);
    },

    /**
     * The ids of the user's live sessions. A session that cannot be looked at fails the whole: it may be live.
     *
     * One script names them all. In parts they could come from several servers, after a restart, a failover or the move
     * of a slot, and no position in the index means the same on each of them.
     */
    async idsOfUser(userId: string): Promise<string[]> {
      const key = keys.index(userId);
      const length = headLength(userId);
      const wanted = { kind: userKind(userId), section: userSection(userId) };
      const names = texts(await run(client, NAMES, key, []));
      const ids: string[] = [];
      for (let from = 0; from < names.length; from += PAGE) {
        const page = names.slice(from, from + PAGE);
        const heads = await Promise.all(page.map((name) => beginning(name, length)));
        for (const [index, name] of page.entries()) {
          if (isOwnedBy(heads[index] as Buffer, wanted)) ids.push(keys.idOf(name));
        }
      }
      if (ids.length < names.length) tidyPast(userId).catch(() => {});
      return ids;
    },
  };
}

// RESP3 gives scores as numbers where they are a reply of their own, RESP2 and scripts as texts.
function texts(reply: unknown): string[] {
  return (reply as unknown[]).flat().map((part) => (typeof part === "number" ? part.toFixed(0) : String(part)));
}

function entriesIn(flat: readonly string[]): Entry[] {
  const entries: Entry[] = [];
  for (let index = 0; index + 1 < flat.length; index += 2) {
    entries.push({ name: flat[index]!, score: flat[index + 1]! });
  }
  return entries;
}
