/**
 * The oldest release of each client that passes the stores' tests (docs/decisions/014-oldest-clients.md). The ranges in
 * package.json accept every release, so that no install is blocked for an application that uses another store.
 */
export const OLDEST_CLIENTS = {
  "better-sqlite3": "12.0.0",
  ioredis: "5.4.0",
  iovalkey: "0.4.0",
  mysql2: "3.9.8",
  pg: "8.4.0",
  postgres: "3.3.5",
  redis: "6.0.0",
} as const;

type ClientPackage = keyof typeof OLDEST_CLIENTS;

/** Creates the error for a client that is too old. It names the command that installs one that will do. */
export function tooOld(maker: string, name: ClientPackage, version?: string): TypeError {
  const oldest = OLDEST_CLIENTS[name];
  const found = version === undefined ? "this client is older" : `this is ${version}`;
  return new TypeError(
    `${maker} needs ${name} ${oldest} or later, and ${found}: npm install ${name}@${lineOf(oldest)}`,
  );
}

/** The releases that npm counts as compatible: one major version, or one minor version before 1.0. */
function lineOf(version: string): string {
  const [major, minor] = version.split(".");
  return major === "0" ? `0.${minor}` : major!;
}

/** @throws TypeError where `version` is older than the oldest release of the package that will do. */
export function checkVersion(maker: string, name: string, version: string | undefined): void {
  if (version === undefined || !isKnown(name)) return;
  const found = numbersOf(version);
  const oldest = numbersOf(OLDEST_CLIENTS[name]);
  const differing = oldest.findIndex((number, i) => number !== found[i]);
  if (differing >= 0 && found[differing]! < oldest[differing]!) throw tooOld(maker, name, version);
}

function isKnown(name: string): name is ClientPackage {
  return Object.hasOwn(OLDEST_CLIENTS, name);
}

/** Major, minor and patch. A part that is no number is taken for a high one: an unknown form of version is accepted. */
function numbersOf(version: string): number[] {
  const parts = version.split(/[.+-]/, 3).map(Number);
  return [0, 1, 2].map((i) => (Number.isInteger(parts[i]) ? parts[i]! : Number.MAX_SAFE_INTEGER));
}
