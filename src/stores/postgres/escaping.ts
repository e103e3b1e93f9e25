import { createHash } from "node:crypto";

/*
 * Ids and user ids are kept as printable ASCII. Every other UTF-16 unit is escaped as \uXXXX. A database of any encoding
 * can keep that, NUL and half a surrogate pair included, and no collation makes two texts equal.
 */
const TO_ESCAPE = /[^ -[\]-~]/g;
const ESCAPED = /\\u([0-9a-f]{4})/g;
const DIGEST_PREFIX = "\\sha256:";

/** The longest text that is its own key: an entry of a B-tree index can have about 2700 bytes. */
export const MAX_KEY_LENGTH = 255;

export function escapeText(text: string): string {
  return text.replace(TO_ESCAPE, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

export function unescapeText(escaped: string): string {
  if (!escaped.includes("\\")) return escaped;
  return escaped.replace(ESCAPED, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
}

/** The primary key of a session's row, and the whole id if the key is only its digest. */
export function postgresKeyOf(id: string): { readonly key: string; readonly longId: string | null } {
  const escaped = escapeText(id);
  if (escaped.length <= MAX_KEY_LENGTH) return { key: escaped, longId: null };
  return { key: DIGEST_PREFIX + createHash("sha256").update(escaped).digest("hex"), longId: escaped };
}
