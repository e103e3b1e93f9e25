import type { Buffer } from "node:buffer";
import type { Send } from "./client.ts";
import { slotOf } from "./slot.ts";

const SLOTS = 16_384;
const LOOKS = 3;

/** Every primary, as it is at the moment. */
export interface Primaries {
  readonly sends: readonly Send[];
  /**
   * Which servers these are, and what each has. Where it is the same later on, a SCAN of all of them was complete.
   * `undefined` while keys are on their way from one to another.
   */
  readonly state: string | undefined;
}

/** What a cluster's client knows of it. */
interface KnownCluster {
  nodeOf(slot: number): unknown;
  /** Fulfilled with `undefined` while it has no connection there. */
  sendTo(slot: number): Promise<Send | undefined>;
  /** Asks for a key: so the client learns where its slot is now, and connects. */
  visit(key: string): Promise<unknown>;
}

/** Where slots go over from one primary to another. */
type Bounds = readonly (readonly [slot: number, owner: unknown])[];

export async function onePrimary(send: Send): Promise<Primaries> {
  return { sends: [send], state: await processOf(send) };
}

/**
 * A client may not know of a primary, or have let go of the connection to it, and says nothing: what it knows is compared
 * with what a server says of the slots. Keys that it asks for are there to have a slot, and begin with `name`.
 *
 * @throws {Error} where some primary stays unknown.
 */
export async function clusterPrimaries(cluster: KnownCluster, name: string): Promise<Primaries> {
  let unknown: readonly number[] = [];
  for (let look = 0; look < LOOKS; look += 1) {
    // One after the other: the first visit mostly teaches the client all.
    for (const slot of unknown) await cluster.visit(`${name}{${tagIn(slot)}}`);
    const mine = boundsOf((slot) => cluster.nodeOf(slot));
    const gap = mine.find(([, owner]) => owner === undefined);
    const sends = new Map<unknown, Send>();
    const unreached = new Map<unknown, number>();
    for (const [slot, owner] of mine) {
      if (owner === undefined || sends.has(owner) || unreached.has(owner)) continue;
      const send = await cluster.sendTo(slot);
      if (send) sends.set(owner, send);
      else unreached.set(owner, slot);
    }
    unknown = [...(gap ? [gap[0]] : []), ...unreached.values()];
    const [first] = sends.values();
    if (unknown.length > 0 || !first) continue;
    const theirs = slotsIn(await first(["CLUSTER", "SLOTS"]));
    if (sameBounds(mine, theirs)) {
      const nodes = await Promise.all([...sends.values()].map(nodeOf));
      const isMoving = nodes.some((node) => node.includes("["));
      return { sends: [...sends.values()], state: isMoving ? undefined : `${theirs.join(" ")} ${nodes.join(" ")}` };
    }
    unknown = [...new Set([...mine, ...theirs].map(([slot]) => slot))];
  }
  throw new Error("not every primary of the cluster is known at the moment");
}

function boundsOf(nodeOfSlot: (slot: number) => unknown): Bounds {
  const bounds: [number, unknown][] = [];
  for (let slot = 0; slot < SLOTS; slot += 1) {
    const node = nodeOfSlot(slot);
    if (slot === 0 || node !== bounds.at(-1)![1]) bounds.push([slot, node]);
  }
  return bounds;
}

/** The reply to CLUSTER SLOTS: from, to, the primary with its address and id, its replicas. */
function slotsIn(reply: unknown): Bounds {
  const nodes: (string | undefined)[] = [];
  for (const [from, to, [, , id]] of reply as [unknown, unknown, (number | string | Buffer | null)[]][]) {
    for (let slot = Number(from); slot <= Number(to); slot += 1) nodes[slot] = String(id);
  }
  return boundsOf((slot) => nodes[slot]);
}

/** A client may have other names for the servers: so it is compared which slots belong together. */
function sameBounds(mine: Bounds, theirs: Bounds): boolean {
  const names = new Map<unknown, unknown>();
  return (
    mine.length === theirs.length &&
    mine.every(([slot, owner], index) => {
      const [otherSlot, other] = theirs[index]!;
      if (!names.has(owner)) names.set(owner, other);
      return slot === otherSlot && other !== undefined && names.get(owner) === other;
    }) &&
    new Set(names.values()).size === names.size
  );
}

function tagIn(slot: number): string {
  for (let number = 0; ; number += 1) if (slotOf(`${number}`) === slot) return `${number}`;
}

/**
 * A node as it says of itself: its epoch grows with each slot that it takes over, and a slot whose keys are on their way
 * stands in brackets. A slot that has been elsewhere and is back has left no other trace.
 */
async function nodeOf(send: Send): Promise<string> {
  const lines = String(await send(["CLUSTER", "NODES"])).split("\n");
  // What follows the flags says how well the node is connected, except for the epoch and the slots.
  const [id, , , , , , epoch, , ...slots] = lines
    .find((line) => line.includes("myself"))!
    .trim()
    .split(" ");
  return [await processOf(send), id, epoch, ...slots].join(" ");
}

/**
 * A restarted or another server has its table in another order: a cursor means nothing to it. A server that has been a
 * replica meanwhile is the same process, with another name for what it replicates.
 */
async function processOf(send: Send): Promise<string> {
  try {
    const info = String(await send(["INFO"]));
    return `${/^run_id:(\w+)/m.exec(info)?.[1]} ${/^master_replid:(\w+)/m.exec(info)?.[1]}`;
  } catch (error) {
    if (!(error instanceof Error) || !error.message.startsWith("NOPERM")) throw error;
    throw new Error("listing all sessions needs the right +info: it tells whether it was one server that named them", {
      cause: error,
    });
  }
}
