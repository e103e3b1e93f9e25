import { randomBytes } from "node:crypto";
import { Cluster as IoCluster } from "ioredis";
import { Cluster as ValkeyCluster } from "iovalkey";
import { createCluster } from "redis";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { slotGroupTags } from "../../src/stores/redis/slot-groups.ts";
import { slotOf } from "../../src/stores/redis/slot.ts";
import {
  type RedisStore,
  redisStore,
  type RedisStoreClient,
  type RedisStoreOptions,
} from "../../src/stores/redis/store.ts";
import { moveSlots, REDIS_SERVER, type RedisServer, serving, startCluster } from "../support/redis.ts";
import { until } from "../support/throwaway.ts";

const HOUR = 3_600_000;
const PREFIX = "sojourn:";
const session = (version = 1, userId?: string) => ({
  payload: randomBytes(200),
  version,
  expiresAt: Date.now() + HOUR,
  userId,
});

/** An id whose key has a slot that is wanted. */
function idWith(wanted: (slot: number) => boolean): string {
  for (;;) {
    const id = randomBytes(16).toString("base64url");
    if (wanted(slotOf(PREFIX + id))) return id;
  }
}

const idIn = (group: number) => idWith((slot) => Math.floor(slot / 64) === group);
const everywhere = () => Array.from({ length: 256 }, (_, group) => idIn(group));

type Connected = { client: RedisStoreClient; end(): unknown };
type Account = { username?: string; password?: string };

const clients: Record<string, (nodes: readonly RedisServer[], account?: Account) => Promise<Connected>> = {
  async redis(nodes, account = {}) {
    const client = createCluster({
      rootNodes: nodes.map(({ port }) => ({ url: `redis://127.0.0.1:${port}` })),
      defaults: { ...account, disableOfflineQueue: true },
    }).on("error", () => {});
    await client.connect();
    return { client, end: () => client.destroy() };
  },
  async "redis with RESP2"(nodes, account = {}) {
    const client = createCluster({
      RESP: 2,
      rootNodes: nodes.map(({ port }) => ({ url: `redis://127.0.0.1:${port}` })),
      defaults: { ...account, disableOfflineQueue: true },
    }).on("error", () => {});
    await client.connect();
    return { client, end: () => client.destroy() };
  },
  async ioredis(nodes, account = {}) {
    const settings = { redisOptions: { maxRetriesPerRequest: 1, ...account } };
    const client = new IoCluster(
      nodes.map(({ port }) => ({ host: "127.0.0.1", port })),
      settings,
    ).on("error", () => {});
    return { client, end: () => client.disconnect() };
  },
  async iovalkey(nodes, account = {}) {
    const settings = { redisOptions: { maxRetriesPerRequest: 1, ...account } };
    const client = new ValkeyCluster(
      nodes.map(({ port }) => ({ host: "127.0.0.1", port })),
      settings,
    );
    client.on("error", () => {});
    return { client, end: () => client.disconnect() };
  },
};

interface Listener {
  readonly name: string;
  readonly store: RedisStore;
  readonly heard: string[];
  readonly states: boolean[];
}

const ends: (() => unknown)[] = [];

/** A store with each kind of client, all of which listen. */
async function listeners(nodes: readonly RedisServer[], options: RedisStoreOptions = {}): Promise<Listener[]> {
  const all = await Promise.all(
    Object.entries(clients).map(async ([name, connect]) => {
      const { client, end } = await connect(nodes);
      const store = redisStore(client, options);
      const heard: string[] = [];
      const states: boolean[] = [];
      store.subscribe({
        ended: (id) => heard.push(`-${id}`),
        changed: (id) => heard.push(`+${id}`),
        listening: (is) => states.push(is),
      });
      ends.push(async () => {
        await store.close();
        await end();
      });
      return { name, store, heard, states };
    }),
  );
  await until("all listen", () => all.every(({ states }) => states.at(-1)));
  return all;
}

const EVERYBODY = Object.keys(clients);

/**
 * Ends sessions with each store in turn, and names those that hear of each, and of each once. Who says meanwhile that it
 * may not hear, as after a failover before every node knows of it, owes nothing: then all begin anew.
 */
async function whoHears(all: readonly Listener[], ids: readonly string[]): Promise<string[]> {
  await until("all listen", () => all.every(({ states }) => states.length === 0 || states.at(-1)));
  const turns = all.map(({ states }) => states.length);
  const wasDeaf = ({ states }: Listener, index: number) => states.slice(turns[index]).includes(false);
  for (const { heard } of all) heard.length = 0;
  await Promise.all(ids.map((id, index) => all[index % all.length]!.store.create(id, session())));
  const ended = await Promise.all(ids.map((id, index) => all[index % all.length]!.store.delete(id)));
  expect(ended).toEqual(ids.map(() => true));
  const expected = ids.map((id) => `-${id}`).toSorted();
  for (const [index, listener] of all.entries()) {
    const { name, heard } = listener;
    await until(
      `${name} has heard of ${ids.length}, or says that it may not have`,
      () => heard.length >= ids.length || wasDeaf(listener, index),
    );
  }
  if (all.some(wasDeaf)) return whoHears(all, ids);
  return all.filter(({ heard }) => String(heard.toSorted()) === String(expected)).map(({ name }) => name);
}

/** The primary that has a slot, and another one. */
async function holdersOf(nodes: readonly RedisServer[], slot: number): Promise<[RedisServer, RedisServer]> {
  const holder = await until("somebody has the slot", async () => {
    for (const node of nodes) {
      const reply = await node.ask("GET", `{${slotGroupTags()[Math.floor(slot / 64)]}}`);
      const isReplica = (await node.ask("ROLE")).includes("slave");
      if (!reply.startsWith("-MOVED") && !isReplica) return node;
    }
    return undefined;
  });
  for (const node of nodes) {
    if (node !== holder && (await node.ask("ROLE")).includes("master")) return [holder, node];
  }
  throw new Error("there is one primary only");
}

/** A cluster's client whose listening connections subscribe to one of the channels once `before` has happened. */
function withChannelHeldBack(client: RedisStoreClient, tag: string, before: () => Promise<void>): RedisStoreClient {
  const last = `${PREFIX}@@changes{${tag}}`;
  type Subscribe = (channel: string, ...rest: unknown[]) => Promise<unknown>;
  const holding = <Node extends object>(node: Node, name: string): Node =>
    replacing(node, "duplicate", (duplicate) => (...given: unknown[]) => {
      const connection = (duplicate as (...given: unknown[]) => object)(...given);
      return replacing(connection, name, (subscribe) => async (channel: string, ...rest: unknown[]) => {
        if (channel === last) await before();
        return (subscribe as Subscribe)(channel, ...rest);
      });
    });
  const kept = new WeakMap<object, object>();
  const once = (node: object, name: string) => {
    if (!kept.has(node)) kept.set(node, holding(node, name));
    return kept.get(node)!;
  };
  if ("nodes" in client) {
    return replacing(
      client,
      "nodes",
      (nodes) => (role: unknown) =>
        (nodes as (role: unknown) => object[])(role).map((node) => once(node, "ssubscribe")),
    );
  }
  return replacing(
    client,
    "nodeClient",
    (nodeClient) => async (node: unknown) =>
      once(await (nodeClient as (node: unknown) => Promise<object>)(node), "sSubscribe"),
  );
}

/** An object, but for one method. */
function replacing<Target extends object>(target: Target, name: string, how: (method: unknown) => unknown): Target {
  return new Proxy(target, {
    get(_, asked) {
      const member = Reflect.get(target, asked) as unknown;
      const method: unknown = typeof member === "function" ? member.bind(target) : member;
      return asked === name ? how(method) : method;
    },
  });
}

/** What has been published: over the bus to every node, within shards, and by commands. */
async function published(nodes: readonly RedisServer[]) {
  const sum = { bus: 0, shards: 0, publish: 0, spublish: 0 };
  for (const node of nodes) {
    const bus = await node.ask("CLUSTER", "INFO");
    const stats = await node.ask("INFO", "commandstats");
    const count = (text: string, pattern: RegExp) => Number(pattern.exec(text)?.[1] ?? 0);
    sum.bus += count(bus, /messages_publish_sent:(\d+)/);
    sum.shards += count(bus, /messages_publishshard_sent:(\d+)/);
    sum.publish += count(stats, /cmdstat_publish:calls=(\d+)/);
    sum.spublish += count(stats, /cmdstat_spublish:calls=(\d+)/);
  }
  return sum;
}

afterEach(async () => {
  for (const end of ends.splice(0)) await end();
});

describe.skipIf(!REDIS_SERVER)("redisStore in a cluster", () => {
  let cluster: Awaited<ReturnType<typeof startCluster>>;
  beforeAll(async () => (cluster = await startCluster()));
  afterAll(() => cluster.end());

  it("tells of ends and changes in every group of slots, within the shard and nowhere else", async () => {
    const all = await listeners(cluster.nodes, { announceChanges: true });
    const before = await published(cluster.nodes);
    expect(await whoHears(all, everywhere())).toEqual(EVERYBODY);
    const id = idIn(7);
    await all[0]!.store.create(id, session());
    for (const [index, { store }] of all.entries()) await store.update(id, session(index + 2), index + 1);
    for (const { heard } of all)
      await until("it has heard", () => heard.filter((one) => one === `+${id}`).length === 4);
    const after = await published(cluster.nodes);
    // Each shard has one replica, which is told by the bus.
    expect({ ...after, shards: after.shards - before.shards, spublish: after.spublish - before.spublish }).toEqual({
      bus: 0,
      publish: 0,
      shards: 256 + 4,
      spublish: 256 + 4,
    });
  });

  it("tells of sessions in the groups that two nodes share, from either side", async () => {
    const all = await listeners(cluster.nodes);
    const before = await published(cluster.nodes);
    const ids: string[] = [];
    for (const bound of [5461, 10_923]) {
      const first = 64 * Math.floor(bound / 64);
      for (const _ of all) ids.push(idWith((slot) => slot >= first && slot < bound));
      for (const _ of all) ids.push(idWith((slot) => slot >= bound && slot < first + 64));
    }
    expect(await whoHears(all, ids)).toEqual(EVERYBODY);
    const after = await published(cluster.nodes);
    expect(after.spublish - before.spublish).toBe(ids.length);
    expect(after.publish).toBe(0);
  });

  it("tells of changes in the groups that two nodes share, whosever the sessions are", async () => {
    const [changing, hearing] = await listeners(cluster.nodes, { announceChanges: true });
    for (const side of [5460, 5461]) {
      const id = idWith((slot) => slot === side);
      await changing!.store.create(id, session(1, "ada"));
      expect(await changing!.store.update(id, session(2, "ada"), 1)).toBe(true);
      expect(await changing!.store.update(id, session(3, "grace"), 2)).toBe(true);
      expect(await changing!.store.update(id, session(3, "grace"), 2)).toBe(false);
      expect(await changing!.store.delete(id)).toBe(true);
      await until("it has heard of all", () => hearing!.heard.includes(`-${id}`));
      expect(hearing!.heard).toEqual([`+${id}`, `+${id}`, `-${id}`]);
      hearing!.heard.length = 0;
    }
  });

  it("works with the rights that the documentation asks for, and does nothing where one is missing", async () => {
    const rights =
      "on >secret resetchannels &sojourn:* ~sojourn:* " +
      "+get +getrange +set +setrange +pexpireat +del +evalsha +eval +publish +spublish +subscribe +ssubscribe " +
      "+unsubscribe +sunsubscribe +ping +scan +zadd +zscore +zrem +zrange +zrevrange +zrangebyscore " +
      "+hello +client +info +cluster";
    const allow = (...words: string[]) =>
      Promise.all(cluster.nodes.map((node) => node.ask("ACL", "SETUSER", "web", ...words)));
    await allow(...rights.split(" "));
    for (const [name, connect] of Object.entries(clients)) {
      const { client, end } = await connect(cluster.nodes, { username: "web", password: "secret" });
      const store = redisStore(client);
      ends.push(() => store.close(), end);
      const heard: string[] = [];
      let listens = false;
      store.subscribe({ ended: (id) => heard.push(id), listening: (is) => (listens = is) });
      await until(`${name} listens`, () => listens);
      const id = idIn(85);
      await store.create(id, session());
      expect(await store.delete(id)).toBe(true);
      await until(`${name} has heard`, () => heard.includes(id));
      await store.create(id, session());
      for (const [taken, given] of [
        ["-spublish", "+spublish"],
        ["resetchannels", "&sojourn:*"],
      ] as const) {
        await allow(taken);
        await expect(store.delete(id)).rejects.toThrow(/can't|NOPERM|ACL/);
        expect(await store.read(id)).toBeDefined();
        await allow(given);
      }
    }
  });

  it("hears again, by itself, when slots have moved to another node", async () => {
    const all = await listeners(cluster.nodes);
    for (const { states } of all) states.length = 0;
    const [source, target] = cluster.nodes as [RedisServer, RedisServer];
    // Of one group the slot that its channel is in, all of others.
    const slots = [slotOf(slotGroupTags()[3]!), ...Array.from({ length: 128 }, (_, index) => 64 * 10 + index)];
    await moveSlots(cluster.nodes, slots, source, target);
    for (const { name, states } of all) {
      await until(`${name} has noticed and hears again`, () => states.includes(false) && states.at(-1));
    }
    expect(
      await whoHears(all, [...everywhere(), ...Array.from({ length: 8 }, () => idIn(3)), idIn(10), idIn(11)]),
    ).toEqual(EVERYBODY);
  });

  for (const name of EVERYBODY) {
    it(`never says that it hears while a slot has moved that was subscribed to a moment ago, with ${name}`, async () => {
      const { client, end } = await clients[name]!(cluster.nodes);
      ends.push(end);
      const slot = slotOf(slotGroupTags()[20]!);
      const [source, target] = await holdersOf(cluster.nodes, slot);
      // Another channel of the same node is subscribed to when the slot of this one has gone.
      let move: Promise<void> | undefined;
      const store = redisStore(
        withChannelHeldBack(
          client,
          slotGroupTags()[21]!,
          () => (move ??= moveSlots(cluster.nodes, [slot], source, target)),
        ),
      );
      ends.push(() => store.close());
      const heard: string[] = [];
      let listens = false;
      store.subscribe({ ended: (id) => heard.push(id), listening: (is) => (listens = is) });
      try {
        await until("it listens", () => listens);
        expect(move).toBeDefined();
        const id = idIn(20);
        await store.create(id, session());
        expect(await store.delete(id)).toBe(true);
        await until("it has heard, or says that it may not have", () => heard.includes(id) || !listens);
        expect(heard).toEqual([id]);
      } finally {
        await moveSlots(cluster.nodes, [slot], target, source);
      }
    });
  }

  it("hears again, by itself, when a replica has taken over, asked to or because the primary was killed", async () => {
    const all = await listeners(cluster.nodes);
    for (const { states } of all) states.length = 0;
    await until("the replica has taken over", async () => {
      await cluster.nodes[4]!.ask("CLUSTER", "FAILOVER");
      return (await cluster.nodes[4]!.ask("INFO", "replication")).includes("role:master");
    });
    for (const { name, states } of all) {
      await until(`${name} has noticed and hears again`, () => states.includes(false) && states.at(-1));
    }
    expect(await whoHears(all, everywhere())).toEqual(EVERYBODY);
    for (const { states } of all) states.length = 0;
    const [killed] = cluster.nodes.slice(2, 3) as [RedisServer];
    await killed.kill();
    for (const { name, states } of all) {
      await until(`${name} has noticed and hears again`, () => states.includes(false) && states.at(-1));
    }
    await serving(cluster.nodes.filter((node) => node !== killed));
    expect(await whoHears(all, everywhere())).toEqual(EVERYBODY);
  });
});

describe.skipIf(!REDIS_SERVER)("redisStore in a cluster that is being upgraded from Redis 6.2", () => {
  it("tells and hears on the plain channel what a server can't tell within the shard", async () => {
    // What a server of that age does not know.
    const old = ["--rename-command", "SPUBLISH", "", "--rename-command", "SSUBSCRIBE", ""];
    // The node that has the channel of a group which it shares with a newer one.
    const oldest = slotOf(slotGroupTags()[85]!) < 5461 ? 0 : 1;
    const cluster = await startCluster((index) => (index % 3 === oldest ? old : []));
    try {
      const all = await listeners(cluster.nodes);
      const ids = everywhere();
      for (let turn = 0; turn < 2 * all.length; turn += 1) ids.push(idIn(85), idIn(170));
      expect(await whoHears(all, ids)).toEqual(EVERYBODY);
      const { publish, spublish } = await published(cluster.nodes);
      expect(publish).toBeGreaterThan(80);
      expect(spublish).toBeGreaterThan(160);
      expect(publish + spublish).toBe(ids.length);
    } finally {
      for (const end of ends.splice(0)) await end();
      await cluster.end();
    }
  });
});
