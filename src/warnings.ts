import { printable } from "./printable.ts";

/** Of a kind: a client that asks for many routes must not silence the other kinds. */
const MOST_REMEMBERED = 1000;
const given = new Map<string, Set<string>>();

/**
 * Warns once for each key in this process.
 *
 * @param code - names the kind of warning, for `process.on("warning")`. @param key - for example the route.
 */
export function warnOnce(code: string, key: string, message: string): void {
  const keys = given.get(code) ?? new Set<string>();
  if (keys.has(key) || keys.size >= MOST_REMEMBERED) return;
  given.set(code, keys.add(key));
  warn(code, printable(message));
}

/** @param message - its lines are printable. */
export function warn(code: string, message: string): void {
  process.emitWarning(message, { type: "SojournWarning", code });
}
