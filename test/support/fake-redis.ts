import { createHash } from "node:crypto";
import { setImmediate as nextTurn } from "node:timers/promises";
import type { NodeRedisClient } from "../../src/stores/redis/store.ts";
import { luaScripts, type LuaValue } from "./lua.ts";

// A Redis in this process, as far as redisStore needs one: for where no server is. Real ones have the last word, in
// test/integration.

type SortedSet = Map<string, number>;

interface Entry {
  value: Buffer | SortedSet;
  /** Epoch milliseconds. */
  end: number;
}

type Subscriber = (channel: string, message: string) => void;

/** Connections of the package redis to it look like this one; `commands` names what it was sent. */
export interface FakeRedis extends NodeRedisClient {
  readonly commands: string[];
  subscribe(): never;
  /** Cuts every connection that listens. */
  cut(): void;
}

const binary = (word: Buffer): string => word.toString("latin1");

export function fakeRedis(clock: () => number = Date.now): FakeRedis {
  const keys = new Map<string, Entry>();
  const subscribers = new Set<Subscriber>();
  const cuts = new Set<() => void>();
  const scripts = new Map<string, string>();
  const commands: string[] = [];
  const evaluate = luaScripts((words) => obey(words));

  function found(key: string): Entry | undefined {
    const entry = keys.get(key);
    // A key can still be read in the millisecond in which it expires.
    if (entry === undefined || entry.end >= clock()) return entry;
    keys.delete(key);
    return undefined;
  }

  function bytesAt(key: string): Buffer | undefined {
    const value = found(key)?.value;
    if (value instanceof Map) throw new Error("WRONGTYPE Operation against a key holding the wrong kind of value");
    return value;
  }

  function setAt(key: string): SortedSet {
    const value = found(key)?.value ?? new Map<string, number>();
    if (!(value instanceof Map)) throw new Error("WRONGTYPE Operation against a key holding the wrong kind of value");
    return value;
  }

  const score = (value: number): Buffer => Buffer.from(value.toFixed(0));
  const ranked = (key: string): [string, number][] => Array.from(setAt(key)).toSorted(([, a], [, b]) => a - b);
  const listed = (members: readonly [string, number][], withScores: boolean): Buffer[] =>
    members.flatMap(([name, at]) =>
      withScores ? [Buffer.from(name, "latin1"), score(at)] : [Buffer.from(name, "latin1")],
    );
  /** As Redis counts: from the end where negative, the last one included. */
  function sliced<T extends { readonly length: number; slice(from: number, to: number): T }>(
    given: T,
    words: Buffer[],
  ): T {
    const [from, to] = words.slice(0, 2).map((word) => Number(word) + (Number(word) < 0 ? given.length : 0));
    return given.slice(from!, to! + 1);
  }

  const table: Record<string, (words: Buffer[], key: string) => LuaValue> = {
    PING: () => Buffer.from("PONG"),
    INFO: () => Buffer.from("run_id:fake\r\nmaster_replid:fake\r\nmaxmemory:0\r\nmaxmemory_policy:noeviction\r\n"),
    GET(_, key) {
      const value = bytesAt(key);
      return value ? Buffer.from(value) : null;
    },
    DEL: (_, key) => Number(found(key) !== undefined && keys.delete(key)),
    EXISTS: (_, key) => Number(found(key) !== undefined),
    SET([, value, ...options], key) {
      const words = options.map(String);
      if (words.includes("NX") && found(key)) return null;
      const after = words.indexOf("PX");
      const at = words.indexOf("PXAT");
      const end = at >= 0 ? Number(words[at + 1]) : after >= 0 ? clock() + Number(words[after + 1]) : Infinity;
      keys.set(key, { value: Buffer.from(value!), end });
      return Buffer.from("OK");
    },
    GETRANGE: ([, ...range], key) => sliced(bytesAt(key) ?? Buffer.alloc(0), range),
    SETRANGE([, offset, part], key) {
      const value = Buffer.from(bytesAt(key)!);
      part!.copy(value, Number(offset));
      found(key)!.value = value;
      return value.length;
    },
    PEXPIREAT([, end], key) {
      const entry = found(key);
      if (entry) entry.end = Number(end);
      return Number(entry !== undefined);
    },
    ZADD([, at, name], key) {
      const set = setAt(key);
      set.set(binary(name!), Number(at));
      if (!found(key)) keys.set(key, { value: set, end: Infinity });
      return 1;
    },
    ZSCORE([, name], key) {
      const at = setAt(key).get(binary(name!));
      return at === undefined ? null : score(at);
    },
    ZREM([, name], key) {
      const set = setAt(key);
      const was = set.delete(binary(name!));
      if (set.size === 0) keys.delete(key);
      return Number(was);
    },
    ZRANGE: ([, ...range], key) => listed(sliced(ranked(key), range), range.length > 2),
    ZREVRANGE: ([, ...range], key) => listed(sliced(ranked(key).toReversed(), range), range.length > 2),
    ZRANGEBYSCORE([, , to, ...options], key) {
      const [, offset = 0, count = Infinity] = options.map(String).includes("LIMIT")
        ? options.slice(-3).map(Number)
        : [];
      const below = ranked(key).filter(([, at]) => at <= Number(to));
      return listed(below.slice(offset, offset + count), options.map(String).includes("WITHSCORES"));
    },
    ZSCAN: (_, key) => [Buffer.from("0"), listed(ranked(key), true)],
    SCAN([, , pattern]) {
      // All that the store asks for is a beginning, with signs of patterns escaped.
      const beginning = binary(pattern!).replace(/\*$/, "").replaceAll(/\\(.)/gs, "$1");
      const names = Array.from(keys.keys()).filter((key) => found(key) && key.startsWith(beginning));
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
      return table["EVAL"]!([Buffer.from(text), ...rest], "");
    },
  };

  function obey([name, ...words]: Buffer[]): LuaValue {
    const command = table[String(name)];
    if (!command) throw new Error(`ERR unknown command '${String(name)}'`);
    return command(words, words[0] ? binary(words[0]) : "");
  }

  function listener() {
    const mine = new Set<Subscriber>();
    const events: Record<string, (...told: unknown[]) => void> = {};
    const destroy = (): void => {
      for (const each of mine) subscribers.delete(each);
      cuts.delete(cut);
    };
    const cut = (): void => {
      destroy();
      events["error"]?.(new Error("the connection is cut"));
    };
    return {
      on: (event: string, listen: (...told: unknown[]) => void) => void (events[event] = listen),
      connect: async () => void cuts.add(cut),
      ping: async () => "PONG",
      async subscribe(wanted: string, hear: (message: string) => void) {
        const subscriber: Subscriber = (channel, message) =>
          channel === Buffer.from(wanted).toString("latin1") && hear(message);
        mine.add(subscriber);
        subscribers.add(subscriber);
      },
      destroy,
    };
  }

  return {
    options: {},
    commands,
    async sendCommand(words) {
      const sent = words.map((word) => Buffer.from(word));
      commands.push(String(sent[0]));
      await nextTurn();
      const reply = obey(sent);
      await nextTurn();
      return reply;
    },
    duplicate: listener,
    subscribe() {
      throw new Error("redisStore listens on a connection of its own");
    },
    cut() {
      for (const each of cuts) each();
    },
  };
}
