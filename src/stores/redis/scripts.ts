import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import type { RedisArguments, RedisDriver } from "./client.ts";
import {
  ENCODING_BITS,
  FIRST_FLAGS_WITH_USER,
  FLAGS_OFFSET,
  INSTANT_BYTES,
  USER_LENGTH_BYTES,
  VERSION_BITS,
  VERSION_OFFSET,
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
// value.ts describes the bytes of a value. The numbers below are its offsets; Lua counts from 1.
const FLAGS = FLAGS_OFFSET + 1;
const VERSION = VERSION_OFFSET + 1;
const INSTANT = INSTANT_BYTES;
const USER_LENGTH = USER_LENGTH_BYTES;
const VERSIONS = 2 ** VERSION_BITS;
const ENCODINGS = 2 ** ENCODING_BITS;

/** The part of a value that is read in order to find its user. Longer user ids need a second read. */
const VALUE_HEAD_BYTES = 256;

/** Lua for the position of `indexedUntil`, or of the payload if there is no user. It follows the version. */
const afterVersion = (flags: string): string => `${VERSION + 1} + ${flags} % ${VERSIONS}`;

// `is_repeated`: a client may send a command again after it lost its connection. The value is then there already; only
// the times that a touch moves may differ. One byte is written again, so that WAIT counts it as a write of this connection.
// `reply_missing`: the key does not exist. On a replica, which may be behind, the DEL makes that an error and not a "no".
const HELPERS = `
local function after_version(head)
  local flags = string.byte(head, ${FLAGS})
  return ${afterVersion("flags")}
end
local function user_encoding(head) return math.floor(string.byte(head, ${FLAGS}) / ${VERSIONS}) % ${ENCODINGS} end
local function has_user(head) return user_encoding(head) > 0 end
local function read_number(bytes, from, length)
  local value = 0
  for i = from, from + length - 1 do value = value * 256 + string.byte(bytes, i) end
  return value
end
local function read_instant(bytes, from) return read_number(bytes, from, ${INSTANT}) end
local function read_head(key)
  local head = redis.call('GETRANGE', key, 0, ${VALUE_HEAD_BYTES - 1})
  if head == '' or not has_user(head) then return head end
  local from = after_version(head) + ${INSTANT}
  local last = from + ${USER_LENGTH - 1} + read_number(head, from, ${USER_LENGTH})
  if last > #head then return redis.call('GETRANGE', key, 0, last - 1) end
  return string.sub(head, 1, last)
end
local function user_section(head) return string.sub(head, after_version(head) + ${INSTANT}) end
local function reply_missing(key)
  redis.call('DEL', key)
  return ${REFUSED}
end
local function is_repeated(key, value)
  local stored = redis.call('GET', key)
  if not stored or #stored ~= #value or #stored < ${VERSION} then return false end
  local from = after_version(value)
  if after_version(stored) ~= from then return false end
  if string.sub(stored, ${FLAGS}, from - 1) ~= string.sub(value, ${FLAGS}, from - 1) then return false end
  if has_user(value) then from = from + ${INSTANT} end
  if string.sub(stored, from) ~= string.sub(value, from) then return false end
  redis.call('SETRANGE', key, ${WRITE_COUNT_OFFSET}, string.sub(value, ${WRITE_COUNT_OFFSET + 1}, ${WRITE_COUNT_OFFSET + 1}))
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

/** Lua that reads an instant into one local variable for each byte, and the expression that puts them together. */
function instantInLocals(name: string, bytes: string, from: string): { read: string; value: string } {
  const locals = Array.from({ length: INSTANT }, (_, index) => `${name}${index}`);
  return {
    read: `local ${locals.join(", ")} = string.byte(${bytes}, ${from}, ${from} + ${INSTANT - 1})`,
    value: locals.reduce((high, low) => `(${high}) * 256 + ${low}`),
  };
}

const NEW_END = instantInLocals("e", "ARGV[1]", "1");
const INDEXED_UNTIL = instantInLocals("u", "head", "from");

// The fast path of nearly every update: the same user or none, indexed for long enough, and no notification. It comes
// before the helpers, because the server creates those functions at every run. An update takes half the time this way.
const FAST_UPDATE = `
local flags = string.byte(ARGV[1], ${FLAGS})
if not ARGV[6] and #ARGV[5] == 1 and (flags < ${FIRST_FLAGS_WITH_USER} or ARGV[5] == '0') then
  local head = redis.call('GETRANGE', KEYS[1], 0, ${VALUE_HEAD_BYTES - 1})
  local before = string.byte(head, ${FLAGS})
  if before and before - before % ${VERSIONS} == flags - flags % ${VERSIONS} then
    local from = ${afterVersion("before")}
    if string.sub(head, ${VERSION}, from - 1) == ARGV[3] then
      if flags < ${FIRST_FLAGS_WITH_USER} then
        redis.call('SET', KEYS[1], ARGV[1], 'PXAT', ARGV[2])
        return ${DONE}
      end
      local to = ${afterVersion("flags")}
      local last = ${INSTANT - 1} + tonumber(ARGV[4])
      if from + last <= #head
        and string.sub(head, from + ${INSTANT}, from + last) == string.sub(ARGV[1], to + ${INSTANT}, to + last) then
        ${NEW_END.read}
        ${INDEXED_UNTIL.read}
        if ${NEW_END.value} <= ${INDEXED_UNTIL.value} then
          local value = string.sub(ARGV[1], 1, to - 1) .. string.sub(head, from, from + ${INSTANT - 1})
            .. string.sub(ARGV[1], to + ${INSTANT})
          redis.call('SET', KEYS[1], value, 'PXAT', ARGV[2])
          return ${DONE}
        end
      end
    end
  end
end
`;

/** ARGV: the value, the expiry for PXAT. */
export const CREATE = defineScript(`${HELPERS}
if redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PXAT', ARGV[2]) then return ${DONE} end
if is_repeated(KEYS[1], ARGV[1]) then return ${DONE} end
return ${REFUSED}
`);

/**
 * ARGV: 1 the value; 2 the expiry for PXAT; 3 the expected version; 4 the bytes of the user section in the value; 5 '1' if
 * the index contains the session until `indexedUntil` of the value, else '0', followed by '+' if the session must not
 * expire earlier than before; then the plain channel, a message and the shard's channel, or nothing.
 *
 * Replies with the head of the value before if the user was another.
 */
export const UPDATE = defineScript(`${FAST_UPDATE}${HELPERS}${NOTIFY}
local head = read_head(KEYS[1])
if head == '' then return reply_missing(KEYS[1]) end
local value = ARGV[1]
local from = after_version(head)
if string.sub(head, ${VERSION}, from - 1) ~= ARGV[3] then
  if is_repeated(KEYS[1], value) then return ${DONE} end
  return ${REFUSED}
end
local to = after_version(value)
local pxat = ARGV[2]
if #ARGV[5] > 1 and read_instant(head, 1) > read_instant(value, 1) then
  value = string.sub(head, 1, ${INSTANT}) .. string.sub(value, ${INSTANT + 1})
  pxat = string.format('%.0f', math.max(1, read_instant(head, 1) - 1))
end
local same_user = false
if has_user(head) and has_user(value) then
  local last = ${INSTANT - 1} + tonumber(ARGV[4])
  same_user = user_section(head) == string.sub(value, to + ${INSTANT}, to + last)
    and user_encoding(head) == user_encoding(value)
end
if has_user(value) and string.sub(ARGV[5], 1, 1) == '0' then
  if not same_user or read_instant(value, 1) > read_instant(head, from) then return ${NOT_INDEXED} end
  value = string.sub(value, 1, to - 1) .. string.sub(head, from, from + ${INSTANT - 1})
    .. string.sub(value, to + ${INSTANT})
elseif has_user(value) and read_instant(value, 1) > read_instant(value, to) then
  return ${NOT_INDEXED}
end
local refusal = ARGV[6] and publish(ARGV[6], ARGV[7], ARGV[8])
if refusal then return refusal end
redis.call('SET', KEYS[1], value, 'PXAT', pxat)
if has_user(head) and not same_user then return with_unpublished(head) end
return with_unpublished(${DONE})
`);

/**
 * ARGV: 1 the new expiry as a value contains it; 2 the expiry for PXAT; and if the session has been indexed: 3 until when,
 * 4 the user section and 5 the encoding of the user that it was indexed for.
 *
 * Replies with the head of the value if the session must be indexed first.
 */
export const TOUCH = defineScript(`${HELPERS}
local head = read_head(KEYS[1])
if head == '' then return reply_missing(KEYS[1]) end
local expires_at = read_instant(ARGV[1], 1)
if expires_at <= read_instant(head, 1) then return ${DONE} end
if has_user(head) and expires_at > read_instant(head, after_version(head)) then
  if not ARGV[3] or user_section(head) ~= ARGV[4] or user_encoding(head) ~= tonumber(ARGV[5]) then return head end
  redis.call('SETRANGE', KEYS[1], after_version(head) - 1, ARGV[3])
end
redis.call('SETRANGE', KEYS[1], 0, ARGV[1])
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
export async function runScript(
  driver: Pick<RedisDriver, "send">,
  { sha, text }: RedisScript,
  key: string,
  args: RedisArguments,
): Promise<unknown> {
  try {
    return parseReply(await driver.send(key, ["EVALSHA", sha, "1", key, ...args]));
  } catch (error) {
    // ioredis wraps the error during a cluster's failover.
    if (!(error instanceof Error) || !/\bNOSCRIPT\b/.test(error.message)) throw error;
    return parseReply(await driver.send(key, ["EVAL", text, "1", key, ...args]));
  }
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
