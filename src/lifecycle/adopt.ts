import { encode } from "../changes/codec.ts";
import { MAX_FLASHES } from "../changes/flashes.ts";
import { readLatest } from "../capabilities.ts";
import type { Context } from "../context.ts";
import { Deadline } from "../deadline.ts";
import { SessionError } from "../errors.ts";
import type { FormerSession, FormerSessions, FoundSession } from "../former.ts";
import { printable } from "../printable.ts";
import { createRandomPart } from "../random.ts";
import { loadLatest } from "../record/load.ts";
import {
  createMarker,
  decryptSession,
  encryptSession,
  type Client,
  type LoadedRecord,
  type SessionRecord,
} from "../record/record.ts";
import { hashSecret, tokenFields, type Token } from "../record/token.ts";
import { cookieValues } from "../request/cookie.ts";
import { matchOf } from "../request/presented-tokens.ts";
import type { LiveState, SessionState } from "../request/state.ts";
import { warnOfForeignFormer, warnOfMissingFormer, warnOfMissingUser } from "./adoption-warnings.ts";
import { tokenStatus } from "./decisions.ts";
import { discard, fromFormer, remove, retryInBackground } from "./end.ts";
import { butGiven, isUserId } from "../user-id.ts";
import { isRefused, markerEnd } from "./refusals.ts";
import { retryUntilDone } from "./retries.ts";
import { absoluteEnd, extendedEnd } from "./timeouts.ts";

/*
 * One former session becomes one session, whichever requests and processes meet. The marker decides: a record under an id that
 * a key of the keyring derives from the former session's key, and that names the session.
 *
 *   1. Read the marker. It names the session: go on with that one, or with none if it has ended.
 *   2. Read the former session, and create a session under a random id.
 *   3. Read whether the user's sessions were revoked.
 *   4. Create the marker. If there is one already, delete the session, and go on as in 1.
 *
 * The secret of the session is derived from its id and the former key, so that every request with the former cookie has the same
 * token. Once the session has ended, the marker stays: a copy of the former cookie opens nothing.
 */

/** The values of one name that are checked, and the authentic ones of one source that are read. */
const MAX_VALUES = 16;
const MAX_FOUND = 4;
const MAX_KEY = 512;

/** An authentic cookie of a former library. */
interface Candidate {
  readonly source: FormerSessions;
  readonly found: FoundSession;
}

/** The result of a request with former cookies. */
interface Adopted {
  readonly state: SessionState;
  /** This request has created the session. */
  readonly isNew: boolean;
  /** The sources whose cookies are done with. */
  readonly sources: readonly FormerSessions[];
}

interface Opened {
  readonly state: SessionState;
  readonly isNew: boolean;
}

/** Finds the authentic former cookies in a Cookie header. No store is asked. */
export function formerIn(context: Context, header: string | undefined): readonly Candidate[] {
  const { former = [], emitter, diagnose } = context;
  if (header === undefined) return [];
  const valuesOf = (name: string) => cookieValues(header, name).slice(0, MAX_VALUES);
  return former.flatMap((source) => {
    try {
      const found = new Map(source.find(valuesOf).map((one) => [checkKey(source, one.key), one]));
      if (diagnose && found.size === 0 && source.cookies.some(({ name }) => valuesOf(name).length > 0))
        warnOfForeignFormer(source);
      return [...found.values()].slice(0, MAX_FOUND).map((one) => ({ source, found: one }));
    } catch (error) {
      // Anybody can send such a cookie: its sender is a visitor.
      emitter.emit("error", { error });
      return [];
    }
  });
}

function checkKey({ name }: FormerSessions, key: unknown): string {
  if (typeof key === "string" && key !== "" && key.length <= MAX_KEY) return key;
  throw new TypeError(`adopt: ${name} must find sessions with a key, a string of 1 to ${MAX_KEY} characters`);
}

/**
 * Goes on with the session that has taken the place of a former one, or creates it.
 *
 * @param client - describes the sender of the request.
 * @throws SessionError ERR_SESSION_STORE
 */
export async function adopt(
  context: Context,
  candidates: readonly Candidate[],
  client: () => Client | undefined,
): Promise<Adopted> {
  const deadline = new Deadline(context.storeTimeout);
  const sources = [...new Set(candidates.map(({ source }) => source))];
  const missing = new Set<FormerSessions>();
  let state: SessionState = { kind: "none", tokenStatus: "anonymous" };
  // The first source that has a session counts. In one source, two sessions mean that somebody planted one.
  for (const source of sources) {
    const own = candidates.filter((candidate) => candidate.source === source);
    const worth = own.length === 1 ? own : await worthOf(context, own, deadline);
    // Their cookies stay: the planted one may be out of reach, and would be the only one of the next request.
    if (worth.length > 1) return { state, isNew: false, sources: [] };
    const opened = worth[0] && (await openOrAdopt(context, worth[0], deadline, client));
    if (worth.length === 0 || opened === "missing") missing.add(source);
    else if (opened?.state.kind === "live") return { ...opened, sources };
    else state = opened?.state ?? state;
  }
  // The cookie of a session that the source has not found stays: a source with a wrong prefix would sign everybody out for good.
  return { state, isNew: false, sources: sources.filter((source) => !missing.has(source)) };
}

/** Those of several candidates that have a session, former or not. */
async function worthOf(context: Context, candidates: readonly Candidate[], deadline: Deadline): Promise<Candidate[]> {
  const found: Candidate[] = [];
  for (const candidate of candidates) {
    const marker = await readMarker(context, candidate, deadline);
    const isWorth = marker
      ? (await openMarked(context, marker, deadline))?.kind === "live"
      : isAdoptable(context, await readFormer(context, candidate, deadline));
    if (isWorth) found.push(candidate);
  }
  return found;
}

/** In one process, the requests with one former session wait for each other: the first one adopts it. */
async function openOrAdopt(
  context: Context,
  candidate: Candidate,
  deadline: Deadline,
  client: () => Client | undefined,
): Promise<Opened | "missing" | undefined> {
  return context.commits.run(`adopt ${markerIds(context, candidate)[0]}`, async () => {
    let opened: Opened | "missing" | undefined;
    await retryUntilDone(async () => {
      const marker = await readMarker(context, candidate, deadline);
      if (marker) {
        const state = await openMarked(context, marker, deadline);
        opened = state && { state, isNew: false };
        return true;
      }
      const former = await readFormer(context, candidate, deadline);
      if (!former) opened = "missing";
      if (!isAdoptable(context, former)) return true;
      const adoption = new Adoption(context, candidate, former, deadline, client);
      const outcome = await adoption.store();
      if (outcome === "adopted") opened = { state: adoption.state, isNew: true };
      return outcome !== "again";
    });
    return opened;
  });
}

/** A marker, as it was read. */
interface Marker {
  /** The token of the session that it names. */
  readonly token: Token;
}

function markerIds({ keyring }: Context, { source, found }: Candidate): string[] {
  return keyring.adoption("marker", source.name, found.key);
}

function secretsOf({ keyring }: Context, { source, found }: Candidate, id: string): string[] {
  return keyring.adoption("secret", id, source.name, found.key);
}

/** Reads the marker of a former session, by the current key or a previous one. */
async function readMarker(context: Context, candidate: Candidate, deadline: Deadline): Promise<Marker | undefined> {
  const ids = markerIds(context, candidate);
  for (let i = 0; i < ids.length; i += 1) {
    const stored = await deadline.run("read", () => readLatest(context.store, ids[i]!));
    if (!stored) continue;
    const id = decryptSession(context, ids[i]!, stored).record.ended?.movedTo ?? "";
    return { token: { id, secret: secretsOf(context, candidate, id)[i]!, epoch: 1 } };
  }
  return undefined;
}

/**
 * Opens the session that a marker names. `undefined` if it has ended. If its token was replaced, the request may set no cookie:
 * the client may have got the new one meanwhile.
 */
async function openMarked(context: Context, { token }: Marker, deadline: Deadline): Promise<SessionState | undefined> {
  const loaded = await loadLatest(context, token.id, deadline);
  if (!loaded) return undefined;
  const secretHash = hashSecret(token.secret);
  const match = matchOf(context, token, secretHash, loaded.record);
  const status = tokenStatus(loaded.record, loaded.expiresAt, match, context.now(), context.timeouts);
  return status === "live" ? liveState(token, secretHash, loaded) : { kind: "none", tokenStatus: status };
}

function liveState(token: Token, secretHash: Uint8Array, loaded: LoadedRecord): LiveState {
  return { kind: "live", token, secretHash, isTokenByPreviousKey: false, loaded };
}

async function readFormer(
  context: Context,
  { source, found }: Candidate,
  deadline: Deadline,
): Promise<FormerSession | undefined> {
  const former = await deadline.run("read", () => fromFormer(source, "read", async () => source.read(found)));
  if (former) checkFormerSession(source, former);
  else if (context.diagnose) warnOfMissingFormer(source);
  return former;
}

function isAdoptable({ now }: Context, former: FormerSession | undefined): former is FormerSession {
  return former !== undefined && (former.expiresAt ?? Infinity) > now() && !isEmpty(former);
}

/** A visitor's session without anything. Express-session stores one for each visitor by default: it is worth no record here. */
function isEmpty({ userId, data, flashes = [] }: FormerSession): boolean {
  return userId === undefined && flashes.length === 0 && Object.keys(data ?? {}).length === 0;
}

/** @throws TypeError for what the source of the application has got wrong. */
function checkFormerSession({ name }: FormerSessions, { userId, expiresAt, createdAt }: FormerSession): void {
  if (userId !== undefined && !isUserId(userId))
    throw new TypeError(
      `adopt: ${name} must give the user's id as a string of 1 to 512 bytes, or undefined for a visitor${butGiven(userId)} ` +
        "(in the option userId of the source, or in read() of your own source)",
    );
  for (const at of [expiresAt, createdAt]) {
    if (at !== undefined && !(Number.isFinite(at) && at >= 0))
      throw new TypeError(`adopt: ${name} must give times in epoch milliseconds, not ${printable(at)}`);
  }
}

/** A former session that becomes a session. */
class Adoption {
  readonly #context: Context;
  readonly #candidate: Candidate;
  readonly #former: FormerSession;
  readonly #deadline: Deadline;
  readonly #token: Token;
  readonly #loaded: LoadedRecord;

  constructor(
    context: Context,
    candidate: Candidate,
    former: FormerSession,
    deadline: Deadline,
    client: () => Client | undefined,
  ) {
    const { source, found } = candidate;
    const id = createRandomPart();
    this.#context = context;
    this.#candidate = candidate;
    this.#former = former;
    this.#deadline = deadline;
    this.#token = { id, secret: secretsOf(context, candidate, id)[0]!, epoch: 1 };
    const { userId } = former;
    const record: SessionRecord = {
      ...tokenFields(this.#token),
      ...this.#start(),
      userId,
      client: userId === undefined ? undefined : client(),
      rotation: context.rotation && { since: context.now() },
      formerly: source.end && { source: source.name, key: found.key },
      flashes: (former.flashes ?? [])
        .slice(-MAX_FLASHES)
        .map(({ category, message }) => ({ key: createRandomPart(), category, message })),
      data: encode({ ...former.data }, context.limits),
    };
    const expiresAt = Math.min(former.expiresAt ?? Infinity, extendedEnd(context.now(), record, context.timeouts));
    // Version 2 counts within `maxPerUser`, as a sign-in that was admitted.
    this.#loaded = { record, version: 2, expiresAt: Math.floor(expiresAt), byPreviousKey: false };
  }

  #start(): { createdAt: number; signedInAt: number | undefined } {
    const { createdAt, userId } = this.#former;
    const now = this.#context.now();
    const isUser = userId !== undefined;
    const began = Math.floor(Math.min(createdAt ?? (isUser ? now - this.#context.timeouts.absolute / 2 : now), now));
    return { createdAt: Math.max(0, began), signedInAt: isUser ? Math.max(0, began) : undefined };
  }

  get state(): LiveState {
    return liveState(this.#token, this.#loaded.record.secretHash, this.#loaded);
  }

  /** `"again"`: another request has adopted it meanwhile. `"none"`: it may not be adopted. */
  async store(): Promise<"adopted" | "again" | "none"> {
    const { record, expiresAt } = this.#loaded;
    const { id } = this.#token;
    const context = this.#context;
    const now = context.now();
    if (now >= expiresAt || now >= absoluteEnd(record, context.timeouts)) return "none";
    try {
      await this.#create(id, this.#loaded);
      if (await isRefused(context, record.userId, this.#deadline)) {
        await this.#discard();
        return "none";
      }
    } catch (error) {
      await this.#discard();
      throw error;
    }
    if (!(await this.#mark())) {
      await this.#discard();
      return "again";
    }
    if (context.diagnose) warnOfMissingUser(this.#candidate.source, this.#former);
    context.emitter.emit("adopted", { id, userId: record.userId, source: this.#candidate.source.name });
    return "adopted";
  }

  async #create(id: string, loaded: LoadedRecord): Promise<void> {
    const context = this.#context;
    const stored = encryptSession(context, id, loaded);
    if (await this.#deadline.run("create", () => context.store.create(id, stored))) return;
    throw new SessionError("ERR_SESSION_STORE", "The session store says that a random id exists already");
  }

  /** Creates the marker. `false` if another session has it. */
  async #mark(): Promise<boolean> {
    try {
      return await this.#createMarker(this.#deadline);
    } catch (error) {
      // The marker may be there all the same. The session may not be deleted before that is known: the marker would name a
      // session that has ended, and the user would be signed out by an outage.
      const outcome = await this.#settle(this.#deadline.forUndo).catch(() => undefined);
      if (outcome !== undefined) return outcome;
      const { id } = this.#token;
      void retryInBackground(this.#context, id, async (later) => {
        if (!(await this.#settle(later))) await remove(this.#context, id, later);
      });
      throw error;
    }
  }

  /** Creates the marker after a failure. `true` if it names this session. */
  async #settle(deadline: Deadline): Promise<boolean> {
    if (await this.#createMarker(deadline)) return true;
    const marker = await readMarker(this.#context, this.#candidate, deadline);
    return marker?.token.id === this.#token.id;
  }

  #createMarker(deadline: Deadline): Promise<boolean> {
    const { store } = this.#context;
    const id = markerIds(this.#context, this.#candidate)[0]!;
    const record = createMarker(this.#token.id, this.#context.now());
    const stored = encryptSession(this.#context, id, {
      record,
      version: 1,
      expiresAt: markerEnd(this.#context, this.#former.expiresAt),
    });
    return deadline.run("create", () => store.create(id, stored));
  }

  /** Nobody has its token. */
  #discard(): Promise<void> {
    return discard(this.#context, this.#token.id, this.#deadline.forUndo);
  }
}
