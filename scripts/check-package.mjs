// Checks what would be published, not what lies in the tree: packs it, lints the tarball and its types, installs it
// offline into an empty project and imports every entry from there. Where a registry can be reached, it also installs the
// tarball beside old clients and frameworks, and passes those clients to the stores.
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { exitWith, npm, prepare, ROOT, SetupError } from "./setup.mjs";
import { compile, MODES, PROGRAMS } from "./type-programs.mjs";

/** Old releases that an application may have for reasons of its own, and how a store refuses each client that it can tell. */
const OLD = {
  redis: { version: "5", client: 'redisStore((await import("redis")).createClient())' },
  ioredis: { version: "4", client: 'redisStore(new (await import("ioredis")).default({ lazyConnect: true }))' },
  iovalkey: {
    version: "0.3.1",
    client: 'redisStore(new (await import("iovalkey")).Cluster(["127.0.0.1:1"], { lazyConnect: true }))',
  },
  mysql2: { version: "2", client: 'mysqlStore((await import("mysql2")).default.createPool({ host: "127.0.0.1" }))' },
  pg: { version: "8.3", url: "postgres://127.0.0.1:1/app" },
  "better-sqlite3": { version: "11" },
  express: { version: "4" },
  fastify: { version: "4" },
  hono: { version: "3" },
  koa: { version: "2" },
};

/** An application's dependencies, with the oldest compiler that the types are made for beside the newest. */
const TYPED = {
  express: "express@5",
  "@types/express": "@types/express@5",
  "@types/express-session": "@types/express-session@1",
  "@types/connect-pg-simple": "@types/connect-pg-simple@7",
  "@types/session-file-store": "@types/session-file-store@1",
  memorystore: "memorystore@1",
  fastify: "fastify@5",
  hono: "hono@4",
  typescript: "typescript@7",
  "typescript-5": "npm:typescript@5.8",
};

/** The functions of Next.js that its adapter imports. */
const NEXT = {
  "cache.js": ["refresh"],
  "headers.js": ["cookies", "headers"],
  "server.js": ["after", "connection"],
};

const temporary = mkdtempSync(join(tmpdir(), "sojourn-package-"));
process.on("exit", () => rmSync(temporary, { recursive: true, force: true }));

try {
  prepare();
  const tarball = pack();
  run([tool("publint"), "run", tarball, "--strict"]);
  // @types are looked up at the registry otherwise; the package ships its own.
  run([tool("attw"), tarball, "--profile", "esm-only", "--no-definitely-typed"]);
  importEntries(tarball);
  installBesideOld(tarball);
  await compileBeside(tarball);
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

  // An adapter that calls its framework finds it as it does in an application.
  for (const framework of ["h3", "@nestjs"]) {
    symlinkSync(join(ROOT, "node_modules", framework), join(project, "node_modules", framework), "junction");
  }

  // Next.js is too large for that.
  const next = join(project, "node_modules/next");
  mkdirSync(next);
  writeFileSync(join(next, "package.json"), '{ "name": "next", "version": "16.0.0" }\n');
  for (const [file, functions] of Object.entries(NEXT)) {
    writeFileSync(join(next, file), functions.map((one) => `exports.${one} = () => {};\n`).join(""));
  }

  const { name, exports, bin } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8"));
  const entries = Object.keys(exports).filter((entry) => !entry.endsWith(".json"));
  for (const entry of entries) {
    const specifier = name + entry.slice(1);
    // One process each: an entry must not depend on what another one has loaded.
    // An entry of declarations has nothing at run time, but imports of it stay in the program.
    const isEmpty = entry.endsWith("/types");
    const script = `if ((Object.keys(await import("${specifier}")).length === 0) !== ${isEmpty}) throw new Error("exports nothing");`;
    const { status, stderr } = spawnSync(process.execPath, ["--input-type=module", "-e", script], {
      cwd: project,
      encoding: "utf8",
    });
    const required = spawnSync(process.execPath, ["--input-type=commonjs", "-e", `require("${specifier}")`], {
      cwd: project,
      encoding: "utf8",
    });
    if (required.status !== 0 || required.stderr !== "") {
      throw new SetupError(`${required.stderr}require("${specifier}") fails or warns from the tarball.`);
    }
    if (status !== 0) throw new SetupError(`${stderr}import "${specifier}" fails from the tarball.`);
  }
  for (const command of Object.keys(bin ?? {})) {
    run([join(project, "node_modules/.bin", command), "--help"], project);
  }
  console.log(`publint and attw find nothing; ${entries.length} entries import from the tarball.`);
}

function installBesideOld(tarball) {
  const project = mkdtempSync(join(temporary, "beside-old-"));
  writeFileSync(join(project, "package.json"), '{ "private": true, "type": "module" }\n');
  const old = Object.entries(OLD).map(([name, { version }]) => `${name}@${version}`);
  // No --force and no --legacy-peer-deps: an application must not need them.
  const install = npm("install", "--ignore-scripts", "--no-audit", "--no-fund", tarball, ...old);
  if (!installFromRegistry(install, project, "not installed beside old clients")) return;
  for (const [name, { client, url }] of Object.entries(OLD)) {
    const attempt = client ?? (url && `await openStore("${url}")`);
    if (attempt) checkRefusal(project, name, attempt);
  }
  console.log(`It installs beside ${old.join(", ")}, and the stores refuse clients that are too old.`);
}

/** `false`, said to the reader, where no registry can be reached. */
function installFromRegistry(install, project, consequence) {
  try {
    run(install, project);
    return true;
  } catch (error) {
    if (!/code (ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ETIMEDOUT|ENOTCACHED)/.test(error.message)) throw error;
    console.log(`No registry can be reached: ${consequence}.`);
    return false;
  }
}

async function compileBeside(tarball) {
  const project = mkdtempSync(join(temporary, "typed-"));
  writeFileSync(join(project, "package.json"), '{ "private": true, "type": "module" }\n');
  const packages = Object.entries(TYPED).map(([name, wanted]) =>
    wanted.startsWith("npm:") ? `${name}@${wanted}` : wanted,
  );
  const install = npm("install", "--ignore-scripts", "--no-audit", "--no-fund", tarball, ...packages);
  if (!installFromRegistry(install, project, "types not compiled beside other compilers")) return;
  let count = 0;
  for (const compiler of ["typescript", "typescript-5"]) {
    for (const [mode, options] of Object.entries(MODES)) {
      for (const [program, files] of Object.entries(PROGRAMS)) {
        // The modes differ in how modules are found: one program has them all.
        if (program !== "declared" && mode !== "esm") continue;
        const errors = await compile(project, `${program}-${mode}-${compiler}`, files, options, compiler);
        if (errors) throw new SetupError(`${errors}The program ${program} does not compile (${mode}, ${compiler}).`);
        count++;
      }
    }
  }
  console.log(`${count} programs compile strictly against the tarball, by TypeScript 7 and 5.8.`);
}

function checkRefusal(project, name, attempt) {
  const script = `
    import { mysqlStore } from "sojourn/mysql";
    import { openStore } from "sojourn/open";
    import { redisStore } from "sojourn/redis";
    try {
      ${attempt};
      console.log("accepted");
    } catch (error) {
      console.log(String(error));
    }
    process.exit();
  `;
  const words = ["--input-type=module", "-e", script];
  const { stdout, stderr } = spawnSync(process.execPath, words, { cwd: project, encoding: "utf8" });
  const expected = `npm install ${name}@`;
  if (!stdout.startsWith("TypeError: ") || !stdout.includes(expected)) {
    throw new SetupError(`${stdout}${stderr}An old ${name} should be refused with "${expected}…".`);
  }
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
