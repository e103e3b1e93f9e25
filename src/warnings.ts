const MOST_REMEMBERED = 1000;
const given = new Set<string>();

/**
 * Warns once for each key in this process.
 *
 * @param code - names the kind of warning, for `process.on("warning")`. @param key - for example the route.
 */
export function warnOnce(code: string, key: string, message: string): void {
  const id = `${code} ${key}`;
  if (given.has(id) || given.size >= MOST_REMEMBERED) return;
  given.add(id);
  warn(code, message);
}

export function warn(code: string, message: string): void {
  process.emitWarning(message, { type: "SojournWarning", code });
}
