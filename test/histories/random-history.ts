import * as fc from "fast-check";
import { CONTAINERS, type Container, isSessionRequest, type Operation, type SessionRequest } from "./history.ts";

const SESSIONS = 3;

/** One operation as it is generated. Its effect comes `before` milliseconds after its beginning, `after` before its answer. */
interface Intent {
  readonly kind: SessionRequest["kind"] | "revoke" | "revoke-all" | "list";
  readonly session: number;
  readonly container: Container;
  readonly before: number;
  readonly after: number;
  readonly fate: "ok" | "failed" | "lost with effect" | "lost without effect";
}

export const intents: fc.Arbitrary<readonly Intent[]> = fc.array(
  fc.record({
    kind: fc.oneof(
      { weight: 12, arbitrary: fc.constantFrom("add" as const, "add" as const, "count" as const, "read" as const) },
      { weight: 2, arbitrary: fc.constantFrom("sign-in" as const, "list" as const) },
      { weight: 1, arbitrary: fc.constantFrom("sign-out" as const, "revoke" as const, "revoke-all" as const) },
    ),
    session: fc.integer({ min: 0, max: SESSIONS - 1 }),
    container: fc.constantFrom(...CONTAINERS),
    before: fc.integer({ min: 1, max: 35 }),
    after: fc.integer({ min: 1, max: 35 }),
    fate: fc.constantFrom("ok", "ok", "ok", "ok", "failed", "lost with effect", "lost without effect"),
  }),
  { minLength: 5, maxLength: 60 },
);

/** Two sessions of ada, one of bob. */
const userOf = (session: number) => (session < 2 ? "ada" : "bob");

interface State {
  generation: number;
  id: string | undefined;
  count: number;
  readonly elements: Record<Container, string[]>;
}

/** A history of servers without a mistake: each operation has its effect at one moment between its beginning and its end. */
export function perform(plan: readonly Intent[]): Operation[] {
  const history: Operation[] = [];
  const states: State[] = [];
  /** When the client has got the answers of each session's sign-ins. */
  const acknowledgedSignIns: number[][] = [];
  for (let session = 0; session < SESSIONS; session++) {
    states.push({ generation: 1, id: `id-${session}-1`, count: 0, elements: { list: [], set: [], map: [] } });
    acknowledgedSignIns.push([1]);
    const [user, id] = [userOf(session), `id-${session}-1`];
    history.push({ ...request("sign-in", session, 0, 1), generation: 0, cookie: 0, user, id });
  }
  const closing: Intent[] = states.map((_, session) => ({ ...CLOSING, session }));
  for (const [index, intent] of [...plan, ...closing].entries()) {
    // The closing reads begin when all else has ended.
    const isClosing = index >= plan.length;
    const at = 100 + index * 10 + (isClosing ? 1000 : 0);
    history.push(carryOut(intent, at, index));
  }
  return history;

  function carryOut({ kind, session, container, before, after, fate }: Intent, at: number, index: number): Operation {
    const timed = { began: at - before, ended: at + after };
    const outcome = fate === "ok" || fate === "failed" ? fate : "unknown";
    const takesEffect = fate === "ok" || fate === "lost with effect";
    const state = states[session]!;
    const user = userOf(session);
    switch (kind) {
      case "revoke":
        if (takesEffect) state.id = undefined;
        return { kind, session: `s${session}`, ...timed, outcome };
      case "revoke-all":
        for (const [other, one] of states.entries()) {
          if (takesEffect && userOf(other) === user) one.id = undefined;
        }
        return { kind, user, ...timed, outcome };
      case "list": {
        const ids = states.flatMap(({ id }, other) => (id !== undefined && userOf(other) === user ? [id] : []));
        return { kind, user, ids, ...timed, outcome };
      }
      default: {
        const generation = acknowledgedSignIns[session]!.filter((ended) => ended < timed.began).length;
        const asked = { ...request(kind, session, timed.began, timed.ended), generation, cookie: generation };
        const element = kind === "add" ? { container, element: `e${index}` } : {};
        if (!takesEffect) return { ...asked, ...element, outcome };
        if (state.id === undefined || state.generation !== generation) {
          if (outcome === "unknown") return { ...asked, ...element, outcome };
          return { ...asked, ...element, outcome: "failed", signedOut: true };
        }
        const answer: { -readonly [Key in "seen" | "id" | "user"]?: SessionRequest[Key] } = { user };
        if (kind === "add") state.elements[container].push(`e${index}`);
        if (kind === "count") state.count += 1;
        if (kind === "read") answer.seen = structuredClone({ count: state.count, ...state.elements });
        if (kind === "sign-out") state.id = undefined;
        if (kind === "sign-in") {
          state.generation += 1;
          answer.id = state.id = `id-${session}-from-${index}`;
          if (outcome === "ok") acknowledgedSignIns[session]!.push(timed.ended);
        }
        return { ...asked, ...element, outcome, ...(outcome === "ok" ? answer : {}) };
      }
    }
  }
}

const CLOSING: Intent = { kind: "read", session: 0, container: "list", before: 1, after: 1, fate: "ok" };

function request(kind: SessionRequest["kind"], session: number, began: number, ended: number): SessionRequest {
  return { kind, session: `s${session}`, generation: 0, cookie: 0, began, ended, outcome: "ok" };
}

/** A read that was served. */
export type Read = SessionRequest & { readonly seen: NonNullable<SessionRequest["seen"]> };

/** The last requests, one for each session. They begin when all others have ended. */
export function closingRequests(history: readonly Operation[]): SessionRequest[] {
  return history.slice(-SESSIONS).filter(isSessionRequest);
}

/** Those of them that were served. */
export function closingReads(history: readonly Operation[]): Read[] {
  return closingRequests(history).filter((one): one is Read => one.seen !== undefined);
}
