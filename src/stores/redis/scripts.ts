import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import type { RedisArguments, RedisDriver } from "./client.ts";
import {
  INSTANT_BYTES,
  REVISION_OFFSET,
  USER_FLAG,
  USER_LENGTH_BYTES,
  VERSION_BITS,
  WRITE_COUNT_OFFSET,
} from "./value.ts";

/** A Lua script, and the hash by which the server knows it. */
export interface RedisScript {
  readonly text: string;
  readonly sha: string;
}

function defineScript(text: string): RedisScript {
  return { text, sha: createHash("sha1").update(text).digest("hex") };
}

/** A reply: the write is done, or was done before. */
export const DONE = 1;
/** A reply: there is no such session, or it has another version. */
export const REFUSED = 0;
/** A reply: nothing is done, because the session must be added to its user's index first. */
export const NOT_INDEXED = -1;

// Each script uses one key. A key that has expired does not exist for it: the server's clock decides.
//
// value.ts describes the bytes of a value. The numbers below are its offsets; Lua counts from 1. A text costs a script less
// than a number where it is an argument of a command.
const FLAGS = REVISION_OFFSET + 1;
const INSTANT = INSTANT_BYTES;
const USER_LENGTH = USER_LENGTH_BYTES;
const VERSIONS = 2 ** VERSION_BITS;

/** The part of a value that is read in order to find its user. Longer user ids need a second read. */
const VALUE_HEAD_BYTES = 256;

// A head is a value up to the end of its revision; that of a stored session also contains `indexedUntil`, if it has a user.
//
// `is_repeated`: a client may send a command again after it lost its connection. The value is then there already; only
// the times that a touch moves may differ. One byte is written again, so that WAIT counts it as a write of this connection.
// `reply_missing`: the key does not exist. On a replica, which may be behind, the DEL makes that an error and not a "no".
const HELPERS = `
local function version_in(bytes, flags_at)
  return string.sub(bytes, flags_at + 1, flags_at + 1 + string.byte(bytes, flags_at) % ${VERSIONS})
end
local function after_version(head) return ${FLAGS + 2} + string.byte(head, ${FLAGS}) % ${VERSIONS} end
local function has_user(head) return string.byte(head, ${FLAGS}) % ${2 * USER_FLAG} >= ${USER_FLAG} end
local function read_number(bytes, from, length)
  local value = 0
  for i = from, from + length - 1 do value = value * 256 + string.byte(bytes, i) end
  return value
end
local function read_instant(bytes, from) return read_number(bytes, from, ${INSTANT}) end
local function read_head(key)
  local head = redis.call('GETRANGE', key, '0', '${VALUE_HEAD_BYTES - 1}')
  if head == '' or not has_user(head) then return head end
  local from = after_version(head)
  local last = from + ${USER_LENGTH + INSTANT - 1} + read_number(head, from, ${USER_LENGTH})
  if last > #head then return redis.call('GETRANGE', key, '0', last - 1) end
  return string.sub(head, 1, last)
end
local function user_section(stored_head) return string.sub(stored_head, after_version(stored_head), -${INSTANT + 1}) end
local function indexed_until(stored_head) return read_instant(stored_head, #stored_head - ${INSTANT - 1}) end
local function reply_missing(key)
  redis.call('DEL', key)
  return ${REFUSED}
end
local function is_repeated(key, head, payload)
  local stored = redis.call('GET', key)
  if not stored or #stored ~= #head + (payload and ${INSTANT} + #payload or 0) then return false end
  if string.sub(stored, ${INSTANT + 1}, #head) ~= string.sub(head, ${INSTANT + 1}) then return false end
  if payload and string.sub(stored, #head + ${INSTANT + 1}) ~= payload then return false end
  redis.call('SETRANGE', key, '${WRITE_COUNT_OFFSET}', string.sub(head, ${WRITE_COUNT_OFFSET + 1}, ${WRITE_COUNT_OFFSET + 1}))
  return true
end
`;

// `publish`: runs before anything is written, so that a missing right to the channel leaves all as it was. It uses the
// shard's channel if there is one. A server that does not know SPUBLISH publishes on the plain channel. A server that does
// not have the channel's slot goes on, and `with_unpublished` wraps the reply: the caller must publish then.
const NOTIFY = `
local unpublished = false
local function publish(plain, message, shard)
  if not shard then
    redis.call('PUBLISH', plain, message)
    return nil
  end
  local reply = redis.pcall('SPUBLISH', shard, message)
  local refusal = type(reply) == 'table' and reply.err
  if not refusal then return nil end
  if string.find(refusal, 'NOPERM') or string.find(refusal, 'ACL') or string.find(refusal, "can't") then return reply end
  if string.find(refusal, 'nknown') then
    redis.call('PUBLISH', plain, message)
  else
    unpublished = true
  end
  return nil
end
local function with_unpublished(reply)
  if unpublished then return {reply} end
  return reply
end
`;

const UNTIL_BYTES = Array.from({ length: INSTANT }, (_, index) => `u${index}`);

// The fast path of nearly every update: the version that is expected, the same user or none, indexed for long enough, and
// nothing else to do. It comes before the helpers, because the server creates those functions at every run.
const FAST_UPDATE = `
if not ARGV[6] then
  local found = redis.call('GETRANGE', KEYS[1], '${REVISION_OFFSET}', ARGV[4])
  local length = #ARGV[2]
  if string.sub(found, 1, length) == ARGV[2] then
    if not ARGV[5] then
      redis.call('SET', KEYS[1], ARGV[1], 'PXAT', ARGV[3])
      return ${DONE}
    end
    local ${UNTIL_BYTES.join(", ")} = string.byte(found, length + 1, length + ${INSTANT})
    if ${UNTIL_BYTES.reduce((high, low) => `(${high}) * 256 + ${low}`)} > tonumber(ARGV[3]) then
      redis.call('SET', KEYS[1], ARGV[1] .. string.sub(found, length + 1) .. ARGV[5], 'PXAT', ARGV[3])
      return ${DONE}
    end
  end
end
`;

/** ARGV: 1 the head; 2 the expiry for PXAT; and if the session has a user: 3 `indexedUntil`, 4 the payload. */
export const CREATE = defineScript(`
local value = ARGV[1]
if ARGV[4] then value = value .. ARGV[3] .. ARGV[4] end
if redis.call('SET', KEYS[1], value, 'NX', 'PXAT', ARGV[2]) then return ${DONE} end
${HELPERS}
if is_repeated(KEYS[1], ARGV[1], ARGV[4]) then return ${DONE} end
return ${REFUSED}
`);

/**
 * ARGV: 1 the head; 2 the revision that is expected, with the user of the head; 3 the expiry for PXAT; 4 the last byte of
 * that revision in a value, or of `indexedUntil` after it; 5 the payload, if the session has a user; and for more than a
 * plain update: 6 `indexedUntil`, if the session has been added to the index, else nothing; 7 '+' if the session must not
 * expire earlier than before, else nothing; then the plain channel, a message and the shard's channel, or nothing.
 *
 * Replies with the head of the value before if the user was another.
 */
export const UPDATE = defineScript(`${FAST_UPDATE}${HELPERS}${NOTIFY}
local stored = read_head(KEYS[1])
if stored == '' then return reply_missing(KEYS[1]) end
local head, pxat = ARGV[1], ARGV[3]
local payload = has_user(head) and ARGV[5] or nil
if version_in(stored, ${FLAGS}) ~= version_in(ARGV[2], 1) then
  if is_repeated(KEYS[1], head, payload) then return ${DONE} end
  return ${REFUSED}
end
if ARGV[7] == '+' and read_instant(stored, 1) > read_instant(head, 1) then
  head = string.sub(stored, 1, ${INSTANT}) .. string.sub(head, ${INSTANT + 1})
  pxat = string.format('%.0f', math.max(1, read_instant(head, 1) - 1))
end
local value, same_user = head, false
if payload then
  same_user = has_user(stored) and user_section(stored) == string.sub(head, after_version(head))
  local indexed = ARGV[6] or ''
  if indexed == '' and same_user then indexed = string.sub(stored, -${INSTANT}) end
  if indexed == '' or read_instant(head, 1) > read_instant(indexed, 1) then return ${NOT_INDEXED} end
  value = head .. indexed .. payload
end
local refusal = ARGV[8] and publish(ARGV[8], ARGV[9], ARGV[10])
if refusal then return refusal end
redis.call('SET', KEYS[1], value, 'PXAT', pxat)
if has_user(stored) and not same_user then return with_unpublished(stored) end
return with_unpublished(${DONE})
`);

/**
 * ARGV: 1 the new expiry as a value contains it; 2 the expiry for PXAT; and if the session has been indexed: 3 until when,
 * and 4 the user section that it was indexed for.
 *
 * Replies with the head of the value if the session must be indexed first.
 */
export const TOUCH = defineScript(`${HELPERS}
local head = read_head(KEYS[1])
if head == '' then return reply_missing(KEYS[1]) end
local expires_at = read_instant(ARGV[1], 1)
if expires_at <= read_instant(head, 1) then return ${DONE} end
if has_user(head) and expires_at > indexed_until(head) then
  if not ARGV[3] or user_section(head) ~= ARGV[4] then return head end
  redis.call('SETRANGE', KEYS[1], #head - ${INSTANT}, ARGV[3])
end
redis.call('SETRANGE', KEYS[1], '0', ARGV[1])
redis.call('PEXPIREAT', KEYS[1], ARGV[2])
return ${DONE}
`);

/**
 * ARGV: the plain channel, a message, and in a cluster the shard's channel. Replies with the head of the value if the
 * session had a user.
 */
export const DELETE = defineScript(`${HELPERS}${NOTIFY}
local head = read_head(KEYS[1])
if head == '' then return reply_missing(KEYS[1]) end
local refusal = publish(ARGV[1], ARGV[2], ARGV[3])
if refusal then return refusal end
redis.call('DEL', KEYS[1])
if has_user(head) then return with_unpublished(head) end
return with_unpublished(${DONE})
`);

/**
 * Writes a session's key and leaves it as it is. WAIT then also covers what other connections have written to it, or deleted,
 * before.
 */
export const WRITE_MARKER = defineScript(`
if redis.call('SET', KEYS[1], '', 'NX', 'PX', 60000) then redis.call('DEL', KEYS[1])
else redis.call('SETRANGE', KEYS[1], 0, redis.call('GETRANGE', KEYS[1], 0, 0)) end
return ${DONE}
`);

/**
 * Adds a session to its user's index: a sorted set of encoded ids. The score is the instant until which the entry is sure
 * to stay. A score is never used twice for a session, so that removing an entry by its score cannot remove a newer one.
 *
 * ARGV: the encoded id; until when; an instant that is certainly over; how long the key outlives its entries, in
 * milliseconds. Replies with the score, and with a few entries whose time is over.
 */
export const ADD_TO_INDEX = defineScript(`
local score = tonumber(ARGV[2])
local old = redis.call('ZSCORE', KEYS[1], ARGV[1])
if old and tonumber(old) >= score then score = tonumber(old) + 1 end
redis.call('ZADD', KEYS[1], string.format('%.0f', score), ARGV[1])
local last = redis.call('ZREVRANGE', KEYS[1], 0, 0, 'WITHSCORES')
redis.call('PEXPIREAT', KEYS[1], string.format('%.0f', tonumber(last[2]) + tonumber(ARGV[4])))
local reply = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[3], 'WITHSCORES', 'LIMIT', 0, 4)
table.insert(reply, 1, string.format('%.0f', score))
return reply
`);

/**
 * Replies with all encoded ids of an index. The ZREM removes nothing, but makes the script a write. A server that has
 * become a replica, or has lost replicas that it must have, may lack the latest sessions. It refuses writes.
 */
export const LIST_INDEX = defineScript(`
redis.call('ZREM', KEYS[1], '')
return redis.call('ZRANGE', KEYS[1], 0, -1)
`);

/** ARGV: encoded ids, each followed by the score that its entry had when it was read. */
export const REMOVE_FROM_INDEX = defineScript(`
for i = 1, #ARGV, 2 do
  local score = redis.call('ZSCORE', KEYS[1], ARGV[i])
  if score and tonumber(score) == tonumber(ARGV[i + 1]) then redis.call('ZREM', KEYS[1], ARGV[i]) end
end
return ${DONE}
`);

const MAX_NUMBER_DIGITS = 2;

/** Runs a script on one key. If the server does not know the script, it has done nothing, and is sent its text. */
export function runScript(
  driver: Pick<RedisDriver, "send">,
  { sha, text }: RedisScript,
  key: string,
  args: RedisArguments,
): Promise<unknown> {
  return driver.send(key, ["EVALSHA", sha, "1", key, ...args]).then(parseReply, async (error: unknown) => {
    // ioredis wraps the error during a cluster's failover.
    if (!(error instanceof Error) || !/\bNOSCRIPT\b/.test(error.message)) throw error;
    return parseReply(await driver.send(key, ["EVAL", text, "1", key, ...args]));
  });
}

/** The inner reply of a script that could not publish its message; `undefined` if the message is published. */
export function unpublishedReply(reply: unknown): { reply: unknown } | undefined {
  return Array.isArray(reply) ? { reply: parseReply(reply[0]) } : undefined;
}

/** Some settings of clients turn numbers into text. The head of a value is longer than any number of a reply. */
function parseReply(reply: unknown): unknown {
  if (Array.isArray(reply) || (Buffer.isBuffer(reply) && reply.length > MAX_NUMBER_DIGITS)) return reply;
  return Number(reply);
}
