import { readFileSync } from "node:fs";
import { arch, availableParallelism, cpus, platform, release, totalmem } from "node:os";
import { join } from "node:path";

const GIB = 2 ** 30;

/** The machine and the date. */
export function describeMachine() {
  return {
    date: new Date().toISOString().slice(0, 10),
    hardware: {
      cpu: cpus()[0]?.model.trim() ?? "unknown",
      cores: availableParallelism(),
      memoryGiB: Math.round(totalmem() / GIB),
      system: `${platform()} ${release()}, ${arch()}`,
    },
  };
}

/** The version of each package of bench/package.json that is installed. */
export function packageVersions() {
  const root = join(import.meta.dirname, "..");
  const { dependencies } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  const versionOf = (name) =>
    JSON.parse(readFileSync(join(root, "node_modules", name, "package.json"), "utf8")).version;
  return Object.fromEntries(Object.keys(dependencies).map((name) => [name, versionOf(name)]));
}
