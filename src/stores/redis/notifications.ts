import type { RedisClient, Words } from "./client.ts";
import type { RedisKeys } from "./keys.ts";
import { run, type Script, untold } from "./scripts.ts";

/** What a message says of the session it names. */
export const ENDED = "-";
export const CHANGED = "+";

/**
 * Runs a script that tells of what it does to a session, and publishes what it could not: in a group of slots that two
 * nodes share, the channel may be the other's. It comes after the deed, for who hears of it earlier would find the
 * session still there.
 */
export async function runAndTell(
  client: Pick<RedisClient, "send" | "isCluster">,
  keys: RedisKeys,
  { script, key, words, message }: { script: Script; key: string; words: Words; message: string },
): Promise<unknown> {
  const news = [...words, keys.channel, message];
  if (!client.isCluster) return run(client, script, key, news);
  const shard = keys.shardChannelOf(key);
  const reply = await run(client, script, key, [...news, shard]);
  const rest = untold(reply);
  if (!rest) return reply;
  try {
    await client.send(shard, ["SPUBLISH", shard, message]);
  } catch (error) {
    // The other node is older than Redis 7.
    if (!(error instanceof Error) || !/unknown command/i.test(error.message)) throw error;
    await client.send(shard, ["PUBLISH", keys.channel, message]);
  }
  return rest.reply;
}
