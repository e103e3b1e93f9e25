import { createHash } from "node:crypto";
import { setImmediate as nextTurn } from "node:timers/promises";
import type { NodeRedisClient } from "../../src/stores/redis/store.ts";
import { luaScripts, type LuaValue } from "./lua.ts";

// A fake Redis with the commands that redisStore uses, for tests without a server. Its scripts run in a real Lua
// interpreter. test/integration runs the same contract on real servers.

type SortedSet = Map<string, number>;

interface Entry {
  value: Buffer | SortedSet;
  /** Epoch milliseconds. */
  expiresAt: number;
}

type Subscriber = (channel: string, message: string) => void;

/** A client of the package redis. `commands` has the names of the commands that it was sent. */
export interface FakeRedis extends NodeRedisClient {
  readonly commands: string[];
  subscribe(): never;
  /** Closes every listener connection, as an outage does. */
  cutListeners(): void;
}

const toKey = (bytes: Buffer): string => bytes.toString("latin1");

export function fakeRedis(clock: () => number = Date.now): FakeRedis {
  const keys = new Map<string, Entry>();
  const subscribers = new Set<Subscriber>();
  const cuts = new Set<() => void>();
  const scripts = new Map<string, string>();
  const commands: string[] = [];
  const evaluate = luaScripts((command) => runCommand(command));

  function findEntry(key: string): Entry | undefined {
    const entry = keys.get(key);
    // A key can still be read in the millisecond in which it expires.
    if (entry === undefined || entry.expiresAt >= clock()) return entry;
    keys.delete(key);
    return undefined;
  }

  function getString(key: string): Buffer | undefined {
    const value = findEntry(key)?.value;
    if (value instanceof Map) throw new Error("WRONGTYPE Operation against a key holding the wrong kind of value");
    return value;
  }

  function getSortedSet(key: string): SortedSet {
    const value = findEntry(key)?.value ?? new Map<string, number>();
    if (!(value instanceof Map)) throw new Error("WRONGTYPE Operation against a key holding the wrong kind of value");
    return value;
  }

  const encodeScore = (value: number): Buffer => Buffer.from(value.toFixed(0));
  const sortByScore = (key: string): [string, number][] =>
    Array.from(getSortedSet(key)).toSorted(([, a], [, b]) => a - b);
  const listMembers = (members: readonly [string, number][], withScores: boolean): Buffer[] =>
    members.flatMap(([name, at]) =>
      withScores ? [Buffer.from(name, "latin1"), encodeScore(at)] : [Buffer.from(name, "latin1")],
    );
  /** Slices as Redis does: negative positions count from the end, and the last position is included. */
  function slice<T extends { readonly length: number; slice(from: number, to: number): T }>(
    given: T,
    positions: Buffer[],
  ): T {
    const [from, to] = positions.slice(0, 2).map((at) => Number(at) + (Number(at) < 0 ? given.length : 0));
    return given.slice(from!, to! + 1);
  }

  const commandTable: Record<string, (args: Buffer[], key: string) => LuaValue> = {
    PING: () => Buffer.from("PONG"),
    INFO: () => Buffer.from("run_id:fake\r\nmaster_replid:fake\r\nmaxmemory:0\r\nmaxmemory_policy:noeviction\r\n"),
    GET(_, key) {
      const value = getString(key);
      return value ? Buffer.from(value) : null;
    },
    DEL: (_, key) => Number(findEntry(key) !== undefined && keys.delete(key)),
    EXISTS: (_, key) => Number(findEntry(key) !== undefined),
    SET([, value, ...options], key) {
      const flags = options.map(String);
      if (flags.includes("NX") && findEntry(key)) return null;
      const px = flags.indexOf("PX");
      const pxat = flags.indexOf("PXAT");
      const expiresAt = pxat >= 0 ? Number(flags[pxat + 1]) : px >= 0 ? clock() + Number(flags[px + 1]) : Infinity;
      keys.set(key, { value: Buffer.from(value!), expiresAt });
      return Buffer.from("OK");
    },
    GETRANGE: ([, ...range], key) => slice(getString(key) ?? Buffer.alloc(0), range),
    SETRANGE([, offset, part], key) {
      const value = Buffer.from(getString(key)!);
      part!.copy(value, Number(offset));
      findEntry(key)!.value = value;
      return value.length;
    },
    PEXPIREAT([, expiresAt], key) {
      const entry = findEntry(key);
      if (entry) entry.expiresAt = Number(expiresAt);
      return Number(entry !== undefined);
    },
    ZADD([, score, member], key) {
      const set = getSortedSet(key);
      set.set(toKey(member!), Number(score));
      if (!findEntry(key)) keys.set(key, { value: set, expiresAt: Infinity });
      return 1;
    },
    ZSCORE([, member], key) {
      const at = getSortedSet(key).get(toKey(member!));
      return at === undefined ? null : encodeScore(at);
    },
    ZREM([, member], key) {
      const set = getSortedSet(key);
      const wasMember = set.delete(toKey(member!));
      if (set.size === 0) keys.delete(key);
      return Number(wasMember);
    },
    ZRANGE: ([, ...range], key) => listMembers(slice(sortByScore(key), range), range.length > 2),
    ZREVRANGE: ([, ...range], key) => listMembers(slice(sortByScore(key).toReversed(), range), range.length > 2),
    ZRANGEBYSCORE([, , to, ...options], key) {
      const [, offset = 0, count = Infinity] = options.map(String).includes("LIMIT")
        ? options.slice(-3).map(Number)
        : [];
      const below = sortByScore(key).filter(([, at]) => at <= Number(to));
      return listMembers(below.slice(offset, offset + count), options.map(String).includes("WITHSCORES"));
    },
    ZSCAN: (_, key) => [Buffer.from("0"), listMembers(sortByScore(key), true)],
    SCAN([, , pattern]) {
      // The store's patterns are a prefix, with special characters escaped, and a star.
      const prefix = toKey(pattern!).replace(/\*$/, "").replaceAll(/\\(.)/gs, "$1");
      const names = Array.from(keys.keys()).filter((key) => findEntry(key) && key.startsWith(prefix));
      return [Buffer.from("0"), names.map((key) => Buffer.from(key, "latin1"))];
    },
    PUBLISH([, message], channel) {
      for (const subscriber of subscribers) subscriber(channel, String(message));
      return subscribers.size;
    },
    EVAL([script, , key, ...args]) {
      const text = String(script);
      scripts.set(createHash("sha1").update(text).digest("hex"), text);
      return evaluate(text, [key!], args);
    },
    EVALSHA([sha, ...rest]) {
      const text = scripts.get(String(sha));
      if (text === undefined) throw new Error("NOSCRIPT No matching script. Please use EVAL.");
      return commandTable["EVAL"]!([Buffer.from(text), ...rest], "");
    },
  };

  function runCommand([name, ...args]: Buffer[]): LuaValue {
    const command = commandTable[String(name)];
    if (!command) throw new Error(`ERR unknown command '${String(name)}'`);
    return command(args, args[0] ? toKey(args[0]) : "");
  }

  function createListenerConnection() {
    const ownSubscribers = new Set<Subscriber>();
    const events: Record<string, (...args: unknown[]) => void> = {};
    const destroy = (): void => {
      for (const each of ownSubscribers) subscribers.delete(each);
      cuts.delete(cut);
    };
    const cut = (): void => {
      destroy();
      events["error"]?.(new Error("the connection is cut"));
    };
    return {
      on: (event: string, listener: (...args: unknown[]) => void) => void (events[event] = listener),
      connect: async () => void cuts.add(cut),
      ping: async () => "PONG",
      async subscribe(wanted: string, onMessage: (message: string) => void) {
        const subscriber: Subscriber = (channel, message) =>
          channel === Buffer.from(wanted).toString("latin1") && onMessage(message);
        ownSubscribers.add(subscriber);
        subscribers.add(subscriber);
      },
      destroy,
    };
  }

  return {
    options: {},
    commands,
    async sendCommand(command) {
      const args = command.map((argument) => Buffer.from(argument));
      commands.push(String(args[0]));
      await nextTurn();
      const reply = runCommand(args);
      await nextTurn();
      return reply;
    },
    duplicate: createListenerConnection,
    subscribe() {
      throw new Error("redisStore subscribes on a connection of its own");
    },
    cutListeners() {
      for (const each of cuts) each();
    },
  };
}
