// Compiles the small programs of test/types as an application's compiler would: strictly, with the library's declaration
// files checked too, in each way that TypeScript has to understand modules.
import { execFile } from "node:child_process";
import { copyFileSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { ROOT } from "./setup.mjs";

const run = promisify(execFile);
const SOURCES = join(ROOT, "test/types/programs");

/** The ways to understand modules. Node decides by the `type` of package.json whether a file is CommonJS. */
export const MODES = {
  esm: { type: "module", module: "nodenext" },
  commonjs: { type: "commonjs", module: "nodenext" },
  node16: { type: "module", module: "node16" },
  bundler: { type: "module", module: "esnext", moduleResolution: "bundler" },
};

/** Each a program of its own, because a declaration holds for the whole program. */
export const PROGRAMS = {
  declared: ["data.ts", "use.ts", "express.ts", "fastify.ts", "hono.ts", "fetch.ts", "node.ts"],
  withoutNode: ["data.ts", "use.ts", "hono.ts", "fetch.ts", "without-node.ts"],
  perInstance: ["per-instance.ts"],
  expressSession: ["data.ts", "use.ts", "express-session.ts"],
  dropIn: ["drop-in.ts"],
  dropInWithKeptTypes: ["drop-in-kept-types.ts"],
  dropInWithFactories: ["drop-in-factories.ts"],
};

/**
 * Compiles a program within `folder`, from where the package `sojourn` must be found. Gives the compiler's errors, empty
 * where there are none.
 */
export async function compile(folder, name, files, { type, ...options }, compiler = "typescript") {
  const place = join(folder, name);
  mkdirSync(place, { recursive: true });
  for (const file of files) copyFileSync(join(SOURCES, file), join(place, file));
  writeFileSync(join(place, "package.json"), JSON.stringify({ private: true, type }));
  writeFileSync(
    join(place, "tsconfig.json"),
    JSON.stringify({
      compilerOptions: {
        target: "es2023",
        lib: ["es2023", "dom"],
        strict: true,
        exactOptionalPropertyTypes: true,
        noPropertyAccessFromIndexSignature: true,
        noUncheckedIndexedAccess: true,
        skipLibCheck: false,
        // Nothing is loaded that no import asks for.
        types: [],
        declaration: true,
        noEmit: true,
        ...options,
      },
      files,
    }),
  );
  const tsc = join(folder, "node_modules", compiler, "bin/tsc");
  try {
    await run(process.execPath, [tsc, "-p", place], { cwd: place });
    return "";
  } catch (error) {
    return error.stdout || error.message;
  }
}
