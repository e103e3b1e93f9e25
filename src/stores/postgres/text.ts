import { createHash } from "node:crypto";

/*
 * Ids and users are kept as printable ASCII: themselves where they are that, and else with \uXXXX for each UTF-16 unit
 * that is not. So a database of any encoding can hold them, NUL and half a surrogate pair with them, and no collation
 * folds two into one.
 */
const OUTSIDE = /[^ -[\]-~]/g;
const ESCAPED = /\\u([0-9a-f]{4})/g;
const DIGEST = "\\sha256:";

/** The longest text that is its own key: an entry of a B-tree may have some 2700 bytes. */
export const LONGEST_KEY = 255;

export function encodeText(text: string): string {
  return text.replace(OUTSIDE, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

export function decodeText(encoded: string): string {
  if (!encoded.includes("\\")) return encoded;
  return encoded.replace(ESCAPED, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
}

/** The key of a session's row, and the id itself where the key is but a digest of it. */
export function keyOf(id: string): { readonly key: string; readonly longId: string | null } {
  const encoded = encodeText(id);
  if (encoded.length <= LONGEST_KEY) return { key: encoded, longId: null };
  return { key: DIGEST + createHash("sha256").update(encoded).digest("hex"), longId: encoded };
}
