import { randomBytes } from "node:crypto";
import { Cluster as IoCluster } from "ioredis";
import { Cluster as ValkeyCluster } from "iovalkey";
import { createCluster } from "redis";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { slotGroupTags, slotOf } from "../../src/stores/redis/slots.ts";
import {
  type RedisStore,
  redisStore,
  type RedisStoreClient,
  type RedisStoreOptions,
} from "../../src/stores/redis/store.ts";
import { moveSlots, REDIS_SERVER, type RedisServer, waitUntilServing, startCluster } from "../support/redis.ts";
import { until } from "../support/throwaway.ts";

const HOUR = 3_600_000;
const PREFIX = "sojourn:";
const session = (version = 1, userId?: string) => ({
  payload: randomBytes(200),
  version,
  expiresAt: Date.now() + HOUR,
  userId,
});

/** An id whose key has a matching slot. */
function idWith(matches: (slot: number) => boolean): string {
  for (;;) {
    const id = randomBytes(16).toString("base64url");
    if (matches(slotOf(PREFIX + id))) return id;
  }
}

const idInGroup = (group: number) => idWith((slot) => Math.floor(slot / 64) === group);
const idInEachGroup = () => Array.from({ length: 256 }, (_, group) => idInGroup(group));

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

/** A store that is subscribed to, and the notifications that have arrived. */
interface SubscribedStore {
  readonly name: string;
  readonly store: RedisStore;
  readonly notified: string[];
  readonly states: boolean[];
}

const ends: (() => unknown)[] = [];

/** Subscribes a store with each kind of client. */
async function subscribeStores(
  nodes: readonly RedisServer[],
  options: RedisStoreOptions = {},
): Promise<SubscribedStore[]> {
  const all = await Promise.all(
    Object.entries(clients).map(async ([name, connect]) => {
      const { client, end } = await connect(nodes);
      const store = redisStore(client, options);
      const notified: string[] = [];
      const states: boolean[] = [];
      store.subscribe({
        ended: (id) => notified.push(`-${id}`),
        changed: (id) => notified.push(`+${id}`),
        listening: (is) => states.push(is),
      });
      ends.push(async () => {
        await store.close();
        await end();
      });
      return { name, store, notified, states };
    }),
  );
  await until("all listen", () => all.every(({ states }) => states.at(-1)));
  return all;
}

const ALL_CLIENTS = Object.keys(clients);

/**
 * Ends sessions with the stores, one after the other, and returns the clients that are notified exactly once of each. A
 * store may report meanwhile that it does not listen, for example after a failover. Then notifications may be missing, and
 * everything is repeated.
 */
async function findNotified(all: readonly SubscribedStore[], ids: readonly string[]): Promise<string[]> {
  await until("all listen", () => all.every(({ states }) => states.length === 0 || states.at(-1)));
  const stateCounts = all.map(({ states }) => states.length);
  const wasInterrupted = ({ states }: SubscribedStore, index: number) =>
    states.slice(stateCounts[index]).includes(false);
  for (const { notified } of all) notified.length = 0;
  await Promise.all(ids.map((id, index) => all[index % all.length]!.store.create(id, session())));
  const ended = await Promise.all(ids.map((id, index) => all[index % all.length]!.store.delete(id)));
  expect(ended).toEqual(ids.map(() => true));
  const expected = ids.map((id) => `-${id}`).toSorted();
  for (const [index, subscribed] of all.entries()) {
    const { name, notified } = subscribed;
    await until(
      `${name} is notified of ${ids.length}, or reports an interruption`,
      () => notified.length >= ids.length || wasInterrupted(subscribed, index),
    );
  }
  if (all.some(wasInterrupted)) return findNotified(all, ids);
  return all.filter(({ notified }) => String(notified.toSorted()) === String(expected)).map(({ name }) => name);
}

/** The primary that has a slot, and another primary. */
async function findPrimaries(nodes: readonly RedisServer[], slot: number): Promise<[RedisServer, RedisServer]> {
  const primary = await until("a primary has the slot", async () => {
    for (const node of nodes) {
      const reply = await node.command("GET", `{${slotGroupTags()[Math.floor(slot / 64)]}}`);
      const isReplica = (await node.command("ROLE")).includes("slave");
      if (!reply.startsWith("-MOVED") && !isReplica) return node;
    }
    return undefined;
  });
  for (const node of nodes) {
    if (node !== primary && (await node.command("ROLE")).includes("master")) return [primary, node];
  }
  throw new Error("there is only one primary");
}

/** A cluster's client whose listener connections call `before` before they subscribe to one of the channels. */
function withDelayedChannel(client: RedisStoreClient, tag: string, before: () => Promise<void>): RedisStoreClient {
  const delayed = `${PREFIX}@@changes{${tag}}`;
  type Subscribe = (channel: string, ...rest: unknown[]) => Promise<unknown>;
  const withDelay = <Node extends object>(node: Node, name: string): Node =>
    replaceMethod(node, "duplicate", (duplicate) => (...args: unknown[]) => {
      const connection = (duplicate as (...args: unknown[]) => object)(...args);
      return replaceMethod(connection, name, (subscribe) => async (channel: string, ...rest: unknown[]) => {
        if (channel === delayed) await before();
        return (subscribe as Subscribe)(channel, ...rest);
      });
    });
  const wrapped = new WeakMap<object, object>();
  const wrapOnce = (node: object, name: string) => {
    if (!wrapped.has(node)) wrapped.set(node, withDelay(node, name));
    return wrapped.get(node)!;
  };
  if ("nodes" in client) {
    return replaceMethod(
      client,
      "nodes",
      (nodes) => (role: unknown) =>
        (nodes as (role: unknown) => object[])(role).map((node) => wrapOnce(node, "ssubscribe")),
    );
  }
  return replaceMethod(
    client,
    "nodeClient",
    (nodeClient) => async (node: unknown) =>
      wrapOnce(await (nodeClient as (node: unknown) => Promise<object>)(node), "sSubscribe"),
  );
}

/** The same object with another method. */
function replaceMethod<Target extends object>(
  target: Target,
  name: string,
  replace: (method: unknown) => unknown,
): Target {
  return new Proxy(target, {
    get(_, property) {
      const member = Reflect.get(target, property) as unknown;
      const method: unknown = typeof member === "function" ? member.bind(target) : member;
      return property === name ? replace(method) : method;
    },
  });
}

/** Counts published messages: over the cluster bus to every node, within shards, and by command. */
async function countPublished(nodes: readonly RedisServer[]) {
  const sum = { bus: 0, shards: 0, publish: 0, spublish: 0 };
  for (const node of nodes) {
    const bus = await node.command("CLUSTER", "INFO");
    const stats = await node.command("INFO", "commandstats");
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

  it("notifies of ends and changes in every slot group, with messages that stay in the shard", async () => {
    const all = await subscribeStores(cluster.nodes, { announceChanges: true });
    const before = await countPublished(cluster.nodes);
    expect(await findNotified(all, idInEachGroup())).toEqual(ALL_CLIENTS);
    const id = idInGroup(7);
    await all[0]!.store.create(id, session());
    for (const [index, { store }] of all.entries()) await store.update(id, session(index + 2), index + 1);
    for (const { notified } of all)
      await until("it is notified", () => notified.filter((one) => one === `+${id}`).length === 4);
    const after = await countPublished(cluster.nodes);
    // Each shard has one replica, which gets the message over the bus.
    expect({ ...after, shards: after.shards - before.shards, spublish: after.spublish - before.spublish }).toEqual({
      bus: 0,
      publish: 0,
      shards: 256 + 4,
      spublish: 256 + 4,
    });
  });

  it("notifies of ends in the slot groups that two nodes share, from either node", async () => {
    const all = await subscribeStores(cluster.nodes);
    const before = await countPublished(cluster.nodes);
    const ids: string[] = [];
    for (const bound of [5461, 10_923]) {
      const first = 64 * Math.floor(bound / 64);
      for (const _ of all) ids.push(idWith((slot) => slot >= first && slot < bound));
      for (const _ of all) ids.push(idWith((slot) => slot >= bound && slot < first + 64));
    }
    expect(await findNotified(all, ids)).toEqual(ALL_CLIENTS);
    const after = await countPublished(cluster.nodes);
    expect(after.spublish - before.spublish).toBe(ids.length);
    expect(after.publish).toBe(0);
  });

  it("notifies of changes in the slot groups that two nodes share, with and without a change of user", async () => {
    const [writer, subscriber] = await subscribeStores(cluster.nodes, { announceChanges: true });
    for (const side of [5460, 5461]) {
      const id = idWith((slot) => slot === side);
      await writer!.store.create(id, session(1, "ada"));
      expect(await writer!.store.update(id, session(2, "ada"), 1)).toBe(true);
      expect(await writer!.store.update(id, session(3, "grace"), 2)).toBe(true);
      expect(await writer!.store.update(id, session(3, "grace"), 2)).toBe(false);
      expect(await writer!.store.delete(id)).toBe(true);
      await until("it is notified of all", () => subscriber!.notified.includes(`-${id}`));
      expect(subscriber!.notified).toEqual([`+${id}`, `+${id}`, `-${id}`]);
      subscriber!.notified.length = 0;
    }
  });

  it("works with the rights in the documentation, and changes nothing if a right to publish is missing", async () => {
    const rights =
      "on >secret resetchannels &sojourn:* ~sojourn:* " +
      "+get +getrange +set +setrange +pexpireat +del +evalsha +eval +publish +spublish +subscribe +ssubscribe " +
      "+unsubscribe +sunsubscribe +ping +scan +zadd +zscore +zrem +zrange +zrevrange +zrangebyscore " +
      "+hello +client +info +cluster";
    const allow = (...words: string[]) =>
      Promise.all(cluster.nodes.map((node) => node.command("ACL", "SETUSER", "web", ...words)));
    await allow(...rights.split(" "));
    for (const [name, connect] of Object.entries(clients)) {
      const { client, end } = await connect(cluster.nodes, { username: "web", password: "secret" });
      const store = redisStore(client);
      ends.push(() => store.close(), end);
      const notified: string[] = [];
      let isListening = false;
      store.subscribe({ ended: (id) => notified.push(id), listening: (is) => (isListening = is) });
      await until(`${name} listens`, () => isListening);
      const id = idInGroup(85);
      await store.create(id, session());
      expect(await store.delete(id)).toBe(true);
      await until(`${name} is notified`, () => notified.includes(id));
      await store.create(id, session());
      for (const [removed, restored] of [
        ["-spublish", "+spublish"],
        ["resetchannels", "&sojourn:*"],
      ] as const) {
        await allow(removed);
        await expect(store.delete(id)).rejects.toThrow(/can't|NOPERM|ACL/);
        expect(await store.read(id)).toBeDefined();
        await allow(restored);
      }
    }
  });

  it("subscribes again by itself after slots have moved to another node", async () => {
    const all = await subscribeStores(cluster.nodes);
    for (const { states } of all) states.length = 0;
    const [source, target] = cluster.nodes as [RedisServer, RedisServer];
    // The slot of one group's channel, and all slots of two other groups.
    const slots = [slotOf(slotGroupTags()[3]!), ...Array.from({ length: 128 }, (_, index) => 64 * 10 + index)];
    await moveSlots(cluster.nodes, slots, source, target);
    for (const { name, states } of all) {
      await until(`${name} has noticed and listens again`, () => states.includes(false) && states.at(-1));
    }
    expect(
      await findNotified(all, [
        ...idInEachGroup(),
        ...Array.from({ length: 8 }, () => idInGroup(3)),
        idInGroup(10),
        idInGroup(11),
      ]),
    ).toEqual(ALL_CLIENTS);
  });

  for (const name of ALL_CLIENTS) {
    it(`never reports that it listens while a slot has moved whose channel was just subscribed to, with ${name}`, async () => {
      const { client, end } = await clients[name]!(cluster.nodes);
      ends.push(end);
      const slot = slotOf(slotGroupTags()[20]!);
      const [source, target] = await findPrimaries(cluster.nodes, slot);
      // The slot of this channel moves before the connection subscribes to another channel of the same node.
      let move: Promise<void> | undefined;
      const store = redisStore(
        withDelayedChannel(
          client,
          slotGroupTags()[21]!,
          () => (move ??= moveSlots(cluster.nodes, [slot], source, target)),
        ),
      );
      ends.push(() => store.close());
      const notified: string[] = [];
      let isListening = false;
      store.subscribe({ ended: (id) => notified.push(id), listening: (is) => (isListening = is) });
      try {
        await until("it listens", () => isListening);
        expect(move).toBeDefined();
        const id = idInGroup(20);
        await store.create(id, session());
        expect(await store.delete(id)).toBe(true);
        await until("it is notified, or reports an interruption", () => notified.includes(id) || !isListening);
        expect(notified).toEqual([id]);
      } finally {
        await moveSlots(cluster.nodes, [slot], target, source);
      }
    });
  }

  it("subscribes again by itself after a replica has taken over, on command or because the primary was killed", async () => {
    const all = await subscribeStores(cluster.nodes);
    for (const { states } of all) states.length = 0;
    await until("the replica has taken over", async () => {
      await cluster.nodes[4]!.command("CLUSTER", "FAILOVER");
      return (await cluster.nodes[4]!.command("INFO", "replication")).includes("role:master");
    });
    for (const { name, states } of all) {
      await until(`${name} has noticed and listens again`, () => states.includes(false) && states.at(-1));
    }
    expect(await findNotified(all, idInEachGroup())).toEqual(ALL_CLIENTS);
    for (const { states } of all) states.length = 0;
    const [killed] = cluster.nodes.slice(2, 3) as [RedisServer];
    await killed.kill();
    for (const { name, states } of all) {
      await until(`${name} has noticed and listens again`, () => states.includes(false) && states.at(-1));
    }
    await waitUntilServing(cluster.nodes.filter((node) => node !== killed));
    expect(await findNotified(all, idInEachGroup())).toEqual(ALL_CLIENTS);
  });
});

describe.skipIf(!REDIS_SERVER)("redisStore in a cluster that is being upgraded from Redis 6.2", () => {
  it("uses the plain channel for messages that a server can't publish within the shard", async () => {
    // Commands that such a server does not have.
    const old = ["--rename-command", "SPUBLISH", "", "--rename-command", "SSUBSCRIBE", ""];
    // The node that has the channel of a group, and shares the group with a newer node.
    const oldIndex = slotOf(slotGroupTags()[85]!) < 5461 ? 0 : 1;
    const cluster = await startCluster((index) => (index % 3 === oldIndex ? old : []));
    try {
      const all = await subscribeStores(cluster.nodes);
      const ids = idInEachGroup();
      for (let round = 0; round < 2 * all.length; round += 1) ids.push(idInGroup(85), idInGroup(170));
      expect(await findNotified(all, ids)).toEqual(ALL_CLIENTS);
      const { publish, spublish } = await countPublished(cluster.nodes);
      expect(publish).toBeGreaterThan(80);
      expect(spublish).toBeGreaterThan(160);
      expect(publish + spublish).toBe(ids.length);
    } finally {
      for (const end of ends.splice(0)) await end();
      await cluster.end();
    }
  });
});
