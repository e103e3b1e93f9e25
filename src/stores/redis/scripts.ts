import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import type { RedisClient, Words } from "./client.ts";

/** A script, and the name that the server knows it by. */
export interface Script {
  readonly text: string;
  readonly sha: string;
}

function script(text: string): Script {
  return { text, sha: createHash("sha1").update(text).digest("hex") };
}

/** A reply: what was asked for is done, or has been before. */
export const DONE = 1;
/** A reply: there is no such session, or it has another version. */
export const REFUSED = 0;
/** A reply: nothing was done, the user's index must name the session first. */
export const NOT_INDEXED = -1;

// Each script touches one key, the session's. They judge by what the server has: a key that has expired is not there.
// The bytes of a value are described in redis-record.ts; Lua counts from 1.

// `at`: where the ownership begins. `first`: the beginning of a value, enough for the user.
// `repeated`: a client may send a command again after it lost its connection; the value then is there already, but for
// the times that touching moves. Writing a byte of it anew lets WAIT count it as a write of this connection too.
// `gone`: there is no such key here. On a replica, which may be behind, to delete it is an error, and no quiet "no".
const HELPERS = `
local function at(head) return 10 + string.byte(head, 7) % 8 end
local function kind(head) return math.floor(string.byte(head, 7) / 8) % 4 end
local function owned(head) return kind(head) > 0 end
local function number(bytes, from)
  local value = 0
  for i = from, from + 5 do value = value * 256 + string.byte(bytes, i) end
  return value
end
local function first(key)
  local head = redis.call('GETRANGE', key, 0, 255)
  if head == '' or not owned(head) then return head end
  local from = at(head) + 6
  local length = 0
  for i = from, from + 3 do length = length * 256 + string.byte(head, i) end
  local last = from + 3 + length
  if last > #head then return redis.call('GETRANGE', key, 0, last - 1) end
  return string.sub(head, 1, last)
end
local function owner(head) return string.sub(head, at(head) + 6) end
local function gone(key)
  redis.call('DEL', key)
  return 0
end
local function repeated(key, value)
  local found = redis.call('GET', key)
  if not found or #found ~= #value or #found < 9 or at(found) ~= at(value) then return false end
  local from = at(value)
  if string.sub(found, 7, from - 1) ~= string.sub(value, 7, from - 1) then return false end
  if owned(value) then from = from + 6 end
  if string.sub(found, from) ~= string.sub(value, from) then return false end
  redis.call('SETRANGE', key, 7, string.sub(value, 8, 8))
  return true
end
`;

// `tell`: before anything is written, so that a refusal for want of rights leaves all as it was. On a shard's channel, if
// there is one: where this server does not know them, on the plain one; where it does not have that channel's slot, the
// script goes on, and `replied` wraps the reply to say that the caller is to publish.
const NEWS = `
local untold = false
local function tell(plain, message, shard)
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
    untold = true
  end
  return nil
end
local function replied(reply)
  if untold then return {reply} end
  return reply
end
`;

// What nearly every update is: the same user as before, or none, indexed for long enough, and nobody to tell. It comes
// before the helpers, which the server makes anew for every run: an update takes half its time this way.
const USUAL = `
local flags = string.byte(ARGV[1], 7)
if not ARGV[6] and #ARGV[5] == 1 and (flags < 40 or ARGV[5] == '0') then
  local head = redis.call('GETRANGE', KEYS[1], 0, 255)
  local before = string.byte(head, 7)
  if before and before - before % 8 == flags - flags % 8 then
    local from = 10 + before % 8
    if string.sub(head, 9, from - 1) == ARGV[3] then
      if flags < 40 then
        redis.call('SET', KEYS[1], ARGV[1], 'PXAT', ARGV[2])
        return 1
      end
      local to = 10 + flags % 8
      local length = tonumber(ARGV[4])
      if from + 5 + length <= #head
        and string.sub(head, from + 6, from + 5 + length) == string.sub(ARGV[1], to + 6, to + 5 + length) then
        local a, b, c, d, e, f = string.byte(ARGV[1], 1, 6)
        local u, v, w, x, y, z = string.byte(head, from, from + 5)
        if ((((a * 256 + b) * 256 + c) * 256 + d) * 256 + e) * 256 + f
          <= ((((u * 256 + v) * 256 + w) * 256 + x) * 256 + y) * 256 + z then
          local value = string.sub(ARGV[1], 1, to - 1) .. string.sub(head, from, from + 5) .. string.sub(ARGV[1], to + 6)
          redis.call('SET', KEYS[1], value, 'PXAT', ARGV[2])
          return 1
        end
      end
    end
  end
end
`;

/** ARGV: the value, its end. */
export const CREATE = script(`${HELPERS}
if redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PXAT', ARGV[2]) then return 1 end
if repeated(KEYS[1], ARGV[1]) then return 1 end
return 0
`);

/**
 * ARGV: the value, its end, the version expected, the length of the user at the end of the value's head, whether the
 * index names the session until indexedUntil of the value ('1' or '0'; with '+' behind it the session's end is not moved
 * closer); the plain channel, a message and the shard's channel, or nothing.
 *
 * Where the user is another than before, replies with the beginning of the value before.
 */
export const UPDATE = script(`${USUAL}${HELPERS}${NEWS}
local head = first(KEYS[1])
if head == '' then return gone(KEYS[1]) end
local value = ARGV[1]
local from = at(head)
if string.sub(head, 9, from - 1) ~= ARGV[3] then
  if repeated(KEYS[1], value) then return 1 end
  return 0
end
local to = at(value)
local ending = ARGV[2]
if #ARGV[5] > 1 and number(head, 1) > number(value, 1) then
  value = string.sub(head, 1, 6) .. string.sub(value, 7)
  ending = string.format('%.0f', math.max(1, number(head, 1) - 1))
end
local same = false
if owned(head) and owned(value) then
  local length = tonumber(ARGV[4])
  same = owner(head) == string.sub(value, to + 6, to + 5 + length)
    and kind(head) == kind(value)
end
if owned(value) and string.sub(ARGV[5], 1, 1) == '0' then
  if not same or number(value, 1) > number(head, from) then return -1 end
  value = string.sub(value, 1, to - 1) .. string.sub(head, from, from + 5) .. string.sub(value, to + 6)
elseif owned(value) and number(value, 1) > number(value, to) then
  return -1
end
local refused = ARGV[6] and tell(ARGV[6], ARGV[7], ARGV[8])
if refused then return refused end
redis.call('SET', KEYS[1], value, 'PXAT', ending)
if owned(head) and not same then return replied(head) end
return replied(1)
`);

/**
 * ARGV: the new end as the value holds it, the end for the server; and where the index names the session, until when,
 * for whom, and how that is written. Where it must be indexed first, replies with the beginning of the value.
 */
export const TOUCH = script(`${HELPERS}
local head = first(KEYS[1])
if head == '' then return gone(KEYS[1]) end
local new = number(ARGV[1], 1)
if new <= number(head, 1) then return 1 end
if owned(head) and new > number(head, at(head)) then
  if not ARGV[3] or owner(head) ~= ARGV[4] or kind(head) ~= tonumber(ARGV[5]) then return head end
  redis.call('SETRANGE', KEYS[1], at(head) - 1, ARGV[3])
end
redis.call('SETRANGE', KEYS[1], 0, ARGV[1])
redis.call('PEXPIREAT', KEYS[1], ARGV[2])
return 1
`);

/**
 * ARGV: the plain channel, a message, and in a cluster the shard's channel. Replies with the beginning of the value of a
 * session that had a user.
 */
export const DELETE = script(`${HELPERS}${NEWS}
local head = first(KEYS[1])
if head == '' then return gone(KEYS[1]) end
local refused = tell(ARGV[1], ARGV[2], ARGV[3])
if refused then return refused end
redis.call('DEL', KEYS[1])
if owned(head) then return replied(head) end
return replied(1)
`);

/** Writes, and leaves nothing: WAIT then speaks for what others had deleted before. */
export const MARK = script(`
if redis.call('SET', KEYS[1], '', 'NX', 'PX', 60000) then redis.call('DEL', KEYS[1]) end
return 1
`);

/**
 * A user's index: a sorted set of names with the instant until which each is sure to be in it. A score never comes
 * twice, so that whoever removes an entry removes the one it has seen, and not a newer one.
 *
 * ARGV: a name, until when, an instant safely past, what the key outlives its entries by. Replies with the score, and a
 * few names and scores of entries whose time is over.
 */
export const INDEX = script(`
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
 * Every name in an index. It writes nothing, but as a write: a server that is a replica by now, or that its replicas have
 * left where it has to have some, may not know of the latest sessions, and refuses.
 */
export const NAMES = script(`
redis.call('ZREM', KEYS[1], '')
return redis.call('ZRANGE', KEYS[1], 0, -1)
`);

/** ARGV: names and the scores they were seen with. */
export const UNINDEX = script(`
for i = 1, #ARGV, 2 do
  local score = redis.call('ZSCORE', KEYS[1], ARGV[i])
  if score and tonumber(score) == tonumber(ARGV[i + 1]) then redis.call('ZREM', KEYS[1], ARGV[i]) end
end
return 1
`);

const LONGEST_NUMBER = 2;

/** Runs a script on one key. A server that does not know it has done nothing: it is then sent along. */
export async function run(
  client: Pick<RedisClient, "send">,
  { sha, text }: Script,
  key: string,
  words: Words,
): Promise<unknown> {
  try {
    return plain(await client.send(key, ["EVALSHA", sha, "1", key, ...words]));
  } catch (error) {
    // ioredis wraps it where a cluster is in the middle of a failover.
    if (!(error instanceof Error) || !/\bNOSCRIPT\b/.test(error.message)) throw error;
    return plain(await client.send(key, ["EVAL", text, "1", key, ...words]));
  }
}

/** The reply in one that says that the caller is to publish what the script could not. */
export function untold(reply: unknown): { reply: unknown } | undefined {
  return Array.isArray(reply) ? { reply: plain(reply[0]) } : undefined;
}

/** Settings of clients turn numbers into texts. The beginning of a value is longer than any number here. */
function plain(reply: unknown): unknown {
  if (Array.isArray(reply) || (Buffer.isBuffer(reply) && reply.length > LONGEST_NUMBER)) return reply;
  return Number(reply);
}
