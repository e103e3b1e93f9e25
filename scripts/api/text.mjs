// Comments as Markdown.

/** The text of a comment. Links lead to where their target is documented. */
export function commentText(parts, link) {
  return parts
    .map((part) => {
      if (part.kind !== "inline-tag") return part.text;
      const shown = part.tsLinkText || part.text;
      return typeof part.target === "string" ? `[${shown}](${part.target})` : link(part.target, `\`${shown}\``);
    })
    .join("")
    .trim();
}

/** Up to the first full stop, or the end of the first paragraph. */
export function firstSentence(text) {
  return /^.*?(?:\.(?=\s)|:?(?=\n\n|$))/s.exec(text)[0].replace(/:$/, ".");
}

/** Text in a cell of a table. */
export function cell(text) {
  return text.replaceAll(/\s*\n\s*/g, " ").replaceAll("|", "\\|");
}

/** Anchors of headings as GitHub makes them: the second of two that are alike gets `-1`. */
export function slugger() {
  const seen = new Map();
  return (heading) => {
    const plain = heading
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N}\p{M}_ -]/gu, "")
      .replaceAll(" ", "-");
    const count = seen.get(plain) ?? 0;
    seen.set(plain, count + 1);
    return count === 0 ? plain : `${plain}-${count}`;
  };
}
