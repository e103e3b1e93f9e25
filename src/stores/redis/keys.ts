import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { slotGroupOf, slotGroupTags } from "./slots.ts";

// The first character after the prefix tells what a key is. No two kinds begin with the same one:
//   sojourn:<id>            a session, under an id in the form that Sojourn creates
//   sojourn:~<id>           a session under any other id, in UTF-16 as base64url
//   sojourn:@<hash>         the index of a user's sessions
//   sojourn:@@changes       the plain channel of notifications
//   sojourn:@@changes{<n>}  the channel of a group of a cluster's slots

/** An id that can be part of a key as it is: no brace, no colon, no character that has a meaning in a pattern. */
const PLAIN_ID = /^[A-Za-z0-9_-]{1,200}$/;
const ENCODED_ID = /^(?:[A-Za-z0-9_-]{1,200}|~[A-Za-z0-9_-]*)$/;

/** The names of a store's keys and channels. */
export interface RedisKeys {
  readonly channel: string;
  /** In a cluster: the channels of all slot groups. */
  shardChannels(): readonly string[];
  /** In a cluster: the channel of the slot group that a key belongs to. */
  shardChannelOf(key: string): string;
  /** A pattern that matches the keys of all sessions, and other keys. */
  readonly pattern: string;
  sessionKey(id: string): string;
  /** The key of the index of a user's sessions. */
  indexKey(userId: string): string;
  /** Encodes an id as keys, indexes and messages contain it. */
  encodeId(id: string): string;
  decodeId(encodedId: string): string;
  /** The id in a session's key; `undefined` for any other key. */
  idOfKey(key: string): string | undefined;
}

/** @throws TypeError for a prefix that would put all keys into one slot of a cluster. */
export function redisKeys(givenPrefix: string): RedisKeys {
  if (typeof givenPrefix !== "string" || givenPrefix === "" || /[{}]/.test(givenPrefix)) {
    throw new TypeError('redisStore: prefix must be a text without braces, such as "myapp:"');
  }
  // Without a colon, the keys of the prefix "ab" would also begin with the prefix "a".
  const prefix = givenPrefix.endsWith(":") ? givenPrefix : `${givenPrefix}:`;
  const encodeId = (id: string) => (PLAIN_ID.test(id) ? id : `~${Buffer.from(id, "utf16le").toString("base64url")}`);
  const decodeId = (encodedId: string) =>
    encodedId.startsWith("~") ? Buffer.from(encodedId.slice(1), "base64url").toString("utf16le") : encodedId;
  return {
    channel: `${prefix}@@changes`,
    shardChannels: () => slotGroupTags().map((tag) => `${prefix}@@changes{${tag}}`),
    shardChannelOf: (key) => `${prefix}@@changes{${slotGroupTags()[slotGroupOf(key)]!}}`,
    pattern: `${prefix.replaceAll(/[\\*?[\]^-]/g, "\\$&")}*`,
    sessionKey: (id) => prefix + encodeId(id),
    indexKey: (userId) => `${prefix}@${hashUserId(userId)}`,
    encodeId,
    decodeId,
    idOfKey(key) {
      if (!key.startsWith(prefix)) return undefined;
      const encodedId = key.slice(prefix.length);
      return ENCODED_ID.test(encodedId) ? decodeId(encodedId) : undefined;
    },
  };
}

/** A hash of fixed length that does not reveal the user id. Users with the same hash share an index: readers compare users. */
function hashUserId(userId: string): string {
  return createHash("sha256").update(userId, "utf16le").digest("base64url").slice(0, 22);
}
