/** What ends a line, moves the cursor of a terminal, or turns the direction of what follows. */
const UNPRINTABLE = /[\p{Cc}\p{Zl}\p{Zp}\p{Bidi_Control}\p{Surrogate}]/gu;

/**
 * A text for a message: whoever reads a log must not be shown a line that a client has forged, or a text in another order. Such
 * characters are written as in JSON: `\u202e`.
 */
export function printable(text: unknown): string {
  return String(text).replace(UNPRINTABLE, (found) => `\\u${found.charCodeAt(0).toString(16).padStart(4, "0")}`);
}
