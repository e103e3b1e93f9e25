import type { SessionStore, StoredSession } from "../../src/store.ts";
import { copySessions } from "../../src/stores/migration/copy.ts";
import { memoryStore } from "../../src/stores/memory.ts";
import { CONTROL_ID, recordKindOf } from "../../src/stores/migration/migration-records.ts";
import { movingStore } from "../../src/stores/migration/moving.ts";
import { type Asked, type Entry, linearized, contentOf } from "./linear.ts";
import { seededRandom } from "./random.ts";

// Simulates a whole move in one process. A seed decides everything: the order of the calls to the stores, when the clock
// advances, when a copy or an application is killed, and which calls fail.

const START = 1_000_000_000_000;
const SECOND = 1000;
const USER_IDS = ["ada", "grace", undefined] as const;
const MAX_STEPS = 20_000;

/** The result of one simulation. */
export interface Simulation {
  /** The promises that were broken. Empty if there are none. */
  readonly violations: string[];
  readonly log: readonly string[];
  readonly kills: number;
  readonly steps: number;
}

interface Actor {
  readonly name: string;
  isKilled: boolean;
  /** The share of its calls that fail, with or without effect. */
  readonly faultRate: number;
}

interface Listing {
  readonly who: string;
  /** The user whose sessions were listed, or `undefined` for all sessions. */
  readonly userId: string | undefined;
  readonly began: number;
  readonly ended: number;
  readonly endedAt: number;
  readonly ids: readonly string[];
}

type MakeMoving = (given: { from: SessionStore; to: SessionStore }) => SessionStore;
type Copy = (from: SessionStore, to: SessionStore) => Promise<unknown>;

/** Simulates a move with one seed, from the old store alone to the new store alone. */
export async function simulateMove(
  seed: number,
  makeMoving: MakeMoving = movingStore,
  copy?: Copy,
): Promise<Simulation> {
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
  const knownIds: string[] = [];
  let moment = 0;
  let steps = 0;
  let kills = 0;
  let written = 0;

  // --- scheduling

  let waiting: { readonly actor: Actor; readonly what: string; readonly go: () => void }[] = [];

  function waitForStep(actor: Actor, what: string): Promise<void> {
    return new Promise((go) => waiting.push({ actor, what, go }));
  }

  function scheduledStore(actor: Actor, name: string, store: SessionStore): SessionStore {
    async function call<T>(what: string, effect: () => Promise<T>): Promise<T> {
      await waitForStep(actor, `${name}.${what}`);
      const fault = random() < actor.faultRate;
      if (fault && random() < 0.5) throw new Error(`planned: ${what} failed without effect`);
      const result = await effect();
      if (fault) throw new Error(`planned: ${what} took effect and failed`);
      return result;
    }
    return {
      inProcess: true,
      read: (id) => call(`read ${id}`, () => store.read(id)),
      create: (id, stored) => call(`create ${id} ${format(stored)}`, () => store.create(id, stored)),
      update: (id, stored, version) =>
        call(`update ${id} ${version} → ${format(stored)}`, () => store.update(id, stored, version)),
      touch: (id, expiresAt) => call(`touch ${id} ${expiresAt - START}`, () => store.touch(id, expiresAt)),
      delete: (id) => call(`delete ${id}`, () => store.delete(id)),
      idsOfUser: (userId) => call(`idsOfUser ${userId}`, () => store.idsOfUser!(userId)),
      async *all() {
        const ids: string[] = [];
        for await (const id of store.all!()) ids.push(id);
        for (const id of ids) {
          await waitForStep(actor, `${name}.all ${id}`);
          // A session that has ended in the meantime is not listed.
          if ((await store.read(id)) !== undefined) yield id;
        }
      },
    };
  }

  // --- the operations of applications

  function historyOf(id: string): Entry[] {
    const found = histories.get(id) ?? [];
    histories.set(id, found);
    return found;
  }

  async function recordCall<T extends Entry["answer"]>(
    actor: Actor,
    id: string,
    asked: Asked,
    effect: () => Promise<T>,
  ): Promise<T | undefined> {
    const entry: Entry = { who: actor.name, asked, began: ++moment, ended: Infinity };
    historyOf(id).push(entry);
    log.push(`${actor.name} calls ${asked.call} ${id}`);
    try {
      const answer = await effect();
      entry.answer = answer;
      entry.ended = ++moment;
      log.push(
        `${actor.name} gets ${typeof answer === "object" ? format(answer) : String(answer)} (${asked.call} ${id})`,
      );
      return answer;
    } catch (error) {
      if (!(error instanceof Error && error.message.startsWith("planned")))
        violations.push(`${actor.name}: ${String(error)}`);
      log.push(`${actor.name} fails ${asked.call} ${id}`);
      return undefined;
    }
  }

  const newVersion = (version: number, userId: string | undefined): StoredSession => ({
    payload: new TextEncoder().encode(`w${++written}`),
    version,
    expiresAt: time.now + SECOND * (1 + below(6)),
    userId,
  });

  async function create(actor: Actor, store: SessionStore): Promise<void> {
    const id = `s${histories.size}`;
    const stored = newVersion(1, pick(USER_IDS));
    if (await recordCall(actor, id, { call: "create", stored }, () => store.create(id, stored))) knownIds.push(id);
  }

  async function act(actor: Actor, store: SessionStore): Promise<void> {
    const choice = random();
    if (choice < 0.12 || knownIds.length === 0) return create(actor, store);
    if (choice < 0.2) return list(actor, store);
    const id = pick(knownIds);
    const found = await recordCall(actor, id, { call: "read" }, () => store.read(id));
    if (choice < 0.25) return;
    if (choice < 0.6) {
      const expected = found?.version ?? 1 + below(3);
      const stored = newVersion(expected + 1, random() < 0.6 ? found?.userId : pick(USER_IDS));
      await recordCall(actor, id, { call: "update", stored, expected }, () => store.update(id, stored, expected));
    } else if (choice < 0.8) {
      const expiresAt = time.now + SECOND * (1 + below(8));
      await recordCall(actor, id, { call: "touch", expiresAt }, () => store.touch(id, expiresAt));
    } else if (choice < 0.9) await recordCall(actor, id, { call: "delete" }, () => store.delete(id));
  }

  async function list(actor: Actor, store: SessionStore): Promise<void> {
    const userId = random() < 0.7 ? "ada" : undefined;
    const began = ++moment;
    const ids: string[] = [];
    try {
      if (userId !== undefined) ids.push(...(await store.idsOfUser!(userId)));
      else for await (const id of store.all!()) ids.push(id);
    } catch {
      return;
    }
    listings.push({ who: actor.name, userId, began, ended: ++moment, endedAt: time.now, ids });
    log.push(`${actor.name} lists ${String(userId)}: ${ids.join(" ")}`);
  }

  async function work(
    name: string,
    count: number,
    faultRate: number,
    makeStore: (actor: Actor) => SessionStore,
  ): Promise<void> {
    const actor: Actor = { name, isKilled: false, faultRate };
    actors.add(actor);
    const store = makeStore(actor);
    for (let n = 0; n < count; n += 1) {
      await waitForStep(actor, "act");
      await act(actor, store);
    }
    actors.delete(actor);
  }

  // --- the move

  const actors = new Set<Actor>();
  const makeMovingStore = (actor: Actor) =>
    makeMoving({ from: scheduledStore(actor, "from", from), to: scheduledStore(actor, "to", to) });
  const faultRate = random() < 0.3 ? 0.04 : 0;
  const state = { copied: false, ended: false };

  async function runDeploys(): Promise<void> {
    const oneStore = (name: string, store: SessionStore) => (actor: Actor) => scheduledStore(actor, name, store);
    await work("plain", 2 + below(4), 0, oneStore("from", from));
    const applications = Array.from({ length: 2 + below(2) }, (_, n) =>
      work(`moving${n}`, 2 + below(7), faultRate, makeMovingStore),
    );
    await work("last plain", below(4), 0, oneStore("from", from));
    const copies = Array.from({ length: random() < 0.2 ? 2 : 1 }, (_, n) => copyUntilDone(`copier${n}`));
    await Promise.all(copies);
    state.copied = true;
    const newApplication = work("new", 2 + below(4), 0, oneStore("to", sessionsOnly(to)));
    await Promise.all([...applications, newApplication].map((one) => Promise.race([one, untilOthersAreDone()])));
    // Another copy removes the staged copies of killed processes.
    actors.clear();
    const last: Actor = { name: "last copy", isKilled: false, faultRate: 0 };
    await copyAll(scheduledStore(last, "from", from), scheduledStore(last, "to", to));
    for (const id of histories.keys()) {
      await recordCall(last, id, { call: "read" }, () => to.read(id));
      const kind = recordKindOf(await to.read(id));
      if (kind === "staged" || kind === "marker") violations.push(`${id} is left ${kind} in the new store`);
    }
  }

  const finished: (() => void)[] = [];
  function untilOthersAreDone(): Promise<void> {
    return new Promise((resolve) => finished.push(resolve));
  }

  async function copyUntilDone(name: string): Promise<void> {
    for (let tries = 0; ; tries += 1) {
      const actor: Actor = { name: `${name}.${tries}`, isKilled: false, faultRate: tries < 3 ? faultRate : 0 };
      actors.add(actor);
      const killed = new Promise<"killed">((resolve) => onKilled.set(actor, () => resolve("killed")));
      if (tries < 3 && random() < 0.7) killAt.set(actor, steps + below(40));
      const outcome = await Promise.race([
        killed,
        copyAll(scheduledStore(actor, "from", from), scheduledStore(actor, "to", to)).then(
          () => "done" as const,
          (error: unknown) => (log.push(`${actor.name} fails: ${String(error)}`), "failed" as const),
        ),
      ]);
      actors.delete(actor);
      log.push(`${actor.name} is ${outcome}`);
      if (outcome === "done") return;
      if (tries > 8) {
        violations.push("the copy did not complete");
        return;
      }
    }
  }

  const onKilled = new Map<Actor, () => void>();
  const killAt = new Map<Actor, number>();

  function kill(actor: Actor): void {
    actor.isKilled = true;
    actors.delete(actor);
    kills += 1;
    log.push(`${actor.name} is killed`);
    waiting = waiting.filter((one) => one.actor !== actor);
    onKilled.get(actor)?.();
  }

  /** These actors get no step for a while. Most mistakes show when all others overtake one actor. */
  let stalled: Actor[] = [];
  const finishedRun = runDeploys().then(() => (state.ended = true));
  let idle = 0;
  while (!state.ended && steps < MAX_STEPS) {
    await new Promise((resolve) => setImmediate(resolve));
    waiting = waiting.filter(({ actor }) => !actor.isKilled);
    if (waiting.length === 0) {
      if (state.copied && actors.size === 0) for (const resolve of finished.splice(0)) resolve();
      // A copy pauses between two passes.
      if (++idle > 3) await new Promise((resolve) => setTimeout(resolve, 1));
      if (idle > 5000) break;
      continue;
    }
    idle = 0;
    steps += 1;
    for (const [actor, at] of killAt) {
      if (steps < at || actor.isKilled || !actors.has(actor)) continue;
      killAt.delete(actor);
      kill(actor);
    }
    if (random() < 0.01) {
      const victim = [...actors].find(({ name }) => name.startsWith("moving"));
      if (victim !== undefined) kill(victim);
    }
    if (waiting.length === 0) continue;
    if (random() < 0.03) {
      time.now += SECOND * below(3);
      moment += 1;
      advances.push({
        who: "clock",
        asked: { call: "advance", now: time.now },
        began: moment,
        ended: moment,
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
  if (state.ended) await finishedRun;
  else violations.push(`the simulation did not end within ${steps} steps`);

  for (const [id, entries] of histories) {
    if (linearized([...entries, ...advances], START) === undefined) {
      violations.push(`the answers about ${id} contradict each other: ${formatHistory(entries, advances)}`);
    }
  }
  for (const listing of listings) violations.push(...findListingMistakes(listing, histories));
  return { violations, log, kills, steps };
}

/**
 * The new store, as an application uses it that knows nothing of the move. It can't decode a staged copy, so this store hides
 * them. If a staged copy belonged to a live session, the session would be missing, and the simulation would report that.
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

/** Returns the mistakes of a listing: a session that existed all the time and is missing, or one that did not exist. */
function findListingMistakes(
  { who, userId, began, ended, endedAt, ids }: Listing,
  histories: Map<string, Entry[]>,
): string[] {
  const wrong: string[] = [];
  const of = userId === undefined ? "all" : `of ${userId}`;
  if (ids.includes(CONTROL_ID)) wrong.push(`${who}: listed the record of the move`);
  for (const [id, entries] of histories) {
    const writes = entries.filter(({ asked }) => asked.call === "create" || asked.call === "update");
    const hasUser = ({ asked }: Entry) => "stored" in asked && (userId === undefined || asked.stored.userId === userId);
    const ends = entries.filter(({ asked }) => asked.call === "delete");
    if (ids.includes(id)) {
      if (ends.some((end) => end.answer === true && end.ended < began)) wrong.push(`${who}: listed ${of}: ended ${id}`);
      if (!writes.some((write) => hasUser(write) && write.began < ended)) wrong.push(`${who}: listed ${of}: ${id}`);
      continue;
    }
    const completed = writes.filter((write) => write.answer === true && write.ended < began && hasUser(write));
    const isSure = completed.some((write) =>
      writes.every(
        (other) =>
          other === write ||
          other.answer === false ||
          hasUser(other) ||
          other.ended < write.began ||
          other.began > ended,
      ),
    );
    const firstExpiry = Math.min(...writes.map(({ asked }) => ("stored" in asked ? asked.stored.expiresAt : 0)));
    if (!isSure || firstExpiry <= endedAt || ends.some((end) => end.began < ended)) continue;
    wrong.push(`${who}: listing ${of} missed ${id}`);
  }
  return wrong;
}

function format(stored: StoredSession | undefined): string {
  if (stored === undefined) return "nothing";
  const kind = recordKindOf(stored);
  const { version, expiresAt } = stored;
  return `${kind === "session" ? contentOf(stored) : kind} v${version} until ${expiresAt - START}`;
}

function formatHistory(entries: readonly Entry[], advances: readonly Entry[]): string {
  const lines = [...entries, ...advances]
    .toSorted((a, b) => a.began - b.began)
    .map(({ who, asked, began, ended, answer }) => {
      const what = "stored" in asked ? format(asked.stored) : "";
      const more =
        "expected" in asked ? ` if v${asked.expected}` : "expiresAt" in asked ? ` ${asked.expiresAt - START}` : "";
      const clock = "now" in asked ? ` ${asked.now - START}` : "";
      const result = typeof answer === "object" ? format(answer) : ended === Infinity ? "?" : String(answer);
      return `  ${began}–${ended} ${who} ${asked.call}${clock} ${what}${more}: ${result}`;
    });
  return `\n${lines.join("\n")}`;
}
