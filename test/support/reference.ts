import { readdirSync } from "node:fs";
import { join } from "node:path";
import { document, ROOT } from "./http/blocks.ts";

/** The pages of the API reference but for the list of them. It is written from the sources. */
export function referencePages(): ReadonlyMap<string, string> {
  const names = readdirSync(join(ROOT, "docs/api")).filter((name) => name !== "README.md");
  return new Map(names.map((name) => [name, document(`docs/api/${name}`)]));
}

export interface Section {
  readonly heading: string;
  readonly text: string;
}

/** The sections of a page, one for each export and each function of an interface. */
export function sectionsOf(page: string): Section[] {
  return page
    .split(/^#{2,3} /m)
    .slice(1)
    .map((part) => ({ heading: part.slice(0, part.indexOf("\n")), text: part.slice(part.indexOf("\n") + 1) }))
    .filter(({ heading }) => heading !== "Also exported");
}

/** A row of a table of members. */
export interface Member {
  readonly owner: string;
  readonly name: string;
  readonly isOptional: boolean;
  readonly description: string;
}

export function membersOf(page: string): Member[] {
  return sectionsOf(page).flatMap(({ heading, text }) =>
    Array.from(text.matchAll(/^\| `(\w+)(\??)` \| .* \| (.*) \|$/gm), ([, name = "", mark, description = ""]) => ({
      owner: heading,
      name,
      isOptional: mark === "?",
      description: description.trim(),
    })),
  );
}

/** The functions of an entry, with those that it takes from another. */
export function functionsOf(page: string): string[] {
  return Array.from(
    page.matchAll(/^## ([a-z]\w*)\(\)$|^const ([a-z]\w*):/gm),
    ([, called, value]) => (called ?? value)!,
  );
}

/** The options of functions that have no name for them: `options?: { except?: string }`. */
export function inlineOptionsOf(page: string): { readonly owner: string; readonly name: string }[] {
  // What a client of a database takes is its own.
  const own = sectionsOf(page).filter(({ heading }) => !/Client\b|Cluster\b/.test(heading));
  return own.flatMap(({ heading, text }) => {
    const [, inner = ""] = /options\?: \{(.*?)\n? *\}/s.exec(text) ?? [];
    return Array.from(inner.matchAll(/(\w+)\?: /g), ([, name = ""]) => ({ owner: heading, name }));
  });
}
