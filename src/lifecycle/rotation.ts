/**
 * Periodic rotation of a session's secret, as pure decisions.
 *
 * The successor of a secret is derived from it. So every request with the old token issues the same new one, and the next
 * request repairs a lost response. The old token stays valid until a grace period after the new one was first used. After
 * that, an old token is a replay: one of its two holders is a thief.
 */

/** The state of a session's rotation, kept in its record. */
export interface Rotation {
  /** Epoch milliseconds: when the current secret was issued or first seen. */
  readonly since: number;
  /** The hash of the secret before the current one. It is valid until the grace is over. */
  readonly previous?: Uint8Array | undefined;
  /** The hash of the successor that was issued and not used yet. */
  readonly next?: Uint8Array | undefined;
}

/** The rotation options, in milliseconds. */
export interface RotationPolicy {
  readonly every: number;
  readonly grace: number;
}

/** The secret of a session that a token carries. */
export type Match =
  | "current"
  /** The successor, used for the first time. */
  | "next"
  /** The one before, within its grace. */
  | "previous"
  /** One that was rotated out for good. */
  | "replayed"
  /** None of them: a sign-in has invalidated it. */
  | "superseded";

/**
 * @param epoch - of the presented token. A sign-in increments it, rotation does not.
 * @param equals - compares a hash with that of the presented secret, in constant time.
 */
export function match(
  record: { readonly secretHash: Uint8Array; readonly epoch: number; readonly rotation?: Rotation | undefined },
  epoch: number,
  equals: (hash: Uint8Array) => boolean,
  now: number,
  policy: RotationPolicy | undefined,
): Match {
  const { secretHash, rotation } = record;
  if (equals(secretHash)) return "current";
  if (!rotation || epoch !== record.epoch) return "superseded";
  if (rotation.next && equals(rotation.next)) return "next";
  // If rotation was switched off, a rotation under way ends without grace.
  const inGrace = now < rotation.since + (policy?.grace ?? 0);
  if (inGrace && rotation.previous && equals(rotation.previous)) return "previous";
  return "replayed";
}

/** A request's rotation step. */
export type RotationStep =
  | "none"
  /** The successor was used: it becomes the current secret. */
  | "confirm"
  /** The successor is named in the record and issued. */
  | "name"
  /** The named successor, or the current secret, is issued again. */
  | "reissue";

/**
 * Decides the rotation step of a request, by the newest record, before each attempt to replace it. A slow request may find
 * that others have rotated its token out.
 *
 * @param issuedAt - when the first secret was issued, epoch milliseconds.
 * @param canSetCookie - all steps but `confirm` issue a cookie.
 */
export function stepOf(
  secret: Match,
  rotation: Rotation | undefined,
  issuedAt: number,
  now: number,
  policy: RotationPolicy | undefined,
  canSetCookie: boolean,
): RotationStep {
  if (secret === "next") return "confirm";
  if (!canSetCookie) return "none";
  if (secret === "previous") return "reissue";
  if (secret !== "current") return "none";
  if (rotation?.next) return "reissue";
  return policy !== undefined && now >= (rotation?.since ?? issuedAt) + policy.every ? "name" : "none";
}

/**
 * The rotation after a step.
 *
 * @param current - the hash of the secret that was current. @param successor - gives the hash of the next one.
 */
export function afterStep(
  step: RotationStep,
  rotation: Rotation | undefined,
  issuedAt: number,
  now: number,
  current: Uint8Array,
  successor: () => Uint8Array,
): Rotation | undefined {
  if (step === "name") return { ...rotation, since: rotation?.since ?? issuedAt, next: successor() };
  // A clock that is behind must not shorten the grace that another clock began.
  if (step === "confirm") return { since: Math.max(now, rotation?.since ?? 0), previous: current };
  return rotation;
}
