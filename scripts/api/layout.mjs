// Which headings each page has, in which order, and where each export and each member is found.
import { ReflectionKind } from "typedoc";
import { slugger } from "./text.mjs";

const { Class, Constructor, Function: Callable, Interface, Method, Namespace } = ReflectionKind;
const isCallable = (reflection) => reflection.kindOf(Callable | Method);

/** The pages with their headings; the place of each reflection, and the reflection of each symbol. */
export function layout({ modules, ...references }) {
  const places = new Map();
  const pages = modules.map((entry) => ({ ...entry, headings: headingsOf(entry, references.symbols, places) }));
  const reflections = new Map([...places.keys()].map((one) => [references.symbols.get(one), one]));
  return { ...references, places, pages, reflections };
}

function headingsOf({ children, page, specifier }, symbols, places) {
  const slug = slugger();
  slug(specifier);
  const headings = [];
  const add = (reflection, depth, name) => {
    const text = isCallable(reflection) ? `${name}()` : name;
    headings.push({ reflection, depth, text });
    places.set(reflection, { page, anchor: slug(text) });
  };
  slug("export");
  // A namespace of types under the name of a value is shown with that value.
  const isBeside = (child) =>
    child.kindOf(Namespace) && children.some((one) => one !== child && one.name === child.name);
  for (const one of children.filter((child) => !child.isReference() && !isBeside(child))) {
    add(one, 2, one.name);
    const sections = sectionsOf(one, symbols);
    for (const member of sections) add(member, 3, `${one.name}.${member.name}`);
    for (const member of one.children ?? []) if (!sections.includes(member)) places.set(member, places.get(one));
  }
  return headings;
}

/**
 * The members that a page has for an interface or a class: its own, but for those that only narrow an inherited type,
 * and those that it inherits from an interface that no entry exports.
 */
export function ownMembers(reflection, symbols) {
  const isElsewhere = ({ inheritedFrom }) => inheritedFrom?.reflection !== undefined;
  return (reflection.children ?? []).filter(
    (one) => !isElsewhere(one) && !one.kindOf(Constructor) && !isNarrowed(one, symbols),
  );
}

/** Whether a member has no comment of its own beside what the interface says that its owner extends. */
export function isNarrowed(member, symbols) {
  return member.overwrites !== undefined && !symbols.get(member)?.declarations?.[0]?.jsDoc?.length;
}

/** The members that get a heading: functions, and properties with an example or another tag. The others get a row. */
export function sectionsOf(reflection, symbols) {
  if (!reflection.kindOf(Class | Interface)) return [];
  return ownMembers(reflection, symbols).filter(
    (one) => isDocumented(one) && (isCallable(one) || one.comment?.blockTags.length > 0),
  );
}

export function isDocumented(member) {
  return member.hasComment() || (member.signatures ?? []).some((signature) => signature.hasComment());
}
