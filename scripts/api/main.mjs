// TypeDoc reads the declarations and their comments, and checks them; pages.mjs writes the Markdown.
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "../setup.mjs";
import { entries } from "./entries.mjs";
import { writePages } from "./pages.mjs";
import { readDeclarations } from "./read.mjs";

const FOLDER = join(ROOT, "docs/api");

const declarations = await readDeclarations(entries());
const pages = writePages(declarations);
if (process.argv.includes("--check")) check(pages);
else write(pages);

function write(written) {
  rmSync(FOLDER, { recursive: true, force: true });
  mkdirSync(FOLDER, { recursive: true });
  for (const [name, text] of written) writeFileSync(join(FOLDER, name), text);
  console.log(`Written: ${written.size} pages in docs/api.`);
}

function check(written) {
  const present = existsSync(FOLDER) ? readdirSync(FOLDER) : [];
  const stale = [...new Set([...present, ...written.keys()])].filter(
    (name) => !present.includes(name) || readFileSync(join(FOLDER, name), "utf8") !== written.get(name),
  );
  if (stale.length === 0) {
    console.log(`docs/api is what the sources say: ${written.size} pages.`);
    return;
  }
  console.error(
    `Not what the sources say: ${stale.map((name) => `docs/api/${name}`).join(", ")}. Run \`npm run api\`.`,
  );
  process.exitCode = 1;
}
