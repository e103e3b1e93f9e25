import { Buffer } from "node:buffer";
import type { RedisClient, Words } from "./client.ts";
import type { RedisKeys } from "./keys.ts";
import { headLength, isOwnedBy, LATEST, ownerKind, ownerSection, type Ownership } from "./value.ts";
import { INDEX, NAMES, run, type Script, UNINDEX } from "./scripts.ts";

/** What clocks of servers and processes may differ by. An index outlives its entries by it, and entries their time. */
const CLOCKS = 3_600_000;
const PAGE = 200;

interface Entry {
  readonly name: string;
  readonly score: string;
}

/**
 * The index of owners' sessions. An index and a session lie on different nodes of a cluster, so no script can write
 * both: a session is indexed before it is an owner's, for twice the time it is to live, and an entry goes when its
 * session has been ended, or once its time is over and the session is seen to be gone. So an index names each live
 * session, and some others: whoever reads it looks at the sessions.
 */
export function ownerIndex(given: {
  client: Pick<RedisClient, "send">;
  keys: RedisKeys;
  write: (script: Script, key: string, words: Words) => Promise<unknown>;
}) {
  const { client, keys, write } = given;

  /** Nobody waits for it: what stays is found by its time. */
  function remove(owner: string, entries: readonly Entry[]): void {
    if (entries.length === 0) return;
    const words = entries.flatMap(({ name, score }) => [name, score]);
    write(UNINDEX, keys.index(owner), words).catch(() => {});
  }

  function beginning(name: string, length: number): Promise<unknown> {
    const key = keys.session(keys.idOf(name));
    return client.send(key, ["GETRANGE", key, "0", `${length - 1}`]);
  }

  /** Removes entries whose time is over, if their sessions are gone. */
  async function tidy(owner: string, entries: readonly Entry[]): Promise<void> {
    const heads = await Promise.all(entries.map(({ name }) => beginning(name, 1)));
    remove(
      owner,
      entries.filter((_, index) => (heads[index] as Buffer).length === 0),
    );
  }

  /** The entries are asked for with their scores only here: those are what makes a long index slow to read. */
  async function tidyPast(owner: string): Promise<void> {
    const key = keys.index(owner);
    const words = ["ZRANGEBYSCORE", key, "-inf", `${Date.now() - CLOCKS}`, "WITHSCORES", "LIMIT", "0", `${PAGE}`];
    await tidy(owner, entriesIn(texts(await client.send(key, words))));
  }

  return {
    /** Names a session in the index, before it is the owner's, and says until when it is sure to be there. */
    async add(owner: string, id: string, expiresAt: number): Promise<number> {
      const now = Date.now();
      const wanted = Math.min(LATEST - 1, expiresAt + Math.max(0, expiresAt - now));
      const words = [keys.name(id), `${wanted}`, `${now - CLOCKS}`, `${CLOCKS}`];
      const [score, ...past] = texts(await write(INDEX, keys.index(owner), words));
      if (past.length > 0) tidy(owner, entriesIn(past)).catch(() => {});
      return Math.min(LATEST, Number(score));
    },

    /** The session has ended, or is somebody else's. */
    forget(id: string, { owner, indexedUntil }: Ownership): void {
      remove(owner, [{ name: keys.name(id), score: `${indexedUntil}` }]);
    },

    /**
     * The ids of the owner's live sessions. A session that cannot be looked at fails the whole: it may be live.
     *
     * One script names them all. In parts they could come from several servers, after a restart, a failover or the move
     * of a slot, and no position in the index means the same on each of them.
     */
    async idsOf(owner: string): Promise<string[]> {
      const key = keys.index(owner);
      const length = headLength(owner);
      const wanted = { kind: ownerKind(owner), section: ownerSection(owner) };
      const names = texts(await run(client, NAMES, key, []));
      const ids: string[] = [];
      for (let from = 0; from < names.length; from += PAGE) {
        const page = names.slice(from, from + PAGE);
        const heads = await Promise.all(page.map((name) => beginning(name, length)));
        for (const [index, name] of page.entries()) {
          if (isOwnedBy(heads[index] as Buffer, wanted)) ids.push(keys.idOf(name));
        }
      }
      if (ids.length < names.length) tidyPast(owner).catch(() => {});
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
