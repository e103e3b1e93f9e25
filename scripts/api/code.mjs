// Declarations as TypeScript text, and which types they name.
import { ReflectionKind } from "typedoc";
import ts from "typescript";

const printer = ts.createPrinter({ removeComments: true });
const WIDTH = 110;

/** The declarations of a reflection, or of one signature of it. */
export function nodesOf(reflection, { symbols, nodes }) {
  if (!reflection.signatures || reflection.kindOf(ReflectionKind.Interface))
    return symbols.get(reflection)?.declarations ?? [];
  return reflection.signatures.map((signature) => nodes.get(signature)).filter(Boolean);
}

/** A declaration without its comments, on several lines where it is long. */
export function codeOf(node) {
  const text = print(node);
  if (text.length <= WIDTH || text.includes("\n")) return text;
  if (ts.isTypeAliasDeclaration(node) && ts.isUnionTypeNode(node.type)) {
    const [before] = text.split(" = ");
    return `${before} =\n${node.type.types.map((one) => `  | ${print(one)}`).join("\n")};`;
  }
  if (!node.parameters?.length) return text;
  const list = node.parameters.map((parameter) => print(parameter));
  const [before, after] = split(text, list);
  return before === undefined ? text : `${before}\n${list.map((one) => `  ${one},`).join("\n")}\n${after}`;
}

function split(text, list) {
  const inner = list.join(", ");
  const at = text.indexOf(inner);
  return at < 0 ? [] : [text.slice(0, at), text.slice(at + inner.length)];
}

function print(node) {
  const text = printer
    .printNode(ts.EmitHint.Unspecified, node, node.getSourceFile())
    .replace(/^export /, "")
    .replace(/^declare /, "")
    .replaceAll(/^(?: {4})+/gm, (indent) => " ".repeat(indent.length / 2))
    .replaceAll(/\[\s+\]/g, "[]");
  return ts.isVariableDeclaration(node) ? `const ${text};` : text;
}

/** The type of a property as it is written, or that of an alias that no entry exports; that of a method as a function. */
export function typeOf(node, context) {
  const { checker, reflections } = context;
  if (ts.isMethodSignature(node) || ts.isMethodDeclaration(node)) {
    const text = print(node).replace(/;$/, "");
    return text.slice(node.name.getText().length + (node.questionToken ? 1 : 0)).replace(/\): (?=[^:]*$)/, ") => ");
  }
  // A setter has its type at its parameter.
  const written = ts.isSetAccessor(node) ? node.parameters[0].type : node.type;
  const [named] = ts.isTypeReferenceNode(written) ? namedTypes(written, checker) : [];
  const alias = named?.declarations?.find(ts.isTypeAliasDeclaration);
  return print(alias && !reflections.has(named) && !alias.typeParameters ? alias.type : written);
}

/** The symbols of the types of dist that a node names, each once, without its own type parameters. */
export function namedTypes(node, checker) {
  const found = new Set();
  const look = (name) => {
    let symbol = checker.getSymbolAtLocation(name);
    if (symbol && symbol.flags & ts.SymbolFlags.Alias) symbol = checker.getAliasedSymbol(symbol);
    const [declaration] = symbol?.declarations ?? [];
    if (!declaration || ts.isTypeParameterDeclaration(declaration)) return;
    if (!declaration.getSourceFile().fileName.includes("/node_modules/")) found.add(symbol);
  };
  const visit = (child) => {
    if (ts.isTypeReferenceNode(child)) look(child.typeName);
    if (ts.isExpressionWithTypeArguments(child)) look(child.expression);
    if (ts.isTypeQueryNode(child)) look(child.exprName);
    ts.forEachChild(child, visit);
  };
  visit(node);
  return [...found];
}

/** The declaration of a type that no entry exports, if it is short enough to stand beside what names it. */
export function shortDeclaration(symbol) {
  const text = (symbol.declarations ?? []).map(print).join("\n");
  return text.length <= 400 ? text : undefined;
}
