/**
 * Breaches that the simulation has found and nobody has mended yet. It leaves them out, so that it can find the next. To mend
 * one, take it out of this list: the simulation must find it no longer.
 */
const OPEN = [
  /** A sign-out that is under way while another request calls `rotate()` is answered with 200, and the session lives on. */
  "a sign-out that meets a rotate()",
  /** A session that begins and is signed out of in one request leaves its id to the one that begins after it. */
  "an id that is used again",
  /** A visitor's sign-in that save() has failed to store is tried again under the same id, which the failure has deleted. */
  "a sign-in that is saved again",
] as const;

export type OpenBreach = (typeof OPEN)[number];

export function isLeftOut(breach: OpenBreach): boolean {
  return OPEN.includes(breach);
}
