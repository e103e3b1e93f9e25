import { printable } from "./printable.ts";

/** Whether a value can be the id of a user: text of 1 to 512 bytes in UTF-8. */
export function isUserId(value: unknown): value is string {
  return typeof value === "string" && value !== "" && Buffer.byteLength(value) <= 512 && !/\p{Surrogate}/u.test(value);
}

/** The end of an error for anything else than {@link isUserId} takes: `", not 7: give String(user.id)"`. */
export function butGiven(userId: unknown): string {
  if (typeof userId === "string") return "";
  if (typeof userId === "object" && userId !== null) return ", not an object: give its id";
  const isNumber = typeof userId === "number" || typeof userId === "bigint";
  return `, not ${printable(userId)}${isNumber ? ": give String(user.id)" : ""}`;
}

/**
 * The id of the user in what passport's `serializeUser` gave: a text, a number, or an object that has one of them as `id`.
 * Others are no id by which sessions could be listed.
 */
export function idOfPassportUser(user: unknown): string | undefined {
  const id = typeof user === "object" && user !== null ? (user as { id?: unknown }).id : user;
  if (typeof id === "number") return String(id);
  return isUserId(id) ? id : undefined;
}

/** The user whom passport has signed in, by the data of the session. */
export function passportUser(data: Readonly<Record<string, unknown>>): string | undefined {
  return idOfPassportUser((data["passport"] as { user?: unknown } | null | undefined)?.user);
}
