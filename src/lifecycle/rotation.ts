/**
 * Periodic rotation of a session's secret, as pure decisions.
 *
 * The successor of a secret is derived from it, so that every request that comes with the old token hands out the same
 * new one: a lost response is healed by the next request. The old token stays good until a grace after the new one was
 * first seen. After that, an old token is a replay: one of the two who hold it is a thief.
 */

/** What a record keeps of its rotation. */
export interface Rotation {
  /** Epoch milliseconds: when the current secret was issued or first seen. */
  readonly since: number;
  /** The hash of the secret before the current one: good until the grace is over. */
  readonly previous?: Uint8Array | undefined;
  /** The hash of the successor that has been handed out and not been seen yet. */
  readonly next?: Uint8Array | undefined;
}

/** How rotation was set up, in milliseconds. */
export interface RotationPolicy {
  readonly every: number;
  readonly grace: number;
}

/** Which of a session's secrets a token carries. */
export type Match =
  | "current"
  /** The successor, seen for the first time. */
  | "next"
  /** The one before, within its grace. */
  | "previous"
  /** One that was rotated out for good. */
  | "replayed"
  /** None of them: signing in has put an end to it. */
  | "superseded";

/**
 * @param epoch - of the presented token: signing in counts it up, rotation does not.
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
  // Where rotation has been switched off, what was going on is brought to its end with no grace.
  const inGrace = now < rotation.since + (policy?.grace ?? 0);
  if (inGrace && rotation.previous && equals(rotation.previous)) return "previous";
  return "replayed";
}

/** A request's step in the rotation of its session's secret. */
export type Step =
  | "none"
  /** The successor has been seen: it becomes the current secret. */
  | "confirm"
  /** The successor is to be named and handed out. */
  | "name"
  /** The successor that somebody has named, or the current secret, is to be handed out again. */
  | "hand out";

/**
 * The step that a request takes whose token carries this secret of the record: of the newest record, each time that it is
 * about to be replaced. A request that was slow may find that others have gone on, and its token rotated out.
 *
 * @param issuedAt - when the first secret was issued, epoch milliseconds.
 * @param canSetCookie - all steps but confirming hand out a cookie.
 */
export function stepOf(
  secret: Match,
  rotation: Rotation | undefined,
  issuedAt: number,
  now: number,
  policy: RotationPolicy | undefined,
  canSetCookie: boolean,
): Step {
  if (secret === "next") return "confirm";
  if (!canSetCookie) return "none";
  if (secret === "previous") return "hand out";
  if (secret !== "current") return "none";
  if (rotation?.next) return "hand out";
  return policy !== undefined && now >= (rotation?.since ?? issuedAt) + policy.every ? "name" : "none";
}

/**
 * The rotation after a step.
 *
 * @param current - the hash of the secret that was current. @param successor - gives the hash of the one that follows.
 */
export function afterStep(
  step: Step,
  rotation: Rotation | undefined,
  issuedAt: number,
  now: number,
  current: Uint8Array,
  successor: () => Uint8Array,
): Rotation | undefined {
  if (step === "name") return { ...rotation, since: rotation?.since ?? issuedAt, next: successor() };
  // A clock that is behind must not cut the grace short that began by another.
  if (step === "confirm") return { since: Math.max(now, rotation?.since ?? 0), previous: current };
  return rotation;
}
