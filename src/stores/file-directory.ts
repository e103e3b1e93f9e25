import { hash } from "node:crypto";
import { lstatSync, mkdirSync, realpathSync, statSync } from "node:fs";
import { tmpdir, userInfo } from "node:os";
import { basename, dirname, join, resolve } from "node:path";

const OTHERS_MAY_WRITE = 0o022;
const ANYONE_MAY_WRITE = 0o002;
const STICKY = 0o1000;

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

/** Makes the directory where it is missing, and refuses one in which somebody else could write. */
export function openDirectory(given: string | undefined): string {
  const directory = resolve(given ?? defaultDirectory());
  mkdirSync(directory, { recursive: true, mode: 0o700 });

  // In the shared temporary directory anyone may have been there first and have laid a link. A link that the
  // application names itself is its own affair.
  const found = given === undefined ? lstatSync(directory) : statSync(directory);
  if (found.isSymbolicLink()) {
    refuse(directory, "is a symbolic link", "remove it, or pass the directory you mean: fileStore({ directory })");
  }
  // Windows keeps neither owner nor mode; its temporary directory is the user's own.
  if (process.getuid === undefined) return directory;

  if (found.uid !== process.getuid()) {
    refuse(
      directory,
      `belongs to user ${found.uid}, and this process runs as ${process.getuid()}`,
      "chown it to the user that runs the server, or pass another directory",
    );
  }
  if ((found.mode & OTHERS_MAY_WRITE) !== 0) {
    refuse(directory, "can be written by its group or by everybody", `chmod 700 ${directory}`);
  }
  // Who may write in a directory above, may put another in this one's place. In a sticky one (as /tmp is) only the
  // owner of a name may.
  const real = realpathSync(directory);
  for (let above = dirname(real); above !== dirname(above); above = dirname(above)) {
    const { mode } = statSync(above);
    if ((mode & ANYONE_MAY_WRITE) !== 0 && (mode & STICKY) === 0) {
      refuse(directory, `lies in ${above}, which everybody can write`, `chmod o-w ${above}, or pass another directory`);
    }
  }
  return directory;
}

function refuse(directory: string, what: string, remedy: string): never {
  throw new Error(`fileStore: ${directory} ${what}, so others could put sessions there: ${remedy}`);
}
