import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parseAst } from "vitest/node";
import { ROOT } from "./http/blocks.ts";

/** A node of the syntax tree, with what is read of it here. */
type Node = { readonly type: string } & Readonly<Record<string, unknown>>;

/** A message of the sources. `…` stands for what is only known at run time. */
export interface Message {
  readonly file: string;
  readonly text: string;
  /** Of a warning. */
  readonly code?: string;
}

/** Where each of these calls has the message that a person reads. */
const POSITION: Readonly<Record<string, number>> = {
  Error: 0,
  TypeError: 0,
  SessionError: 1,
  createDecodeError: 0,
  emitWarning: 0,
  warn: 1,
  warnOnce: 2,
};
const UNKNOWN = "…";
/** How `createDecodeError` begins all its messages. */
const DECODE_PREFIX = "The store's record can't be read: ";

/** Every message of an error or a warning in a source. */
export function messagesOf(file: string, source: string): Message[] {
  const program = parseAst(source, { lang: "ts" }) as unknown as Node;
  const declared = declarationsOf(program);
  const found = new Map<string, string | undefined>();
  visit(program, (node) => {
    if (node.type !== "NewExpression" && node.type !== "CallExpression") return;
    const callee = node["callee"] as Node;
    const name = (callee.type === "MemberExpression" ? (callee["property"] as Node) : callee)["name"] as string;
    const position = Object.hasOwn(POSITION, name) ? POSITION[name]! : undefined;
    const given = node["arguments"] as Node[];
    const argument = position === undefined ? undefined : given[position];
    if (!argument) return;
    const code = /"(SOJOURN_\w+)"/.exec(JSON.stringify(given))?.[1];
    const prefix = name === "createDecodeError" ? DECODE_PREFIX : "";
    for (const text of valuesOf(argument, declared)) if (/[a-z]/.test(text)) found.set(prefix + text, code);
  });
  return Array.from(found, ([text, code]) => ({
    file,
    text: text.replaceAll(/…+(?:\.…+|\[…+\])*/g, UNKNOWN),
    ...(code && { code }),
  }));
}

/** The messages of all sources. */
export function allMessages(): Message[] {
  return (
    readdirSync(join(ROOT, "src"), { recursive: true, encoding: "utf8" })
      // The cases of the store contract throw on purpose.
      .filter((file) => file.endsWith(".ts") && !file.endsWith(".test.ts") && !file.includes("contract-"))
      .flatMap((file) => messagesOf(file, readFileSync(join(ROOT, "src", file), "utf8")))
  );
}

/** The constants of the module by their names, and the functions. */
function declarationsOf(program: Node): Map<string, Node> {
  const declared = new Map<string, Node>();
  for (const statement of program["body"] as Node[]) {
    const declaration = (statement["declaration"] as Node | null | undefined) ?? statement;
    if (declaration.type === "FunctionDeclaration")
      declared.set((declaration["id"] as { name: string }).name, declaration);
    if (declaration.type !== "VariableDeclaration") continue;
    for (const { id, init } of declaration["declarations"] as { id: { name?: string }; init?: Node }[])
      if (id.name && init) declared.set(id.name, init);
  }
  // A message that a function composes before it makes the error.
  visit(program, ({ type, id, init }) => {
    const { name } = (id ?? {}) as { name?: string };
    if (type === "VariableDeclarator" && name === "message" && init && !declared.has(name))
      declared.set(name, init as Node);
  });
  return declared;
}

/** The texts that an expression may be. */
function valuesOf(node: Node, declared: ReadonlyMap<string, Node>, depth = 0): string[] {
  const values = (inner: unknown) => valuesOf(inner as Node, declared, depth + 1);
  if (depth > 20) return [UNKNOWN];
  switch (node.type) {
    case "Literal":
      return [String(node["value"])];
    case "TemplateLiteral": {
      const quasis = (node["quasis"] as { value: { cooked: string } }[]).map(({ value }) => [value.cooked]);
      const parts = (node["expressions"] as Node[]).map(values);
      return quasis.flatMap((quasi, i) => (parts[i] ? [quasi, parts[i]] : [quasi])).reduce(joined);
    }
    case "BinaryExpression":
      return node["operator"] === "+" ? joined(values(node["left"]), values(node["right"])) : [UNKNOWN];
    case "ConditionalExpression":
      return [...values(node["consequent"]), ...values(node["alternate"])];
    case "LogicalExpression":
      return [...values(node["left"]), ...values(node["right"])];
    case "TSAsExpression":
    case "TSNonNullExpression":
      return values(node["expression"]);
    case "Identifier": {
      const constant = declared.get(node["name"] as string);
      return constant && constant.type !== "FunctionDeclaration" ? values(constant) : [UNKNOWN];
    }
    case "MemberExpression": {
      const object = declared.get((node["object"] as { name?: string }).name ?? "");
      if (object?.type !== "ObjectExpression") return [UNKNOWN];
      return (object["properties"] as { value: Node }[]).flatMap(({ value }) => values(value));
    }
    case "CallExpression": {
      const called = declared.get((node["callee"] as { name?: string }).name ?? "");
      const body = called?.["body"] as Node | undefined;
      if (!body) return [UNKNOWN];
      if (body.type !== "BlockStatement") return values(body);
      const returned: string[] = [];
      visit(body, ({ type, argument }) => {
        if (type === "ReturnStatement" && argument) returned.push(...values(argument));
      });
      return returned.length > 0 ? returned : [UNKNOWN];
    }
    default:
      return [UNKNOWN];
  }
}

const joined = (left: readonly string[], right: readonly string[]): string[] =>
  left.flatMap((one) => right.map((other) => one + other));

function visit(node: unknown, see: (node: Node) => void): void {
  if (typeof node !== "object" || node === null) return;
  if (Array.isArray(node)) return node.forEach((each) => visit(each, see));
  if (typeof (node as Partial<Node>).type === "string") see(node as Node);
  for (const value of Object.values(node)) visit(value, see);
}
