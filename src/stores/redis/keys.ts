import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { groupOf, groupTags } from "./channels.ts";

// Sessions and indexes are told apart by what follows the prefix, a character that none of the others begins with:
//   sojourn:<id>            a session, under an id as Sojourn makes them
//   sojourn:~<id>           one under any other id, in UTF-16 as base64url
//   sojourn:@<hash>         the index of a user's sessions
//   sojourn:@@changes       the channel
//   sojourn:@@changes{<n>}  one for a group of a cluster's slots

/** An id that can stand in a key as it is: no brace, no colon, nothing that a pattern gives a meaning to. */
const PLAIN = /^[A-Za-z0-9_-]{1,200}$/;
const NAME = /^(?:[A-Za-z0-9_-]{1,200}|~[A-Za-z0-9_-]*)$/;

/** The names of what a store keeps under its prefix. */
export interface RedisKeys {
  readonly channel: string;
  /** In a cluster: the channels of all groups of slots. */
  shardChannels(): readonly string[];
  /** In a cluster: the channel of the group that a key belongs to. */
  shardChannelOf(key: string): string;
  /** Matches every session's key, among others. */
  readonly pattern: string;
  session(id: string): string;
  /** The key of the index of a user's sessions. */
  index(userId: string): string;
  /** A session's id as keys, indexes and messages have it. */
  name(id: string): string;
  /** The id of such a name. */
  idOf(name: string): string;
  /** The id in a session's key; `undefined` for any other key. */
  idIn(key: string): string | undefined;
}

/** @throws {TypeError} for a prefix that would put all keys into one slot of a cluster. */
export function redisKeys(given: string): RedisKeys {
  if (typeof given !== "string" || given === "" || /[{}]/.test(given)) {
    throw new TypeError('redisStore: prefix must be a text without braces, such as "myapp:"');
  }
  // With no end of its own, "a" would hold the sessions of "ab".
  const prefix = given.endsWith(":") ? given : `${given}:`;
  const name = (id: string) => (PLAIN.test(id) ? id : `~${Buffer.from(id, "utf16le").toString("base64url")}`);
  const idOf = (text: string) =>
    text.startsWith("~") ? Buffer.from(text.slice(1), "base64url").toString("utf16le") : text;
  return {
    channel: `${prefix}@@changes`,
    shardChannels: () => groupTags().map((tag) => `${prefix}@@changes{${tag}}`),
    shardChannelOf: (key) => `${prefix}@@changes{${groupTags()[groupOf(key)]!}}`,
    pattern: `${prefix.replaceAll(/[\\*?[\]^-]/g, "\\$&")}*`,
    session: (id) => prefix + name(id),
    index: (userId) => `${prefix}@${hashOf(userId)}`,
    name,
    idOf,
    idIn(key) {
      if (!key.startsWith(prefix)) return undefined;
      const rest = key.slice(prefix.length);
      return NAME.test(rest) ? idOf(rest) : undefined;
    },
  };
}

/** Of fixed length, and tells nothing of the user. What shares a hash shares an index, which is verified anyway. */
function hashOf(userId: string): string {
  return createHash("sha256").update(userId, "utf16le").digest("base64url").slice(0, 22);
}
