import { hash } from "node:crypto";
import { lstatSync, mkdirSync, readlinkSync } from "node:fs";
import { tmpdir, userInfo } from "node:os";
import { basename, dirname, join, parse, resolve, sep } from "node:path";
import { orMissing } from "./files.ts";

const OTHERS_MAY_WRITE = 0o022;
const STICKY = 0o1000;
const ROOT = 0;
/** As many as Linux follows. */
const MOST_LINKS = 40;

/**
 * Where sessions go when nobody says where: a directory of this user's and this application's own. The application is
 * the directory the server was started in.
 */
function defaultDirectory(): string {
  const application = process.cwd();
  const user = process.getuid?.() ?? userInfo().username;
  const name = basename(application)
    .replaceAll(/[^\w-]/g, "_")
    .slice(0, 32);
  return join(tmpdir(), `sojourn-${user}-${name}-${hash("sha256", application, "hex").slice(0, 8)}`);
}

/**
 * Makes the directory where it is missing, and refuses one in which somebody else could write, or in whose place somebody
 * else could put another: then sessions that have ended could come back. Gives its path without links, so that a link
 * that changes later leads nobody astray.
 */
export function openDirectory(given: string | undefined): string {
  const directory = resolve(given ?? defaultDirectory());
  // Windows keeps neither owner nor mode; its temporary directory is the user's own.
  if (process.getuid === undefined) {
    mkdirSync(directory, { recursive: true });
    return directory;
  }
  const user = process.getuid();
  // In the shared temporary directory anyone may have been there first and have laid a link. A link that the
  // application names itself is its own affair.
  if (given === undefined && orMissing(() => lstatSync(directory))?.isSymbolicLink()) {
    refuse(directory, "is a symbolic link", "remove it, or pass the directory you mean: fileStore({ directory })");
  }
  const way = follow(directory, user);
  const real = join(way.real, ...way.missing);
  mkdirSync(real, { recursive: true, mode: 0o700 });

  const { uid, mode } = lstatSync(real);
  if (uid !== user) {
    refuse(
      directory,
      `belongs to user ${uid}, and this process runs as ${user}`,
      "chown it to the user that runs the server, or pass another directory",
    );
  }
  if ((mode & OTHERS_MAY_WRITE) !== 0) {
    refuse(directory, "can be written by its group or by everybody", `chmod 700 ${real}`);
  }
  return real;
}

/** Goes from the root to a directory, as far as there is one, as the system does, over places that nobody else can change. */
function follow(directory: string, user: number): { real: string; missing: readonly string[] } {
  const isTrusted = (owner: number) => owner === ROOT || owner === user;
  let real = parse(directory).root;
  let links = 0;
  const names = directory.split(sep);
  for (let name = names.shift(); name !== undefined; name = names.shift()) {
    if (name === "" || name === ".") continue;
    if (name === "..") {
      real = dirname(real);
      continue;
    }
    const { uid, mode } = lstatSync(real);
    if (!isTrusted(uid)) {
      refuse(
        directory,
        `lies in ${real}, which belongs to user ${uid}`,
        `chown ${real} to root or to the user that runs the server, or pass another directory`,
      );
    }
    // In a sticky one, as /tmp is, only the owner of a name may change it.
    if ((mode & OTHERS_MAY_WRITE) !== 0 && (mode & STICKY) === 0) {
      refuse(
        directory,
        `lies in ${real}, in which its group or everybody can write`,
        `chmod go-w ${real}, or pass another directory`,
      );
    }
    const next = join(real, name);
    const found = orMissing(() => lstatSync(next));
    if (found === undefined) return { real, missing: [name, ...names] };
    if (!found.isSymbolicLink()) {
      real = next;
      continue;
    }
    links += 1;
    if (links > MOST_LINKS) throw new Error(`fileStore: ${directory} leads over too many symbolic links`);
    if (!isTrusted(found.uid)) {
      refuse(directory, `lies behind ${next}, another user's link`, "remove that, or pass another directory");
    }
    const target = readlinkSync(next);
    if (parse(target).root !== "") real = parse(target).root;
    names.unshift(...target.split(sep));
  }
  return { real, missing: [] };
}

function refuse(directory: string, what: string, remedy: string): never {
  throw new Error(`fileStore: ${directory} ${what}, so others could put sessions there: ${remedy}`);
}
