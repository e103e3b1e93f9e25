import type { RedisArguments, RedisDriver } from "./client.ts";
import type { RedisKeys } from "./keys.ts";
import { type RedisScript, runScript, unpublishedReply } from "./scripts.ts";

/** The first character of a message, before the encoded id. */
export const ENDED = "-";
export const CHANGED = "+";

/** A script that changes a session, and the message that notifies subscribers of it. */
interface NotifyingScript {
  readonly script: RedisScript;
  readonly key: string;
  readonly args: RedisArguments;
  readonly message: string;
}

/**
 * Runs a script that publishes its message in the same step. If two nodes share a slot group, the channel may be on the
 * other node: then this function publishes, after the script. A subscriber that was notified earlier would still find the
 * session.
 */
export async function runAndNotify(
  driver: Pick<RedisDriver, "send" | "isCluster">,
  keys: RedisKeys,
  { script, key, args, message }: NotifyingScript,
): Promise<unknown> {
  const argsWithMessage = [...args, keys.channel, message];
  if (!driver.isCluster) return runScript(driver, script, key, argsWithMessage);
  const shardChannel = keys.shardChannelOf(key);
  const reply = await runScript(driver, script, key, [...argsWithMessage, shardChannel]);
  const unpublished = unpublishedReply(reply);
  if (!unpublished) return reply;
  try {
    await driver.send(shardChannel, ["SPUBLISH", shardChannel, message]);
  } catch (error) {
    // The other node is older than Redis 7.
    if (!(error instanceof Error) || !/unknown command/i.test(error.message)) throw error;
    await driver.send(shardChannel, ["PUBLISH", keys.channel, message]);
  }
  return unpublished.reply;
}
