import { hash } from "node:crypto";
import { lstatSync, mkdirSync, readlinkSync } from "node:fs";
import { tmpdir, userInfo } from "node:os";
import { basename, dirname, join, parse, resolve, sep } from "node:path";
import { undefinedIfMissing } from "./files.ts";

const OTHERS_MAY_WRITE = 0o022;
const STICKY = 0o1000;
const ROOT = 0;
/** The same limit as Linux has. */
const MAX_LINKS = 40;

/**
 * The default directory. Each operating system user and each application has its own. The directory in which the server
 * was started identifies the application.
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
 * Makes the directory if it is missing. Throws if another user could write in it or replace it: that user could bring back
 * sessions that have ended. Returns the path without symbolic links, so that a later change of a link has no effect.
 */
export function openDirectory(given: string | undefined): string {
  const directory = resolve(given ?? defaultDirectory());
  // Windows has no owner and mode to check. Its temporary directory belongs to the user.
  if (process.getuid === undefined) {
    mkdirSync(directory, { recursive: true });
    return directory;
  }
  const user = process.getuid();
  // Another user may have made a link in the shared temporary directory. A link in a path that the application passes is
  // the application's own choice.
  if (given === undefined && undefinedIfMissing(() => lstatSync(directory))?.isSymbolicLink()) {
    refuse(directory, "is a symbolic link", "remove it, or pass the directory you mean: fileStore({ directory })");
  }
  const resolved = resolveTrustedPath(directory, user);
  const real = join(resolved.real, ...resolved.missing);
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

/**
 * Resolves a path from the root, as the operating system does, up to the first part that does not exist. Throws if another
 * user could change a part of it.
 */
function resolveTrustedPath(directory: string, user: number): { real: string; missing: readonly string[] } {
  const isTrustedOwner = (owner: number) => owner === ROOT || owner === user;
  let real = parse(directory).root;
  let linkCount = 0;
  const names = directory.split(sep);
  for (let name = names.shift(); name !== undefined; name = names.shift()) {
    if (name === "" || name === ".") continue;
    if (name === "..") {
      real = dirname(real);
      continue;
    }
    const { uid, mode } = lstatSync(real);
    if (!isTrustedOwner(uid)) {
      refuse(
        directory,
        `lies in ${real}, which belongs to user ${uid}`,
        `chown ${real} to root or to the user that runs the server, or pass another directory`,
      );
    }
    // In a directory with the sticky bit, such as /tmp, only the owner of an entry may change it.
    if ((mode & OTHERS_MAY_WRITE) !== 0 && (mode & STICKY) === 0) {
      refuse(
        directory,
        `lies in ${real}, in which its group or everybody can write`,
        `chmod go-w ${real}, or pass another directory`,
      );
    }
    const path = join(real, name);
    const found = undefinedIfMissing(() => lstatSync(path));
    if (found === undefined) return { real, missing: [name, ...names] };
    if (!found.isSymbolicLink()) {
      real = path;
      continue;
    }
    linkCount += 1;
    if (linkCount > MAX_LINKS) throw new Error(`fileStore: ${directory} leads over too many symbolic links`);
    if (!isTrustedOwner(found.uid)) {
      refuse(directory, `lies behind ${path}, another user's link`, "remove that, or pass another directory");
    }
    const target = readlinkSync(path);
    if (parse(target).root !== "") real = parse(target).root;
    names.unshift(...target.split(sep));
  }
  return { real, missing: [] };
}

function refuse(directory: string, what: string, remedy: string): never {
  throw new Error(`fileStore: ${directory} ${what}, so others could put sessions there: ${remedy}`);
}
