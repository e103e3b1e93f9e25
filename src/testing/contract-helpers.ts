import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import type { SessionStore, StoredSession } from "../store.ts";

/** Creates an id that neither another case nor an earlier run against the same engine has used. */
export const uniqueId = (): string => randomUUID().replaceAll("-", "");

export const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
export const payloadText = (stored: StoredSession | undefined): string => new TextDecoder().decode(stored?.payload);

/** Creates a session to store. By default it has version 1, a lifetime of one hour and no user. */
export function sessionFor(
  bench: { now(): number },
  given: { text?: string; version?: number; userId?: string; expiresIn?: number; payload?: Uint8Array } = {},
): StoredSession {
  const { text = "payload", version = 1, userId, expiresIn = 3_600_000, payload = bytes(text) } = given;
  const stored = { payload, version, expiresAt: bench.now() + expiresIn };
  return userId === undefined ? stored : { ...stored, userId };
}

export function sameSession(found: StoredSession | undefined, wanted: StoredSession, rule: string): void {
  assert.ok(found !== undefined, `${rule}: it is missing`);
  assert.ok(found.payload instanceof Uint8Array, `${rule}: payload must be a Uint8Array`);
  assert.ok(sameBytes(found.payload, wanted.payload), `${rule}: its payload is another`);
  assert.equal(found.version, wanted.version, `${rule}: its version is another`);
  assert.equal(found.expiresAt, wanted.expiresAt, `${rule}: its expiry is another`);
  assert.equal(found.userId, wanted.userId, `${rule}: its user is another`);
}

function sameBytes(one: Uint8Array, other: Uint8Array): boolean {
  return one.byteLength === other.byteLength && one.every((byte, index) => byte === other[index]);
}

/** Past a near cache, where the store has one. */
export function latest(store: SessionStore, id: string): Promise<StoredSession | undefined> {
  return store.readLatest === undefined ? store.read(id) : store.readLatest(id);
}

export async function idsOf(store: SessionStore, userId: string): Promise<string[]> {
  return ((await store.idsOfUser?.(userId)) ?? []).toSorted();
}

export async function everyId(store: SessionStore): Promise<string[]> {
  const ids: string[] = [];
  for await (const id of store.all?.() ?? []) ids.push(id);
  return ids;
}

export const times = <T>(count: number, make: (n: number) => T): T[] =>
  Array.from({ length: count }, (_, n) => make(n));
export const countTrue = (outcomes: readonly boolean[]): number => outcomes.filter(Boolean).length;

/** Makes many calls in batches. One call after the other would take long with an engine behind a network. */
export async function inBatches(ids: readonly string[], call: (id: string) => Promise<unknown>): Promise<void> {
  for (let from = 0; from < ids.length; from += 32) await Promise.all(ids.slice(from, from + 32).map(call));
}

/** Waits as long as a message may take on a busy machine. If it never comes, the assertion that follows fails. */
export async function settled(isThere: () => boolean): Promise<void> {
  for (let tries = 0; tries < 500 && !isThere(); tries += 1) await delay(10);
}
