// What stands under each heading.
import { ReflectionKind } from "typedoc";
import { codeOf, namedTypes, nodesOf, shortDeclaration, typeOf } from "./code.mjs";
import { isDocumented, isNarrowed, ownMembers, sectionsOf } from "./layout.mjs";
import { cell, commentText } from "./text.mjs";

const { Class, Interface } = ReflectionKind;

/** A link to where a reflection is documented, or the text alone. */
export function link(target, text, { places, page }) {
  const place = places.get(target);
  if (!place) return text;
  return `[${text}](${place.page === page ? "" : place.page}#${place.anchor})`;
}

const markdown = (parts, here) => commentText(parts, (target, text) => link(target, text, here));

/** A reflection's comment without its tags. Of a function, the comment of an export alone is that of its whole file. */
export function summaryOf(reflection, here) {
  const comment =
    reflection.signatures?.find((one) => one.hasComment())?.comment ??
    reflection.getSignature?.comment ??
    reflection.comment;
  return comment ? markdown(comment.summary, here) : "";
}

export function body(reflection, depth, here) {
  if (reflection.signatures && !reflection.kindOf(Interface)) {
    const documented = reflection.signatures.filter((one) => one.hasComment());
    return [code(reflection, here), ...documented.flatMap((one) => signature(one, here))];
  }
  if (depth === 2 && reflection.kindOf(Class | Interface)) return members(reflection, here);
  return [code(reflection, here), ...described(reflection.comment, here)];
}

/** The declaration with links to the types that it names. Types that no entry exports stand in the same block. */
function code(reflection, here) {
  const nodes = nodesOf(reflection, here);
  const { links, declarations } = typesIn(nodes, reflection, here);
  const block = [...nodes.map(codeOf), ...declarations].join("\n");
  return `\`\`\`ts\n${block}\n\`\`\`${links.length > 0 ? `\n\nTypes: ${links.join(", ")}.` : ""}`;
}

function typesIn(nodes, reflection, here) {
  const links = new Set();
  const declarations = new Set();
  for (const symbol of nodes.flatMap((node) => namedTypes(node, here.checker))) {
    const target = here.reflections.get(symbol);
    if (target === reflection || target === reflection.parent) continue;
    if (target) links.add(link(target, `\`${target.name}\``, here));
    else declarations.add(shortDeclaration(symbol));
  }
  declarations.delete(undefined);
  return { links: [...links], declarations: [...declarations] };
}

function signature({ comment, parameters = [], typeParameters = [] }, here) {
  const [summary, ...tags] = described(comment, here);
  return [summary, parameterTable([...typeParameters, ...parameters], here), ...tags];
}

function parameterTable(parameters, here) {
  const rows = parameters
    .filter((one) => one.hasComment())
    .map((one) => `| \`${one.name}\` | ${cell(summaryOf(one, here).replace(/^- /, ""))} |`);
  return rows.length > 0 ? `| parameter | |\n|---|---|\n${rows.join("\n")}` : "";
}

/** The paragraphs of a comment: its summary, then what it returns and throws, then examples. */
function described(comment, here) {
  if (!comment) return [];
  const tags = (name, label) =>
    comment.blockTags.filter(({ tag }) => tag === name).map(({ content }) => label + markdown(content, here));
  return [
    markdown(comment.summary, here),
    ...tags("@returns", "**Returns** "),
    ...tags("@throws", "**Throws** "),
    ...tags("@see", "**See** "),
    ...tags("@example", ""),
  ];
}

function members(reflection, here) {
  const { symbols } = here;
  const own = ownMembers(reflection, symbols);
  const text = described(reflection.comment, here);
  if (!own.some(isDocumented) && !reflection.extendedTypes) return [code(reflection, here), ...text];
  const sections = sectionsOf(reflection, symbols);
  const rows = own.filter((one) => !sections.includes(one)).map((one) => memberRow(one, here));
  return [
    reflection.signatures ? code(reflection, here) : "",
    ...text,
    parameterTable(reflection.typeParameters ?? [], here),
    inherited(reflection, here),
    rows.length > 0 ? `| member | type | |\n|---|---|---|\n${rows.join("\n")}` : "",
  ];
}

function inherited(reflection, here) {
  const [parent] = reflection.extendedTypes ?? [];
  if (!parent) return "";
  if (parent.name === "Error") return "It is an `Error`.";
  // One that no entry exports: its members are among the rows.
  if (!parent.reflection) return "";
  const name = link(parent.reflection, `\`${parent.name}\``, here);
  const present = (reflection.children ?? [])
    .filter((one) => isNarrowed(one, here.symbols) && !one.flags.isOptional)
    .map((one) => `\`${one.name}\``);
  return `It has the members of ${name}${present.length > 0 ? `, and always ${present.join(", ")}` : ""}.`;
}

function memberRow(member, here) {
  const { isOptional } = member.flags;
  const nodes = nodesOf(member, here);
  const written = nodes.map((node) => typeOf(node, here)).join("; ");
  const type = isOptional ? written.replace(/ \| undefined$/, "").replace(/^\((.*)\)$/, "$1") : written;
  const { links } = typesIn(nodes, member, here);
  const linked = links.find((one) => one.startsWith(`[\`${type}\`]`)) ?? `\`${cell(type)}\``;
  return `| \`${member.name}${isOptional ? "?" : ""}\` | ${linked} | ${cell(summaryOf(member, here))} |`;
}
