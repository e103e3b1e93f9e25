import type { SessionStore, StoredSession } from "sojourn";
import { memoryStore, type MemoryStore } from "sojourn/memory";
import { currentActor, START, type Actor, type Timeline } from "./virtual-time.ts";

type StoreListener = Parameters<NonNullable<SessionStore["subscribe"]>>[0];

/** Milliseconds that a call takes to the store, and its answer back. The first is the simplest. */
const DELAYS = [0, 1, 2, 4, 9, 40] as const;
export const DELAY_COUNT = DELAYS.length;
/** So many of them, the first, are short. */
export const QUICK_DELAYS = 4;
/** A call that is this late takes effect after its caller has given up. */
const LATE = 130;
const WELL = 28;
const OUTCOMES = [
  ...Array.from({ length: WELL }, () => "ok" as const),
  "fails before its effect",
  "fails after its effect",
  "hangs",
  "loses its reply",
  "takes effect late",
  "ok",
] as const;

/** How many fates a store call may have: whole numbers below. */
export const FATES = DELAYS.length * DELAYS.length * OUTCOMES.length;

/** The fates that are delays alone. */
export const DELAYS_ONLY = DELAYS.length * DELAYS.length;

/** The fates that are faults; first those that are an error. */
export const FIRST_FAULT = DELAYS.length * DELAYS.length * WELL;
export const LAST_ERROR = FIRST_FAULT + DELAYS.length * DELAYS.length * 2 - 1;
export const LAST_FAULT = FIRST_FAULT + DELAYS.length * DELAYS.length * 5 - 1;

interface Fate {
  readonly there: number;
  readonly back: number;
  readonly outcome: (typeof OUTCOMES)[number];
}

function fateOf(code: number, isFaulty: boolean): Fate {
  const there = DELAYS[code % DELAYS.length]!;
  const back = DELAYS[Math.floor(code / DELAYS.length) % DELAYS.length]!;
  const outcome = OUTCOMES[Math.floor(code / DELAYS.length ** 2) % OUTCOMES.length]!;
  return { there, back, outcome: isFaulty ? outcome : "ok" };
}

/** What a call of a store has done. */
export interface Effect {
  /** When it was called, and when it took effect. */
  readonly calledAt: number;
  readonly at: number;
  readonly operation: "create" | "update" | "touch" | "delete";
  readonly id: string;
  readonly actor: Actor | undefined;
  /** What it was given: when the session expires by it. */
  readonly expiresAt: number | undefined;
  /** The clock of the process that called, at the call. */
  readonly clock: number;
  /** Whether its actor was signing in. */
  readonly isSigningIn: boolean;
  /** Whether its actor was ending the session. */
  readonly isEnding: boolean;
  /** The call of `rotate()` that its actor was storing. */
  readonly rotation: object | undefined;
}

/** One process's way to the store. */
export interface Connection {
  isDead: boolean;
  /** Whether calls that are under way at the process's death take effect: one answer after the other. */
  survivors: readonly boolean[];
  /** Whether notifications come through. */
  isHearing: boolean;
  readonly listeners: Set<StoreListener>;
  clock(): number;
}

export interface StoreSettings {
  readonly isFaulty: boolean;
  readonly isSealed: boolean;
  readonly notifies: boolean;
  /** Milliseconds until a notification arrives. */
  readonly notice: number;
}

/** The library's own store, on a machine that several processes share. Every call of it is a point of the schedule. */
export class SharedStore {
  readonly effects: Effect[] = [];
  /** Sessions that a sign-in has deleted, or has found deleted when it wanted to: another request was ending them. */
  readonly finishedBySignIns = new Set<string>();
  /** Sessions that a touch has shortened. */
  readonly brokenTouches: string[] = [];
  /** Every id that a session was to be stored under: an attempt that fails may have stored one. */
  readonly idsOfNew = new Set<string>();
  /** Those that were to be used once more. */
  readonly reusedIds: string[] = [];
  /** How far its clock is ahead of true time. */
  offset = 0;
  calls = 0;
  /** Is told of every call, where somebody wants to read them. */
  trace: ((what: string) => void) | undefined;
  #memory: MemoryStore;
  readonly #timeline: Timeline;
  readonly #settings: StoreSettings;
  readonly #connections = new Set<Connection>();

  constructor(timeline: Timeline, settings: StoreSettings) {
    this.#timeline = timeline;
    this.#settings = settings;
    this.#memory = this.#empty();
  }

  #empty(): MemoryStore {
    const memory = memoryStore({ clock: () => Math.floor(START + this.#timeline.now + this.offset) });
    memory.subscribe({ ended: (id) => this.#notify(id) });
    return memory;
  }

  /** Holds the same as another from now on, and nothing else. */
  async become(other: SharedStore): Promise<void> {
    this.offset = other.offset;
    this.#memory = this.#empty();
    for await (const id of other.#memory.all()) {
      const stored = await other.#memory.read(id);
      if (stored) await this.#memory.create(id, stored);
    }
  }

  /** The store as one process sees it. */
  connect(connection: Connection): SessionStore {
    this.#connections.add(connection);
    const { isSealed, notifies } = this.#settings;
    const call = <T>(name: string, about: string, effect: () => Promise<T>): Promise<T> =>
      this.#call(connection, name, about, effect);
    /** A call that changes something, where the answer is `true`. */
    const change = (operation: Effect["operation"], id: string, effect: () => Promise<boolean>, expiresAt?: number) => {
      const [calledAt, clock, actor] = [this.#timeline.now, connection.clock(), currentActor()];
      const isSigningIn = actor?.isSigningIn === true;
      const isEnding = actor?.isEnding === true;
      const rotation = isSigningIn ? undefined : actor?.rotation;
      return call(operation, id, async () => {
        const at = this.#timeline.now;
        const isDone = await effect();
        const by = { actor, isSigningIn, isEnding, rotation };
        if (operation === "delete" && isSigningIn) this.finishedBySignIns.add(id);
        if (isDone) this.effects.push({ calledAt, at, operation, id, expiresAt, clock, ...by });
        return isDone;
      });
    };
    const copy = <Stored extends StoredSession>(stored: Stored): Stored => ({
      ...stored,
      payload: new Uint8Array(stored.payload),
    });

    const store: SessionStore = {
      ...(isSealed ? {} : { inProcess: true }),
      read: (id) => call("read", id, () => this.#memory.read(id)),
      create: (id, given) => {
        const stored = copy(given);
        if (this.idsOfNew.has(id)) this.reusedIds.push(id);
        this.idsOfNew.add(id);
        return change("create", id, () => this.#memory.create(id, stored), stored.expiresAt);
      },
      update: (id, given, expected) => {
        const stored = copy(given);
        return change("update", id, () => this.#memory.update(id, stored, expected), stored.expiresAt);
      },
      touch: (id, expiresAt) => change("touch", id, () => this.#touch(id, expiresAt), expiresAt),
      delete: (id) => change("delete", id, () => this.#memory.delete(id)),
      idsOfUser: (userId) => call("idsOfUser", userId, () => this.#memory.idsOfUser(userId)),
      deleteExpired: (limit) => call("deleteExpired", "", () => this.#memory.deleteExpired(limit)),
    };
    if (!notifies) return store;
    return {
      ...store,
      subscribe: (listener) => {
        connection.listeners.add(listener);
        listener.listening?.(connection.isHearing);
        return () => void connection.listeners.delete(listener);
      },
    };
  }

  async #touch(id: string, expiresAt: number): Promise<boolean> {
    const before = await this.#memory.read(id);
    const isTouched = await this.#memory.touch(id, expiresAt);
    const after = await this.#memory.read(id);
    if (before && after && after.expiresAt < before.expiresAt) this.brokenTouches.push(id);
    return isTouched;
  }

  /** Cuts off the notifications of a process, which it notices later. */
  deafen(connection: Connection, noticedAfter: number, restoredAfter: number): void {
    const tell = (isListening: boolean) => {
      if (connection.isDead) return;
      for (const listener of connection.listeners) listener.listening?.(isListening);
    };
    connection.isHearing = false;
    this.#timeline.after(noticedAfter, () => tell(false));
    this.#timeline.after(Math.max(noticedAfter, restoredAfter), () => {
      connection.isHearing = true;
      tell(true);
    });
  }

  #notify(id: string): void {
    for (const connection of this.#connections) {
      const hear = () => {
        if (!connection.isHearing || connection.isDead) return;
        for (const listener of connection.listeners) listener.ended?.(id);
      };
      this.#timeline.after(this.#settings.notice, hear);
    }
  }

  #call<T>(connection: Connection, name: string, about: string, effect: () => Promise<T>): Promise<T> {
    this.calls++;
    const actor = currentActor();
    const { there, back, outcome } = fateOf(actor?.fates[actor.calls] ?? 0, this.#settings.isFaulty);
    if (actor) {
      actor.calls++;
      if (outcome !== "ok") actor.faults.push({ operation: name, outcome, calledAt: this.#timeline.now });
    }
    const survives = connection.survivors[this.calls % Math.max(1, connection.survivors.length)] ?? false;
    const tell = (what: string) =>
      this.trace?.(`store: ${name} ${about.slice(0, 5)} by ${actor?.name ?? "nobody"} ${what}`);
    return new Promise<T>((resolve, reject) => {
      tell(outcome === "ok" ? "is sent" : `is sent, which ${outcome}`);
      // Nothing leaves a process that is dead.
      if (connection.isDead || outcome === "hangs") return;
      this.#timeline.after(outcome === "takes effect late" ? LATE + there : there, () => {
        if (connection.isDead && !survives) return;
        const failed = () => reject(new Error(`simulated fault: ${name} ${outcome}`));
        if (outcome === "fails before its effect") return void this.#timeline.after(back, failed);
        void effect().then((answer) => {
          tell(`takes effect: ${shortOf(answer)}`);
          if (outcome === "loses its reply") return;
          this.#timeline.after(back, () => {
            if (connection.isDead) return;
            if (outcome === "fails after its effect") failed();
            else resolve(answer);
          });
        }, reject);
      });
    });
  }
}

/** What the store has answered, for the log. */
function shortOf(answer: unknown): string {
  const { version } = (answer ?? {}) as Partial<StoredSession>;
  return version === undefined ? JSON.stringify(answer ?? null) : `version ${version}`;
}
