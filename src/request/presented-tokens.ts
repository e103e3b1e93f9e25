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
import { andThen, run, wait, type Answer, type Coroutine } from "../coroutine.ts";

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

/** What the request's tokens have opened, and whether a session is live. */
export interface Opened {
  readonly state: SessionState;
  readonly isPersonal: boolean;
}

/** Describes the sender of a request, for the event of a replay. */
export interface Sender {
  readonly client: Client | undefined;
}

/** Reads the sessions that the request's tokens name. Most requests have one token. */
export function openPresented(context: Context, presented: readonly Presented[], sender: Sender): Answer<Opened> {
  const deadline = new Deadline(context.storeTimeout);
  if (presented.length > 1) return run(openEach(context, presented, deadline, sender));
  const { id } = presented[0]!.token;
  return andThen(openSession(context, id, presented, deadline, sender), (opened) =>
    opened?.tokenStatus === "live"
      ? { state: liveState(opened), isPersonal: true }
      : { state: deadState(opened?.tokenStatus, opened ? [] : [id]), isPersonal: false },
  );
}

function* openEach(
  context: Context,
  presented: readonly Presented[],
  deadline: Deadline,
  sender: Sender,
): Coroutine<Opened> {
  const live: OpenedSession[] = [];
  const endedIds: string[] = [];
  let status: DeadStatus | undefined;
  for (const [i, { token }] of presented.entries()) {
    const { id } = token;
    const own = presented.filter((other) => other.token.id === id);
    if (own[0] !== presented[i]) continue;
    const opened = yield* wait(openSession(context, id, own, deadline, sender));
    if (!opened) endedIds.push(id);
    else if (opened.tokenStatus === "live") live.push(opened);
    else if (status === undefined || status === "anonymous") status = opened.tokenStatus;
  }
  const isPersonal = live.length > 0;
  if (live.length === 1) return { state: liveState(live[0]!), isPersonal };
  // Two live sessions in one request: somebody planted one. Neither is believed.
  return { state: deadState(isPersonal ? undefined : status, endedIds), isPersonal };
}

type DeadStatus = Exclude<TokenStatus, "live">;

function deadState(status: DeadStatus | undefined, endedIds: readonly string[]): SessionState {
  return { kind: "none", tokenStatus: status ?? "anonymous", endedIds };
}

function liveState({ token, secretHash, tokenByPreviousKey, loaded }: OpenedSession): SessionState {
  return { kind: "live", token, secretHash, isTokenByPreviousKey: tokenByPreviousKey, loaded };
}

/** Reads the session `id` and judges the best of the request's tokens for it. There may be two during a rotation. */
function openSession(
  context: Context,
  id: string,
  presented: readonly Presented[],
  deadline: Deadline,
  sender: Sender,
): Answer<OpenedSession | undefined> {
  return andThen(load(context, id, deadline), (loaded) => {
    const opened = loaded && bestOf(context, presented, loaded);
    return opened?.tokenStatus === "live"
      ? opened
      : run(openDoubtful(context, id, presented, deadline, sender, opened));
  });
}

/** The session that was read is not live, as it seems. */
function* openDoubtful(
  context: Context,
  id: string,
  presented: readonly Presented[],
  deadline: Deadline,
  sender: Sender,
  found: OpenedSession | undefined,
): Coroutine<OpenedSession | undefined> {
  let opened = found;
  if (context.store.readLatest) {
    // A near cache may be older than this token.
    const latest = yield* wait(loadLatest(context, id, deadline));
    opened = latest && bestOf(context, presented, latest);
  }
  if (!opened) return undefined;
  const { record } = opened.loaded;
  const { userId, client: signedInFrom } = record;
  const report = (error: unknown) => context.emitter.emit("error", { id, error });
  if (opened.tokenStatus === "expired") context.emitter.emit("expired", { id, userId });
  // Two clients hold tokens of this session, and nobody can tell which one is the thief.
  if (opened.tokenStatus === "replayed" && (yield* wait(remove(context, id, deadline))) !== false) {
    context.emitter.emit("replayed", { id, userId, client: signedInFrom, presentedBy: sender.client });
    // The session has ended by now, whatever the former store says.
    yield* wait(endFormer(context, record, deadline).catch(report));
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
