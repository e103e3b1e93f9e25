import { fileURLToPath } from "node:url";

// Parses the URLs of openStore. No error message contains a part of a password.

const DEFAULT_REDIS_PORT = "6379";
const MAX_PORT = 65_535;

/** Matches an IPv6 address in brackets, or a name or address without the characters that have a meaning in URLs. */
const HOST = /^(?:\[[\da-f:.]+\]|[^\s\p{Cc}:/?#@,%<>^|\\[\]]+)$/iu;

export function unreadableUrlError(scheme: string): TypeError {
  return new TypeError(
    `${scheme}: the URL can't be read: in a password, write / as %2F, # as %23, ? as %3F, @ as %40, % as %25`,
  );
}

/** Parses a URL. Throws an error of its own, because the errors of clients contain the URL with the password. */
export function parseUrl(scheme: string, url: string): URL {
  let checked: URL;
  try {
    checked = new URL(url);
    const { username, password, hostname, pathname } = checked;
    for (const part of [username, password, hostname, pathname]) decodeURIComponent(part);
  } catch {
    throw unreadableUrlError(scheme);
  }
  // No client uses a fragment.
  if (checked.hash !== "" || url.endsWith("#")) throw unreadableUrlError(scheme);
  if (!url.startsWith(`${scheme}://`)) throw new TypeError(`${scheme}: URLs begin with ${scheme}://`);
  return checked;
}

/** Parses a URL of one Redis server. The clients get its parts, because each of them parses such a URL in another way. */
export function parseServerUrl(scheme: string, url: string) {
  const { hostname, port, username, password, pathname } = parseUrl(scheme, url);
  const database = /^\/?(\d{0,9})$/.exec(pathname)?.[1];
  if (database === undefined) throw new TypeError(`${scheme}: URLs end with a database's number, such as /0`);
  if (username && !password) throw missingPasswordError(scheme);
  const host = decodeURIComponent(hostname);
  if (host !== "" && !HOST.test(host)) throw unreadableUrlError(scheme);
  return {
    host: removeBrackets(host) || "localhost",
    port: Number(port || DEFAULT_REDIS_PORT),
    username: decodeURIComponent(username) || undefined,
    password: decodeURIComponent(password) || undefined,
    database: Number(database),
  };
}

/** Without a password, clients ignore the user name and connect as the default user. */
function missingPasswordError(scheme: string): TypeError {
  return new TypeError(`${scheme}: URLs that name a user give the password as well: ${scheme}://user:password@host`);
}

/** Removes the brackets of an IPv6 address. Only URLs have them. */
const removeBrackets = (host: string): string => host.replace(/^\[|\]$/g, "");

/** Returns the path of a URL: the rest as it is, relative or absolute, or the path of a file URL. */
export function parsePath(scheme: string, rest: string): string {
  if (!rest.startsWith("//")) return decodePart(scheme, rest);
  if (!rest.startsWith("///"))
    throw new TypeError(`${scheme}: URLs take a path, such as ${scheme}:/var/lib/app/sessions`);
  if (/[#\t\r\n]/.test(rest)) {
    throw new TypeError(`${scheme}: a file URL leaves out # and line breaks: write # as %23, or the path without //`);
  }
  try {
    return fileURLToPath(`file:${rest}`);
  } catch {
    throw wrongEncodingError(scheme);
  }
}

/** Parses a URL of a Redis Cluster, which lists several nodes. */
export function parseClusterUrl(scheme: string, rest: string) {
  const parts = /^\/\/(?:([^:@/]*)(?::([^@/]*))?@)?([^@/]+)\/?$/.exec(rest);
  const nodes = parts?.[3]?.split(",").map((node) => {
    const [, host, port = DEFAULT_REDIS_PORT] = /^(\[.*\]|[^:]*)(?::(\d{1,5}))?$/.exec(node) ?? [];
    if (host === undefined || !HOST.test(host) || Number(port) > MAX_PORT) return undefined;
    return { host: removeBrackets(host), port: Number(port) };
  });
  if (!parts || !nodes || nodes.includes(undefined)) {
    throw new TypeError(`${scheme}: URLs list nodes, such as ${scheme}://user:password@one:7000,two:7000`);
  }
  const [, username, password] = parts;
  if (username && !password) throw missingPasswordError(scheme);
  return {
    username: username ? decodePart(scheme, username) : undefined,
    password: password ? decodePart(scheme, password) : undefined,
    nodes: nodes.filter((node) => node !== undefined),
  };
}

function decodePart(scheme: string, text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw wrongEncodingError(scheme);
  }
}

const wrongEncodingError = (scheme: string): TypeError =>
  new TypeError(`${scheme}: the URL is not encoded well: write a percent sign as %25`);
