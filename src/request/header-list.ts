/**
 * The parts of a header's value between separators that stand outside of quoted strings (RFC 9110, section 5.6), without
 * the blanks around them. Each character is looked at once: the text may be a client's, and a regular expression that
 * tries again would let it cost what it likes.
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

/** What a token or a quoted string says. */
export function unquote(value: string): string {
  if (value.length < 2 || !value.startsWith('"') || !value.endsWith('"')) return value;
  return value.slice(1, -1).replaceAll(/\\(.)/gs, "$1");
}
