import type { FormerSession, FormerSessions } from "../former.ts";
import { warnOnce } from "../warnings.ts";

/** A key of the data under which an application is likely to keep its user. */
const USER_KEY = /user|account|member|passport|login|^uid$/i;

// The drop-in for express-session has a diagnosis of its own. Its source has no cookie to remove.

/** Somebody can send such a cookie at any time. But while an application is being moved, it is likely to be its mistake. */
export function warnOfForeignFormer({ name }: FormerSessions): void {
  warnOnce(
    "SOJOURN_FORMER_COOKIE",
    name,
    `adopt: a request has a cookie of ${name} that no secret of this source has made. If its user was signed in, give the ` +
      "source the secret and the options of the former library",
  );
}

export function warnOfMissingFormer({ name, cookies }: FormerSessions): void {
  if (cookies.length === 0) return;
  warnOnce(
    "SOJOURN_FORMER_MISSING",
    name,
    `adopt: a request has an authentic cookie of ${name}, and its store has no such session. If the user was signed in, the store ` +
      "has another prefix, database or table than that of the former library. The former cookie stays",
  );
}

export function warnOfMissingUser({ name, cookies }: FormerSessions, { userId, data }: FormerSession): void {
  if (userId !== undefined || cookies.length === 0) return;
  const key = Object.keys(data ?? {}).find((one) => USER_KEY.test(one));
  if (key === undefined) return;
  warnOnce(
    "SOJOURN_FORMER_USER",
    name,
    `adopt: ${name} has adopted a session with ${JSON.stringify(key)} in its data, and without a user. If this names who is signed in, ` +
      "give the source userId: (data) => …",
  );
}
