// The pages of docs/api: one for each entry, and README.md with the list of them.
import { ReflectionKind } from "typedoc";
import { layout } from "./layout.mjs";
import { body, link, summaryOf } from "./sections.mjs";
import { cell, firstSentence } from "./text.mjs";

const NOTICE = "<!-- Written by `npm run api` from the comments in the sources. Change them, not this page. -->";
const MOST_NAMES = 6;

/** The name and the text of each page. */
export function writePages(declarations) {
  const { pages, ...references } = layout(declarations);
  const written = new Map([["README.md", indexPage(pages)]]);
  for (const page of pages) written.set(page.page, entryPage(page, { ...references, page: page.page }));
  return written;
}

function indexPage(pages) {
  const rows = pages.map(({ specifier, page, purpose, children }) => {
    const names = children.map(({ name }) => `\`${name}\``);
    const shown = names.length > MOST_NAMES ? [...names.slice(0, MOST_NAMES - 1), "…"] : names;
    return `| [\`${specifier}\`](${page}) | ${purpose} | ${shown.join(", ")} |`;
  });
  return `${NOTICE}

# API reference

One page for each entry of the package. The [README](../../README.md) and the guides say how they are used together.

| entry | | exports |
|---|---|---|
${rows.join("\n")}
`;
}

function entryPage({ specifier, purpose, children, headings }, here) {
  const parts = [NOTICE, `# ${specifier}`, purpose, importText(specifier, children)];
  const exported = headings.filter(({ depth }) => depth === 2);
  if (exported.length > 2) parts.push(contents(exported, here));
  for (const { reflection, depth, text } of headings) {
    parts.push(`${"#".repeat(depth)} ${text}`, ...body(reflection, depth, here));
  }
  const references = children.filter((one) => one.isReference());
  if (references.length > 0) {
    const names = references.map((one) => link(one.getTargetReflectionDeep(), `\`${one.name}\``, here));
    parts.push("## Also exported", `${names.join(", ")}.`);
  }
  return `${parts.filter(Boolean).join("\n\n")}\n`;
}

/** The import of what runs; an entry of types alone is imported for what it declares. */
function importText(specifier, children) {
  const runs = children
    .map((one) => (one.isReference() ? one.getTargetReflectionDeep() : one))
    .filter((one) => one.kindOf(ReflectionKind.Function | ReflectionKind.Variable | ReflectionKind.Class))
    .map(({ name }) => name);
  const line = `import { ${runs.join(", ")} } from "${specifier}";`;
  if (runs.length === 0) return `\`\`\`ts\nimport "${specifier}";\n\`\`\``;
  const text = line.length <= 110 ? line : `import {\n  ${runs.join(",\n  ")},\n} from "${specifier}";`;
  return `\`\`\`ts\n${text}\n\`\`\``;
}

function contents(exported, here) {
  const rows = exported.map(
    ({ reflection, text }) =>
      `| ${link(reflection, `\`${text}\``, here)} | ${cell(firstSentence(summaryOf(reflection, here)))} |`,
  );
  return `| export | |\n|---|---|\n${rows.join("\n")}`;
}
