// `npm run api`: writes the reference of every entry, docs/api, from the declarations in dist. With `--check` it writes
// nothing, and fails if a page is not what they say.
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { ensureInstalled, exitWith, prepare, ROOT } from "./setup.mjs";

const API = join(ROOT, "scripts/api");

try {
  prepare();
  ensureInstalled(API);
} catch (error) {
  exitWith(error);
}
const { status } = spawnSync(process.execPath, [join(API, "main.mjs"), ...process.argv.slice(2)], { stdio: "inherit" });
process.exit(status ?? 1);
