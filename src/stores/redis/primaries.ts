import type { Buffer } from "node:buffer";
import type { SendCommand } from "./client.ts";
import { SLOT_COUNT, slotOf } from "./slots.ts";

const MAX_ATTEMPTS = 3;

/** All primaries at one moment. */
export interface Primaries {
  readonly senders: readonly SendCommand[];
  /**
   * Identifies the servers and their slots. If it is the same after a SCAN of all primaries, the SCAN was complete.
   * `undefined` while keys are being moved between primaries.
   */
  readonly state: string | undefined;
}

/** A cluster as its client knows it. */
interface ClusterView {
  /** The client's own object or name for the primary that has a slot; `undefined` if the client knows none. */
  primaryOf(slot: number): unknown;
  /** Sends to the primary that has a slot; `undefined` if the client has no connection to it. */
  sendTo(slot: number): Promise<SendCommand | undefined>;
  /** Reads a key: the client then learns which primary has the key's slot, and connects. */
  refreshSlotOf(key: string): Promise<unknown>;
}

/** The first slot of each range, and the primary that has the range. */
type SlotRanges = readonly (readonly [firstSlot: number, primary: unknown])[];

export async function singlePrimary(send: SendCommand): Promise<Primaries> {
  return { senders: [send], state: await readProcessId(send) };
}

/**
 * Finds every primary of a cluster. A client may not know a primary, or have closed the connection to it, without saying
 * so. Therefore the client's slots are compared with those that a server reports. To make the client learn about a slot, a
 * key in it is read that begins with `keyPrefix`.
 *
 * @throws Error if a primary stays unknown.
 */
export async function findClusterPrimaries(cluster: ClusterView, keyPrefix: string): Promise<Primaries> {
  let unknownSlots: readonly number[] = [];
  for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt += 1) {
    // One after the other: the first read mostly teaches the client all slots.
    for (const slot of unknownSlots) await cluster.refreshSlotOf(`${keyPrefix}{${hashTagFor(slot)}}`);
    const known = groupSlots((slot) => cluster.primaryOf(slot));
    const gap = known.find(([, primary]) => primary === undefined);
    const senders = new Map<unknown, SendCommand>();
    const unconnected = new Map<unknown, number>();
    for (const [slot, primary] of known) {
      if (primary === undefined || senders.has(primary) || unconnected.has(primary)) continue;
      const send = await cluster.sendTo(slot);
      if (send) senders.set(primary, send);
      else unconnected.set(primary, slot);
    }
    unknownSlots = [...(gap ? [gap[0]] : []), ...unconnected.values()];
    const [firstSend] = senders.values();
    if (unknownSlots.length > 0 || !firstSend) continue;
    const reported = parseClusterSlots(await firstSend(["CLUSTER", "SLOTS"]));
    if (isSamePartition(known, reported)) {
      const nodes = await Promise.all([...senders.values()].map(describeNode));
      const isMoving = nodes.some((node) => node.includes("["));
      return {
        senders: [...senders.values()],
        state: isMoving ? undefined : `${reported.join(" ")} ${nodes.join(" ")}`,
      };
    }
    unknownSlots = [...new Set([...known, ...reported].map(([slot]) => slot))];
  }
  throw new Error("not every primary of the cluster is known at the moment");
}

function groupSlots(primaryOf: (slot: number) => unknown): SlotRanges {
  const ranges: [number, unknown][] = [];
  for (let slot = 0; slot < SLOT_COUNT; slot += 1) {
    const primary = primaryOf(slot);
    if (slot === 0 || primary !== ranges.at(-1)![1]) ranges.push([slot, primary]);
  }
  return ranges;
}

/** Parses the reply to CLUSTER SLOTS: for each range its first slot, its last, the primary (address, port, id), replicas. */
function parseClusterSlots(reply: unknown): SlotRanges {
  const primaryIds: (string | undefined)[] = [];
  for (const [from, to, [, , id]] of reply as [unknown, unknown, (number | string | Buffer | null)[]][]) {
    for (let slot = Number(from); slot <= Number(to); slot += 1) primaryIds[slot] = String(id);
  }
  return groupSlots((slot) => primaryIds[slot]);
}

/** Whether the same slots belong together. A client may have other names for the primaries than the server. */
function isSamePartition(known: SlotRanges, reported: SlotRanges): boolean {
  const idOf = new Map<unknown, unknown>();
  return (
    known.length === reported.length &&
    known.every(([slot, primary], index) => {
      const [reportedSlot, id] = reported[index]!;
      if (!idOf.has(primary)) idOf.set(primary, id);
      return slot === reportedSlot && id !== undefined && idOf.get(primary) === id;
    }) &&
    new Set(idOf.values()).size === idOf.size
  );
}

function hashTagFor(slot: number): string {
  for (let number = 0; ; number += 1) if (slotOf(`${number}`) === slot) return `${number}`;
}

/**
 * Describes a node as it reports itself. Its epoch grows with each slot that it receives: a slot that was moved away and
 * back leaves no other trace. Slots whose keys are being moved stand in brackets.
 */
async function describeNode(send: SendCommand): Promise<string> {
  const lines = String(await send(["CLUSTER", "NODES"])).split("\n");
  // Of the fields after the flags, only the epoch and the slots do not depend on the state of connections.
  const [id, , , , , , epoch, , ...slots] = lines
    .find((line) => line.includes("myself"))!
    .trim()
    .split(" ");
  return [await readProcessId(send), id, epoch, ...slots].join(" ");
}

/**
 * Identifies a server process and the data set that it replicates. A SCAN cursor is worth nothing on another server, or after
 * a restart, because the table has another order. A server that was a replica meanwhile has another replication id.
 */
async function readProcessId(send: SendCommand): Promise<string> {
  try {
    const info = String(await send(["INFO"]));
    return `${/^run_id:(\w+)/m.exec(info)?.[1]} ${/^master_replid:(\w+)/m.exec(info)?.[1]}`;
  } catch (error) {
    if (!(error instanceof Error) || !error.message.startsWith("NOPERM")) throw error;
    throw new Error("listing all sessions needs the right +info: it tells whether one server named all of them", {
      cause: error,
    });
  }
}
