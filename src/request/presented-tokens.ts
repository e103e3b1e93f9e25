import { timingSafeEqual } from "node:crypto";
import { tokenStatus, type TokenStatus } from "../lifecycle/decisions.ts";
import { endFormer, remove } from "../lifecycle/end.ts";
import { match, type Match } from "../lifecycle/rotation.ts";
import { load, loadLatest } from "../record/load.ts";
import type { Client, LoadedRecord, SessionRecord } from "../record/record.ts";
import { hashSecret, TOKEN_LENGTH, verifyToken, type Token, type VerifiedToken } from "../record/token.ts";
import type { SessionState } from "./state.ts";
import { Deadline } from "../deadline.ts";
import type { Context } from "../context.ts";
import { wait, type Coroutine } from "../coroutine.ts";

/** Maximum number of valid tokens that are read from one request. */
const MAX_TOKENS = 4;

/** A token with a valid signature in the request. */
export type Presented = VerifiedToken;

/** Finds the tokens of a request when its session is read. */
export type PresentedLater = () => readonly Presented[] | undefined;

/** A stored session, and the status of one of the request's tokens for it. */
interface OpenedSession extends Presented {
  readonly loaded: LoadedRecord;
  readonly tokenStatus: TokenStatus;
}

const BEST_FIRST: readonly Match[] = ["next", "current", "previous", "superseded", "replayed"];

/** The valid tokens in a Cookie header, the most specific cookie first. */
export function presentedIn({ cookie, keyring }: Context, header: string, isSecure: boolean): Presented[] | undefined {
  const verified: Presented[] = [];
  for (const value of cookie.values(header, isSecure)) {
    if (verified.length === MAX_TOKENS) break;
    const found = verifyToken(keyring, value);
    if (found) verified.push(found);
  }
  return verified.length > 0 ? verified : undefined;
}

/** Whether a Cookie header has a value in the form of a token, by whomever it was signed. */
export function hasTokenLike({ cookie }: Context, header: string, isSecure: boolean): boolean {
  return cookie.values(header, isSecure).some((value) => value.length === TOKEN_LENGTH && /^[\w-]+$/.test(value));
}

/** Tells which of a record's secrets a token carries. @param hash - of the token's secret. */
export function matchOf({ now, rotation }: Context, { epoch }: Token, hash: Uint8Array, record: SessionRecord): Match {
  return match(record, epoch, (other) => timingSafeEqual(hash, other), now(), rotation);
}

/** The successor of a token: the one that the record names, or the one to be named next. @param secret - the token's. */
export function successorOf({ keyring }: Context, token: Token, secret: Match, record: SessionRecord): Token {
  const named = secret === "previous" ? record.secretHash : record.rotation?.next;
  const possible = keyring.successors(token.id, token.secret);
  const next = named && possible.find((one) => timingSafeEqual(hashSecret(one), named));
  return { id: token.id, secret: next ?? possible[0]!, epoch: token.epoch };
}

/** Whether a token with this secret is valid, while its session is live. */
export function isAccepted(secret: Match): boolean {
  return BEST_FIRST.indexOf(secret) <= BEST_FIRST.indexOf("previous");
}

/**
 * Reads the sessions that the request's tokens name.
 *
 * @returns the state of the one that is live, and whether there is any.
 */
export function* openPresented(
  context: Context,
  presented: readonly Presented[],
  client: () => Client | undefined,
): Coroutine<{ state: SessionState; isPersonal: boolean }> {
  const deadline = new Deadline(context.storeTimeout);
  const live: OpenedSession[] = [];
  const endedIds: string[] = [];
  let status: Exclude<TokenStatus, "live"> = "anonymous";
  for (let i = 0; i < presented.length; i += 1) {
    const { id } = presented[i]!.token;
    const own = ofSession(presented, id);
    if (own[0] !== presented[i]) continue;
    const opened = yield* openSession(context, id, own, deadline, client);
    if (!opened) endedIds.push(id);
    else if (opened.tokenStatus === "live") live.push(opened);
    else if (status === "anonymous") status = opened.tokenStatus;
  }
  const isPersonal = live.length > 0;
  if (live.length === 1) return { state: liveState(live[0]!), isPersonal };
  // Two live sessions in one request: somebody planted one. Neither is believed.
  return { state: { kind: "none", tokenStatus: isPersonal ? "anonymous" : status, endedIds }, isPersonal };
}

/** The tokens that name one session. Most requests have one token. */
function ofSession(presented: readonly Presented[], id: string): readonly Presented[] {
  return presented.length === 1 ? presented : presented.filter(({ token }) => token.id === id);
}

function liveState({ token, secretHash, tokenByPreviousKey, loaded }: OpenedSession): SessionState {
  return { kind: "live", token, secretHash, isTokenByPreviousKey: tokenByPreviousKey, loaded };
}

/**
 * Reads the session `id` and judges the best of the request's tokens for it. There may be two during a rotation.
 *
 * @param client - describes the sender of the request, for the event of a replay.
 */
function* openSession(
  context: Context,
  id: string,
  presented: readonly Presented[],
  deadline: Deadline,
  client: () => Client | undefined,
): Coroutine<OpenedSession | undefined> {
  let loaded = yield* load(context, id, deadline);
  let opened = loaded && bestOf(context, presented, loaded);
  if (loaded && opened?.tokenStatus !== "live" && context.store.readLatest) {
    // A near cache may be older than this token.
    loaded = yield* wait(loadLatest(context, id, deadline));
    opened = loaded && bestOf(context, presented, loaded);
  }
  if (!loaded || !opened) return undefined;
  const { userId, client: signedInFrom } = loaded.record;
  const report = (error: unknown) => context.emitter.emit("error", { id, error });
  if (opened.tokenStatus === "expired") context.emitter.emit("expired", { id, userId });
  // Two clients hold tokens of this session, and nobody can tell which one is the thief.
  if (opened.tokenStatus === "replayed" && (yield* wait(remove(context, id, deadline))) !== false) {
    context.emitter.emit("replayed", { id, userId, client: signedInFrom, presentedBy: client() });
    // The session has ended by now, whatever the former store says.
    yield* wait(endFormer(context, loaded.record, deadline).catch(report));
  }
  return opened;
}

function bestOf(context: Context, presented: readonly Presented[], loaded: LoadedRecord): OpenedSession {
  const { record, expiresAt } = loaded;
  let found: OpenedSession | undefined;
  let foundRank = Infinity;
  for (const { token, tokenByPreviousKey, secretHash } of presented) {
    const secret = matchOf(context, token, secretHash, record);
    const rank = 2 * BEST_FIRST.indexOf(secret) + Number(tokenByPreviousKey);
    if (rank >= foundRank) continue;
    foundRank = rank;
    const now = tokenStatus(record, expiresAt, secret, context.now(), context.timeouts);
    found = { token, tokenByPreviousKey, secretHash, loaded, tokenStatus: now };
  }
  return found!;
}
