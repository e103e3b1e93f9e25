import type { SessionStore, StoredSession } from "../../src/store.ts";
import { copySessions } from "../../src/stores/migration/copy.ts";
import { memoryStore } from "../../src/stores/memory.ts";
import { CONTROL_ID, recordKindOf } from "../../src/stores/migration/migration-records.ts";
import { movingStore } from "../../src/stores/migration/moving.ts";
import { type Asked, type Entry, linearized, textOf } from "./linear.ts";
import { seededRandom } from "./random.ts";

// A whole move in one process, in which nothing happens but by a seeded draw: every call of every store waits for its
// turn, the clock turns between two of them, copiers and applications are killed before any of them, and stores fail.

const START = 1_000_000_000_000;
const SECOND = 1000;
const OWNERS = ["ada", "grace", undefined] as const;
const MOST_TURNS = 20_000;

/** What one run came to. */
export interface Run {
  /** What was promised and not kept. Empty, if all is well. */
  readonly violations: string[];
  readonly log: readonly string[];
  readonly kills: number;
  readonly turns: number;
}

interface Actor {
  readonly name: string;
  dead: boolean;
  /** Of all its calls so many fail, in one way or another. */
  readonly faults: number;
}

interface Listing {
  readonly who: string;
  /** `undefined`: of all sessions. */
  readonly userId: string | undefined;
  readonly began: number;
  readonly ended: number;
  readonly endedAt: number;
  readonly ids: readonly string[];
}

type MakeMoving = (given: { from: SessionStore; to: SessionStore }) => SessionStore;
type Copy = (from: SessionStore, to: SessionStore) => Promise<unknown>;

/** One seed's run of a move, from the old store alone to the new one alone. */
export async function runMove(seed: number, makeMoving: MakeMoving = movingStore, copy?: Copy): Promise<Run> {
  const random = seededRandom(seed);
  const below = (count: number) => Math.floor(random() * count);
  const pick = <T>(among: readonly T[]): T => among[below(among.length)]!;

  const time = { now: START };
  const clock = () => time.now;
  const from = memoryStore({ clock });
  const to = memoryStore({ clock });
  const copyAll: Copy = copy ?? ((a, b) => copySessions(a, b, { concurrency: 1 + below(3), clock }));

  const log: string[] = [];
  const violations: string[] = [];
  const histories = new Map<string, Entry[]>();
  const advances: Entry[] = [];
  const listings: Listing[] = [];
  const known: string[] = [];
  let step = 0;
  let turns = 0;
  let kills = 0;
  let written = 0;

  // --- turns

  let waiting: { readonly actor: Actor; readonly what: string; readonly go: () => void }[] = [];

  function turn(actor: Actor, what: string): Promise<void> {
    return new Promise((go) => waiting.push({ actor, what, go }));
  }

  function seenBy(actor: Actor, name: string, store: SessionStore): SessionStore {
    async function call<T>(what: string, effect: () => Promise<T>): Promise<T> {
      await turn(actor, `${name}.${what}`);
      const fault = random() < actor.faults;
      if (fault && random() < 0.5) throw new Error(`planned: ${what} failed without effect`);
      const result = await effect();
      if (fault) throw new Error(`planned: ${what} took effect and failed`);
      return result;
    }
    return {
      inProcess: true,
      read: (id) => call(`read ${id}`, () => store.read(id)),
      create: (id, stored) => call(`create ${id} ${shown(stored)}`, () => store.create(id, stored)),
      update: (id, stored, version) =>
        call(`update ${id} ${version} → ${shown(stored)}`, () => store.update(id, stored, version)),
      touch: (id, expiresAt) => call(`touch ${id} ${expiresAt - START}`, () => store.touch(id, expiresAt)),
      delete: (id) => call(`delete ${id}`, () => store.delete(id)),
      idsOfUser: (userId) => call(`idsOfUser ${userId}`, () => store.idsOfUser!(userId)),
      async *all() {
        const ids: string[] = [];
        for await (const id of store.all!()) ids.push(id);
        for (const id of ids) {
          await turn(actor, `${name}.all ${id}`);
          // What has gone since is not met.
          if ((await store.read(id)) !== undefined) yield id;
        }
      },
    };
  }

  // --- what applications do

  function historyOf(id: string): Entry[] {
    const found = histories.get(id) ?? [];
    histories.set(id, found);
    return found;
  }

  async function ask<T extends Entry["answer"]>(
    actor: Actor,
    id: string,
    asked: Asked,
    effect: () => Promise<T>,
  ): Promise<T | undefined> {
    const entry: Entry = { who: actor.name, asked, began: ++step, ended: Infinity };
    historyOf(id).push(entry);
    log.push(`${actor.name} asks ${asked.call} ${id}`);
    try {
      const answer = await effect();
      entry.answer = answer;
      entry.ended = ++step;
      log.push(
        `${actor.name} is told ${typeof answer === "object" ? shown(answer) : String(answer)} (${asked.call} ${id})`,
      );
      return answer;
    } catch (error) {
      if (!(error instanceof Error && error.message.startsWith("planned")))
        violations.push(`${actor.name}: ${String(error)}`);
      log.push(`${actor.name} fails ${asked.call} ${id}`);
      return undefined;
    }
  }

  const fresh = (version: number, userId: string | undefined): StoredSession => ({
    payload: new TextEncoder().encode(`w${++written}`),
    version,
    expiresAt: time.now + SECOND * (1 + below(6)),
    userId,
  });

  async function create(actor: Actor, store: SessionStore): Promise<void> {
    const id = `s${histories.size}`;
    const stored = fresh(1, pick(OWNERS));
    if (await ask(actor, id, { call: "create", stored }, () => store.create(id, stored))) known.push(id);
  }

  async function act(actor: Actor, store: SessionStore): Promise<void> {
    const choice = random();
    if (choice < 0.12 || known.length === 0) return create(actor, store);
    if (choice < 0.2) return list(actor, store);
    const id = pick(known);
    const found = await ask(actor, id, { call: "read" }, () => store.read(id));
    if (choice < 0.25) return;
    if (choice < 0.6) {
      const expected = found?.version ?? 1 + below(3);
      const stored = fresh(expected + 1, random() < 0.6 ? found?.userId : pick(OWNERS));
      await ask(actor, id, { call: "update", stored, expected }, () => store.update(id, stored, expected));
    } else if (choice < 0.8) {
      const expiresAt = time.now + SECOND * (1 + below(8));
      await ask(actor, id, { call: "touch", expiresAt }, () => store.touch(id, expiresAt));
    } else if (choice < 0.9) await ask(actor, id, { call: "delete" }, () => store.delete(id));
  }

  async function list(actor: Actor, store: SessionStore): Promise<void> {
    const userId = random() < 0.7 ? "ada" : undefined;
    const began = ++step;
    const ids: string[] = [];
    try {
      if (userId !== undefined) ids.push(...(await store.idsOfUser!(userId)));
      else for await (const id of store.all!()) ids.push(id);
    } catch {
      return;
    }
    listings.push({ who: actor.name, userId, began, ended: ++step, endedAt: time.now, ids });
    log.push(`${actor.name} lists ${String(userId)}: ${ids.join(" ")}`);
  }

  async function work(
    name: string,
    count: number,
    faults: number,
    make: (actor: Actor) => SessionStore,
  ): Promise<void> {
    const actor: Actor = { name, dead: false, faults };
    actors.add(actor);
    const store = make(actor);
    for (let n = 0; n < count; n += 1) {
      await turn(actor, "act");
      await act(actor, store);
    }
    actors.delete(actor);
  }

  // --- the move

  const actors = new Set<Actor>();
  const moving = (actor: Actor) => makeMoving({ from: seenBy(actor, "from", from), to: seenBy(actor, "to", to) });
  const faults = random() < 0.3 ? 0.04 : 0;
  const state = { copied: false, ended: false };

  async function move(): Promise<void> {
    const oneStore = (name: string, store: SessionStore) => (actor: Actor) => seenBy(actor, name, store);
    await work("plain", 2 + below(4), 0, oneStore("from", from));
    const movers = Array.from({ length: 2 + below(2) }, (_, n) => work(`mover${n}`, 2 + below(7), faults, moving));
    await work("last plain", below(4), 0, oneStore("from", from));
    const copies = Array.from({ length: random() < 0.2 ? 2 : 1 }, (_, n) => copyUntilDone(`copier${n}`));
    await Promise.all(copies);
    state.copied = true;
    const news = work("new", 2 + below(4), 0, oneStore("to", sessionsOnly(to)));
    await Promise.all([...movers, news].map((one) => Promise.race([one, untilOthersAreDone()])));
    // What was staged too late, or in vain, by whom a kill has stopped.
    actors.clear();
    const last: Actor = { name: "sweeper", dead: false, faults: 0 };
    await copyAll(seenBy(last, "from", from), seenBy(last, "to", to));
    for (const id of histories.keys()) {
      await ask(last, id, { call: "read" }, () => to.read(id));
      const form = recordKindOf(await to.read(id));
      if (form === "staged" || form === "marker") violations.push(`${id} is left ${form} in the new store`);
    }
  }

  const finished: (() => void)[] = [];
  function untilOthersAreDone(): Promise<void> {
    return new Promise((resolve) => finished.push(resolve));
  }

  async function copyUntilDone(name: string): Promise<void> {
    for (let tries = 0; ; tries += 1) {
      const actor: Actor = { name: `${name}.${tries}`, dead: false, faults: tries < 3 ? faults : 0 };
      actors.add(actor);
      const killed = new Promise<"killed">((resolve) => deaths.set(actor, () => resolve("killed")));
      if (tries < 3 && random() < 0.7) killAt.set(actor, turns + below(40));
      const outcome = await Promise.race([
        killed,
        copyAll(seenBy(actor, "from", from), seenBy(actor, "to", to)).then(
          () => "done" as const,
          (error: unknown) => (log.push(`${actor.name} fails: ${String(error)}`), "failed" as const),
        ),
      ]);
      actors.delete(actor);
      log.push(`${actor.name} is ${outcome}`);
      if (outcome === "done") return;
      if (tries > 8) {
        violations.push("the copy never came to its end");
        return;
      }
    }
  }

  const deaths = new Map<Actor, () => void>();
  const killAt = new Map<Actor, number>();

  function kill(actor: Actor): void {
    actor.dead = true;
    actors.delete(actor);
    kills += 1;
    log.push(`${actor.name} is killed`);
    waiting = waiting.filter((one) => one.actor !== actor);
    deaths.get(actor)?.();
  }

  /** Not in luck for a while: what is overtaken by everybody else shows most. */
  let stalled: Actor[] = [];
  const whole = move().then(() => (state.ended = true));
  let idle = 0;
  while (!state.ended && turns < MOST_TURNS) {
    await new Promise((resolve) => setImmediate(resolve));
    waiting = waiting.filter(({ actor }) => !actor.dead);
    if (waiting.length === 0) {
      if (state.copied && actors.size === 0) for (const resolve of finished.splice(0)) resolve();
      // The copier pauses between passes.
      if (++idle > 3) await new Promise((resolve) => setTimeout(resolve, 1));
      if (idle > 5000) break;
      continue;
    }
    idle = 0;
    turns += 1;
    for (const [actor, at] of killAt) {
      if (turns < at || actor.dead || !actors.has(actor)) continue;
      killAt.delete(actor);
      kill(actor);
    }
    if (random() < 0.01) {
      const mover = [...actors].find(({ name }) => name.startsWith("mover"));
      if (mover !== undefined) kill(mover);
    }
    if (waiting.length === 0) continue;
    if (random() < 0.03) {
      time.now += SECOND * below(3);
      step += 1;
      advances.push({
        who: "clock",
        asked: { call: "advance", now: time.now },
        began: step,
        ended: step,
        answer: true,
      });
      log.push(`the clock shows ${time.now - START}`);
    }
    if (random() < 0.04) stalled = [...actors].filter(() => random() < 0.4);
    const awake = waiting.filter(({ actor }) => !stalled.includes(actor));
    const next = pick(awake.length > 0 ? awake : waiting);
    waiting.splice(waiting.indexOf(next), 1);
    log.push(`${next.actor.name}: ${next.what}`);
    next.go();
  }
  if (state.ended) await whole;
  else violations.push(`the run never came to its end, after ${turns} turns`);

  for (const [id, entries] of histories) {
    if (linearized([...entries, ...advances], START) === undefined) {
      violations.push(`the answers about ${id} contradict each other: ${shownHistory(entries, advances)}`);
    }
  }
  for (const listing of listings) violations.push(...wrongIn(listing, histories));
  return { violations, log, kills, turns };
}

/**
 * As an application has it that knows nothing of a move: of what was staged for nothing, after a session's end, it can
 * open nothing. Were it a live session's, that would show.
 */
function sessionsOnly(store: SessionStore): SessionStore {
  const isThere = async (id: string) => recordKindOf(await store.read(id)) === "session";
  return {
    ...store,
    read: async (id) => ((await isThere(id)) ? store.read(id) : undefined),
    touch: async (id, expiresAt) => (await isThere(id)) && store.touch(id, expiresAt),
    delete: async (id) => (await isThere(id)) && store.delete(id),
  };
}

/** What a listing missed that was there all the while, and what it named that was not. */
function wrongIn({ who, userId, began, ended, endedAt, ids }: Listing, histories: Map<string, Entry[]>): string[] {
  const wrong: string[] = [];
  const of = userId === undefined ? "all" : `of ${userId}`;
  if (ids.includes(CONTROL_ID)) wrong.push(`${who}: listed the record of the move`);
  for (const [id, entries] of histories) {
    const writes = entries.filter(({ asked }) => asked.call === "create" || asked.call === "update");
    const isOwned = ({ asked }: Entry) => "stored" in asked && (userId === undefined || asked.stored.userId === userId);
    const ends = entries.filter(({ asked }) => asked.call === "delete");
    if (ids.includes(id)) {
      if (ends.some((end) => end.answer === true && end.ended < began)) wrong.push(`${who}: listed ${of}: ended ${id}`);
      if (!writes.some((write) => isOwned(write) && write.began < ended)) wrong.push(`${who}: listed ${of}: ${id}`);
      continue;
    }
    const settled = writes.filter((write) => write.answer === true && write.ended < began && isOwned(write));
    const isSure = settled.some((write) =>
      writes.every(
        (other) =>
          other === write ||
          other.answer === false ||
          isOwned(other) ||
          other.ended < write.began ||
          other.began > ended,
      ),
    );
    const soonest = Math.min(...writes.map(({ asked }) => ("stored" in asked ? asked.stored.expiresAt : 0)));
    if (!isSure || soonest <= endedAt || ends.some((end) => end.began < ended)) continue;
    wrong.push(`${who}: listing ${of} missed ${id}`);
  }
  return wrong;
}

function shown(stored: StoredSession | undefined): string {
  if (stored === undefined) return "nothing";
  const form = recordKindOf(stored);
  const { version, expiresAt } = stored;
  return `${form === "session" ? textOf(stored) : form} v${version} until ${expiresAt - START}`;
}

function shownHistory(entries: readonly Entry[], advances: readonly Entry[]): string {
  const lines = [...entries, ...advances]
    .toSorted((a, b) => a.began - b.began)
    .map(({ who, asked, began, ended, answer }) => {
      const what = "stored" in asked ? shown(asked.stored) : "";
      const more =
        "expected" in asked ? ` if v${asked.expected}` : "expiresAt" in asked ? ` ${asked.expiresAt - START}` : "";
      const clock = "now" in asked ? ` ${asked.now - START}` : "";
      const told = typeof answer === "object" ? shown(answer) : ended === Infinity ? "?" : String(answer);
      return `  ${began}–${ended} ${who} ${asked.call}${clock} ${what}${more}: ${told}`;
    });
  return `\n${lines.join("\n")}`;
}
