// Checks what would be published, not what lies in the tree: packs it, lints the tarball and its types, installs it
// offline into an empty project and imports every entry from there.
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { exitWith, npm, prepare, ROOT, SetupError } from "./setup.mjs";

const temporary = mkdtempSync(join(tmpdir(), "sojourn-package-"));
process.on("exit", () => rmSync(temporary, { recursive: true, force: true }));

try {
  prepare();
  const tarball = pack();
  run([tool("publint"), "run", tarball, "--strict"]);
  // @types are looked up at the registry otherwise; the package ships its own.
  run([tool("attw"), tarball, "--profile", "esm-only", "--no-definitely-typed"]);
  importEntries(tarball);
} catch (error) {
  exitWith(error);
}

function pack() {
  run(npm("pack", "--silent", "--pack-destination", temporary));
  const tarball = readdirSync(temporary).find((file) => file.endsWith(".tgz"));
  if (!tarball) throw new SetupError("npm pack made no tarball.");
  return join(temporary, tarball);
}

function importEntries(tarball) {
  const project = mkdtempSync(join(temporary, "project-"));
  writeFileSync(join(project, "package.json"), '{ "private": true, "type": "module" }\n');
  run(npm("install", "--offline", "--no-audit", "--no-fund", "--silent", tarball), project);

  const { name, exports, bin } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8"));
  const entries = Object.keys(exports).filter((entry) => !entry.endsWith(".json"));
  for (const entry of entries) {
    const specifier = name + entry.slice(1);
    // One process each: an entry must not depend on what another one has loaded.
    const script = `if (Object.keys(await import("${specifier}")).length === 0) throw new Error("exports nothing");`;
    const { status, stderr } = spawnSync(process.execPath, ["--input-type=module", "-e", script], {
      cwd: project,
      encoding: "utf8",
    });
    if (status !== 0) throw new SetupError(`${stderr}import "${specifier}" fails from the tarball.`);
  }
  for (const command of Object.keys(bin ?? {})) {
    run([join(project, "node_modules/.bin", command), "--help"], project);
  }
  console.log(`publint and attw find nothing; ${entries.length} entries import from the tarball.`);
}

function tool(name) {
  return join(ROOT, "node_modules/.bin", name);
}

/** Runs a command in silence; where it fails, throws with what it said. */
function run([command, ...args], cwd = ROOT) {
  const { status, error, stdout, stderr } = spawnSync(command, args, { cwd, encoding: "utf8" });
  if (status === 0) return;
  throw new SetupError(
    `${stdout ?? ""}${stderr ?? ""}${[command, ...args].join(" ")} failed${error ? `: ${error.message}` : ""}.`,
  );
}
