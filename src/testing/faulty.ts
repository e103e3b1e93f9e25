import type { SessionStore, SessionUpdate } from "../store.ts";
import { namesOf } from "../checks.ts";
import { capabilitiesOf, refuseClientSide } from "../capabilities.ts";

/** An operation of a store that {@link faulty} can interfere with. */
export type StoreOperation = "read" | "create" | "update" | "touch" | "delete" | "idsOfUser" | "all" | "deleteExpired";

/**
 * The outcome of one call:
 *
 * - `"ok"`: the store handles the call.
 * - `"error"`: the call rejects, without effect. An `Error` instead of the word is the reason.
 * - `"error-after"`: the call takes effect, and then rejects.
 * - `"hang"`: the call has no effect, and never settles.
 * - `"lost-reply"`: the call takes effect, and never settles.
 * - `{ delay, fault }`: waits `delay` milliseconds, and then does as `fault` says (default `"ok"`).
 */
export type Fault =
  | "ok"
  | "error"
  | "error-after"
  | "hang"
  | "lost-reply"
  | Error
  | { readonly delay: number; readonly fault?: Fault | undefined };

/**
 * The outcomes of each operation's calls: a list in order, with `"ok"` after its end, or a function of the call's
 * number from 1.
 */
export type FaultPlan = {
  readonly [Operation in StoreOperation]?: readonly Fault[] | ((call: number) => Fault) | undefined;
};

/** A store that fails as planned, and counts its calls. */
export type FaultyStore = SessionStore & {
  /** The number of calls of each operation, whatever their outcome. `total` is their sum. */
  readonly calls: Readonly<Record<StoreOperation | "total", number>>;
};

const OPERATIONS = namesOf<StoreOperation>({
  read: true,
  create: true,
  update: true,
  touch: true,
  delete: true,
  idsOfUser: true,
  all: true,
  deleteExpired: true,
});

/**
 * Wraps a store, so that a test can show the effect of an outage: late replies, errors, replies that never come.
 *
 * The wrapper has the capabilities of the store. `close` is passed on. A pending call does not keep the process alive.
 *
 * @example const store = faulty(memoryStore(), { read: ["ok", "error", { delay: 50 }], update: (call) => (call % 2 ?
 *   "ok" : "hang") });
 *
 * @throws TypeError if the plan names something that is not an operation, or not a fault.
 */
export function faulty(store: SessionStore, plan: FaultPlan = {}): FaultyStore {
  for (const name of Object.keys(plan)) {
    if (!OPERATIONS.some((operation) => operation === name)) {
      throw new TypeError(`faulty can't plan "${name}": use any of ${OPERATIONS.join(", ")}`);
    }
    const planned: unknown = plan[name as StoreOperation];
    if (Array.isArray(planned)) for (const fault of planned) checkFault(name, fault);
    else if (planned !== undefined && typeof planned !== "function") {
      throw new TypeError(`faulty: ${name} takes a list of faults, or a function of the call's number`);
    }
  }
  const calls = {
    read: 0,
    create: 0,
    update: 0,
    touch: 0,
    delete: 0,
    idsOfUser: 0,
    all: 0,
    deleteExpired: 0,
    total: 0,
  };

  function next(operation: StoreOperation): Fault {
    calls.total += 1;
    calls[operation] += 1;
    const planned = plan[operation];
    if (typeof planned === "function") {
      const fault = planned(calls[operation]);
      checkFault(operation, fault);
      return fault;
    }
    return planned?.[calls[operation] - 1] ?? "ok";
  }

  refuseClientSide("faulty", store);
  const wrapped: FaultyStore = {
    calls,
    ...capabilitiesOf(store),
    read: (id) => meet("read", next("read"), () => store.read(id)),
    create(id, stored) {
      const fault = next("create");
      const kept = keptFor(fault, stored);
      return meet("create", fault, () => store.create(id, kept));
    },
    update(id, stored, expected) {
      const fault = next("update");
      const kept = keptFor(fault, stored);
      return meet("update", fault, () => store.update(id, kept, expected));
    },
    touch: (id, expiresAt) => meet("touch", next("touch"), () => store.touch(id, expiresAt)),
    delete: (id) => meet("delete", next("delete"), () => store.delete(id)),
  };
  if (store.readLatest !== undefined) {
    wrapped.readLatest = (id) => meet("read", next("read"), () => store.readLatest!(id));
  }
  if (store.idsOfUser !== undefined) {
    wrapped.idsOfUser = (userId) => meet("idsOfUser", next("idsOfUser"), () => store.idsOfUser!(userId));
  }
  if (store.all !== undefined) {
    wrapped.all = async function* () {
      // Listing is its only effect, so a call that fails after its effect lists everything first.
      const fault = next("all");
      const late = fault === "error-after" || fault === "lost-reply";
      if (!late) await meet("all", fault, async () => undefined);
      yield* store.all!();
      if (late) await meet("all", fault, async () => undefined);
    };
  }
  if (store.deleteExpired !== undefined) {
    wrapped.deleteExpired = (limit) => meet("deleteExpired", next("deleteExpired"), () => store.deleteExpired!(limit));
  }
  return wrapped;
}

const FAULTS = namesOf<Extract<Fault, string>>({
  ok: true,
  error: true,
  "error-after": true,
  hang: true,
  "lost-reply": true,
});

/** Refuses what is no fault: as one that is not known, it would silently be "ok". */
function checkFault(operation: string, fault: unknown): void {
  if (fault instanceof Error || FAULTS.some((one) => one === fault)) return;
  if (typeof fault !== "object" || fault === null || !("delay" in fault)) {
    throw new TypeError(
      `faulty: ${operation} has no fault "${String(fault)}": use any of ${FAULTS.join(", ")}, an Error, or { delay, fault }`,
    );
  }
  if ("fault" in fault && fault.fault !== undefined) checkFault(operation, fault.fault);
}

async function meet<T>(operation: StoreOperation, fault: Fault, effect: () => Promise<T>): Promise<T> {
  if (fault instanceof Error) throw fault;
  if (typeof fault === "object") {
    await pass(fault.delay);
    return meet(operation, fault.fault ?? "ok", effect);
  }
  if (fault === "error") throw new Error(`planned fault: ${operation} failed without effect`);
  if (fault === "hang") return never();
  const result = await effect();
  if (fault === "error-after") throw new Error(`planned fault: ${operation} took effect and failed`);
  return fault === "lost-reply" ? never() : result;
}

/** Copies the payload for a call that waits, because the caller may reuse its buffer meanwhile. */
function keptFor(fault: Fault, stored: SessionUpdate): SessionUpdate {
  return typeof fault === "object" && "delay" in fault
    ? { ...stored, payload: new Uint8Array(stored.payload) }
    : stored;
}

const never = (): Promise<never> => new Promise(() => {});

/** Waits without keeping the process alive, if the runtime's timers support that. */
function pass(milliseconds: number): Promise<void> {
  return new Promise((resolve) => {
    const timer: unknown = setTimeout(resolve, milliseconds);
    if (typeof timer === "object" && timer !== null && "unref" in timer && typeof timer.unref === "function") {
      timer.unref();
    }
  });
}
