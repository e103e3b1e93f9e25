/**
 * Splits a header's value at the separators outside of quoted strings (RFC 9110, section 5.6), and trims the parts. It reads
 * each character once: a client may send any text, and a regular expression that backtracks could take very long.
 */
export function splitList(text: string, separator: "," | ";"): string[] {
  const found: string[] = [];
  let begin = 0;
  let isQuoted = false;
  for (let at = 0; at < text.length; at += 1) {
    const character = text[at];
    if (isQuoted && character === "\\") at += 1;
    else if (character === '"') isQuoted = !isQuoted;
    else if (character === separator && !isQuoted) {
      found.push(text.slice(begin, at).trim());
      begin = at + 1;
    }
  }
  found.push(text.slice(begin).trim());
  return found;
}

/** Removes the quotes and backslashes of a quoted string; returns a token as it is. */
export function unquote(value: string): string {
  if (value.length < 2 || !value.startsWith('"') || !value.endsWith('"')) return value;
  return value.slice(1, -1).replaceAll(/\\(.)/gs, "$1");
}
