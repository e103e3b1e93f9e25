// Reads the declarations of all entries with TypeDoc, which also says what is undocumented or refers to nothing.
import { relative } from "node:path";
import { Application, Converter, LogLevel, ReflectionKind } from "typedoc";
import { ROOT } from "../setup.mjs";

const TYPES = ReflectionKind.Interface | ReflectionKind.TypeAlias;

/**
 * The entries with their exports, the symbol of each reflection and the node of each signature, and the compiler's checker.
 */
export async function readDeclarations(entries) {
  const app = await Application.bootstrap({
    entryPoints: entries.map(({ file }) => file),
    tsconfig: `${import.meta.dirname}/tsconfig.json`,
    basePath: ROOT,
    sort: ["source-order"],
    excludeInternal: true,
    excludeExternals: true,
    excludePrivate: true,
    readme: "none",
    disableSources: true,
    logLevel: LogLevel.Warn,
    validation: { notExported: false, invalidLink: true, invalidPath: true, notDocumented: false },
  });
  const symbols = new Map();
  const nodes = new Map();
  let program;
  app.converter.on(Converter.EVENT_CREATE_DECLARATION, (context, reflection) => {
    [program] = context.programs;
    symbols.set(reflection, context.getSymbolFromReflection(reflection));
  });
  app.converter.on(Converter.EVENT_CREATE_SIGNATURE, (_, signature, node) => nodes.set(signature, node));

  const project = await app.convert();
  if (!project) throw new Error("TypeDoc could not read the declarations.");
  app.validate(project);
  if (app.logger.hasErrors() || app.logger.hasWarnings()) throw new Error("TypeDoc has found faults; see above.");

  const checker = program.getTypeChecker();
  const modules = entries.map((entry) => {
    const file = relative(ROOT, entry.file).replace(/\.d\.ts$/, "");
    const module = project.children.find(({ name }) => name === file || `${name}/index` === file);
    if (!module) throw new Error(`TypeDoc has no module for ${file}`);
    return {
      ...entry,
      module,
      children: inOrder(module, checker.getSymbolAtLocation(program.getSourceFile(entry.file))),
    };
  });
  return { modules, symbols, nodes, checker };
}

/** What runs, then the options, then the other types, each in the order in which the entry exports them. */
function inOrder({ children }, symbol) {
  const names = [...(symbol?.exports?.keys() ?? [])].map(String);
  const rank = (one) => (one.kindOf(TYPES) ? (one.name.endsWith("Options") ? 1 : 2) : 0);
  return children.toSorted((a, b) => rank(a) - rank(b) || names.indexOf(a.name) - names.indexOf(b.name));
}
