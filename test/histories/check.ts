import { checkData } from "./check-data.ts";
import {
  isSessionRequest,
  type Listing,
  type Operation,
  type RevocationOfAll,
  type SessionRequest,
} from "./history.ts";

export type Rule =
  | "lost update"
  | "stale read"
  | "lost after it was seen"
  | "never asked for"
  | "another session's"
  | "seen before it was asked for"
  | "refused, and there"
  | "twice"
  | "order changed"
  | "out of order"
  | "counter too low"
  | "counter too high"
  | "counter went back"
  | "alive after its end"
  | "old token alive"
  | "back after it was gone"
  | "signed out without a cause"
  | "another user's session"
  | "listed after its end"
  | "missing from the list"
  | "one id twice";

export interface Breach {
  readonly rule: Rule;
  readonly session: string;
  readonly detail: string;
  /** The operations that contradict each other. */
  readonly evidence: readonly Operation[];
}

/** What the store promises. */
export interface Promises {
  /** A read may show a state that is older by this many milliseconds, because the store has a near cache. Default 0. */
  readonly staleness?: number | undefined;
  /**
   * `false`: a failover may take back what was seen and not acknowledged, because a server shows it before its replica has it.
   * If that is the end of a session, the changes stay dropped that other requests made meanwhile. Default `true`.
   */
  readonly seenStays?: boolean | undefined;
  /**
   * A network may hold back what takes back a failed sign-in or sign-out: where that has run out of time, for `longest`
   * milliseconds after its answer. Requests that lasted less than `timeout` milliseconds have not. Default: it does not.
   */
  readonly heldBack?: { readonly timeout: number; readonly longest: number } | undefined;
  /** The `grace` of rotation in milliseconds. A request that is under way for longer may end its session. */
  readonly grace?: number | undefined;
}

/** Finds every breach of a promise in a history. */
export function check(history: readonly Operation[], promises: Promises = {}): Breach[] {
  const sessions = groupBySession(history);
  const askers = new Map<string, string>();
  for (const { requests, name } of sessions.values()) {
    for (const { element } of requests) if (element !== undefined) askers.set(element, name);
  }
  const breaches: Breach[] = [];
  for (const session of sessions.values()) {
    breaches.push(...checkLife(session, promises), ...checkData(session, promises, askers));
  }
  breaches.push(...checkLists(history, sessions, promises), ...checkIds(sessions));
  return breaches;
}

/** One session of a history, and what may have ended it. */
export interface Life {
  readonly name: string;
  readonly user: string | undefined;
  readonly requests: readonly SessionRequest[];
  readonly ends: readonly End[];
  readonly ids: readonly string[];
}

interface End {
  readonly operation: Operation;
  /** It may have had its effect from here on. */
  readonly began: number;
  /** It has had its effect from here on. Infinite where that is not known. */
  readonly ended: number;
}

const endOf = (operation: Operation): End => ({
  operation,
  began: operation.began,
  ended: operation.outcome === "ok" ? operation.ended : Number.POSITIVE_INFINITY,
});

function groupBySession(history: readonly Operation[]): Map<string, Life> {
  const requests = new Map<string, SessionRequest[]>();
  const ends = new Map<string, End[]>();
  for (const operation of history) {
    if (isSessionRequest(operation)) getOrMake(requests, operation.session).push(operation);
    if (operation.kind !== "sign-out" && operation.kind !== "revoke") continue;
    if (operation.outcome !== "failed") getOrMake(ends, operation.session).push(endOf(operation));
  }
  const revocations = history.filter(
    (operation): operation is RevocationOfAll => operation.kind === "revoke-all" && operation.outcome !== "failed",
  );
  const lives = new Map<string, Life>();
  for (const [name, own] of requests) {
    const signIns = own.filter(({ kind }) => kind === "sign-in");
    const user = signIns[0]?.user;
    const byAll = revocations.filter((one) => one.user === user).map((one) => endOfRevocation(one, signIns));
    const ids = signIns.flatMap(({ id }) => (id === undefined ? [] : [id]));
    lives.set(name, { name, user, requests: own, ends: [...(ends.get(name) ?? []), ...byAll], ids });
  }
  return lives;
}

/** A sign-in of the same moment may begin what the revocation did not find any more, or not yet. */
function endOfRevocation(revocation: RevocationOfAll, signIns: readonly SessionRequest[]): End {
  const met = signIns.filter((signIn) => signIn.began < revocation.ended);
  const isCertain = met.length > 0 && met.every((signIn) => effectEnd(signIn) < revocation.began);
  return isCertain ? endOf(revocation) : { ...endOf(revocation), ended: Number.POSITIVE_INFINITY };
}

/** When an operation can have no further effect. */
const effectEnd = ({ outcome, ended }: Operation): number => (outcome === "unknown" ? Number.POSITIVE_INFINITY : ended);

function getOrMake<Key, Item>(map: Map<Key, Item[]>, key: Key): Item[] {
  const found = map.get(key);
  if (found) return found;
  const made: Item[] = [];
  map.set(key, made);
  return made;
}

/** Whether it is served when it must be, and not when it must not. */
function checkLife(life: Life, promises: Promises): Breach[] {
  const { staleness = 0, seenStays = true, grace } = promises;
  const { name, user, requests, ends } = life;
  const breaches: Breach[] = [];
  const report = (rule: Rule, detail: string, ...evidence: Operation[]) =>
    breaches.push({ rule, session: name, detail, evidence });

  const successors = requests.filter(({ kind, outcome }) => kind === "sign-in" && outcome !== "failed");
  const gone = requests.filter(({ signedOut }) => signedOut);
  for (const request of requests) {
    if (request.kind === "sign-in" && request.generation === 0) continue;
    const supersedes = successors
      .filter((one) => one !== request && one.generation >= request.generation && one.generation > 0)
      .map(endOf);
    if (request.outcome === "ok") {
      if (request.user !== undefined && request.user !== user) {
        report("another user's session", `the client of ${user} was taken for ${request.user}`, request);
      }
      const end = ends.find(({ ended }) => ended + staleness < request.began);
      if (end)
        report("alive after its end", `${request.kind} was served after ${end.operation.kind}`, end.operation, request);
      const supersede = supersedes.find(({ ended }) => ended + staleness < request.began);
      if (supersede) report("old token alive", `${request.kind} with a token of before`, supersede.operation, request);
      const before = gone.find(
        (one) =>
          one.generation >= request.generation &&
          one.ended + staleness < request.began &&
          !mayBeTakenBack(one, life, promises),
      );
      if (before && seenStays) report("back after it was gone", `${request.kind} was served again`, before, request);
    }
    if (request.signedOut) {
      const hasCause = [...ends, ...supersedes].some(({ began }) => began < request.ended);
      if (hasCause || mayBeReplay(request, requests, grace)) continue;
      report("signed out without a cause", `${request.kind} found nobody signed in`, request);
    }
  }
  return breaches;
}

/**
 * Whether it was signed out by an end, or by another sign-in, that has failed later: while that is under way, the library
 * takes it back.
 */
function mayBeTakenBack(gone: SessionRequest, { requests, ends }: Life, { heldBack }: Promises): boolean {
  const signIns = requests.filter(({ kind, outcome }) => kind === "sign-in" && outcome === "unknown");
  const takenBackBy = ({ began, ended }: Operation) =>
    heldBack && ended - began >= heldBack.timeout ? ended + heldBack.longest : ended;
  return [...ends.map(({ operation }) => operation), ...signIns].some(
    (one) => one.outcome === "unknown" && one.began < gone.ended && gone.began < takenBackBy(one),
  );
}

/** Whether a request was under way with an old cookie for so long that the server may take it for a replay. */
function mayBeReplay(found: SessionRequest, requests: readonly SessionRequest[], grace: number | undefined): boolean {
  if (grace === undefined) return false;
  return requests.some((late) => {
    if (late.began > found.ended) return false;
    const newer = requests.filter(({ cookie, generation }) => cookie > late.cookie && generation === late.generation);
    const firstUse = Math.min(...newer.map(({ began }) => began));
    return Math.min(effectEnd(late), found.ended) > firstUse + grace;
  });
}

function checkLists(history: readonly Operation[], lives: Map<string, Life>, { seenStays = true }: Promises): Breach[] {
  const breaches: Breach[] = [];
  const listings = history.filter((one): one is Listing => one.kind === "list" && one.outcome === "ok");
  const lifeOfUser = new Map<string | undefined, Life[]>();
  for (const life of lives.values()) getOrMake(lifeOfUser, life.user).push(life);
  for (const listing of listings) {
    for (const { name, ids, ends, requests } of lifeOfUser.get(listing.user) ?? []) {
      const end = ends.find(({ ended }) => ended < listing.began);
      const signIns = requests.filter(({ kind, outcome }) => kind === "sign-in" && outcome !== "failed");
      if (end && listing.ids.some((id) => ids.includes(id))) {
        const evidence = [end.operation, listing];
        breaches.push({ rule: "listed after its end", session: name, detail: "its id is listed", evidence });
      }
      // Until a sign-in of the same moment is acknowledged, the client does not know the id.
      const isSettled = signIns.length > 0 && signIns.every((one) => effectEnd(one) < listing.began);
      const mayHaveEnded =
        ends.some(({ began }) => began < listing.ended) ||
        requests.some(({ signedOut, began }) => signedOut && began < listing.ended);
      if (isSettled && !mayHaveEnded && seenStays && !listing.ids.includes(ids.at(-1)!)) {
        const evidence = [signIns.at(-1)!, listing];
        breaches.push({ rule: "missing from the list", session: name, detail: "it is live, and not listed", evidence });
      }
    }
  }
  return breaches;
}

function checkIds(lives: Map<string, Life>): Breach[] {
  const breaches: Breach[] = [];
  const first = new Map<string, SessionRequest>();
  for (const { name, requests } of lives.values()) {
    for (const request of requests) {
      if (request.kind !== "sign-in" || request.id === undefined) continue;
      const other = first.get(request.id);
      if (other) breaches.push({ rule: "one id twice", session: name, detail: request.id, evidence: [other, request] });
      first.set(request.id, request);
    }
  }
  return breaches;
}
