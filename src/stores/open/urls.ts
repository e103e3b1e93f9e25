import { fileURLToPath } from "node:url";

// What openStore reads in a URL, in errors that show nothing of a password.

const REDIS_PORT = "6379";
const LAST_PORT = 65_535;

/** A name or an address without the characters that have a meaning in URLs, or an IPv6 address. */
const HOST = /^(?:\[[\da-f:.]+\]|[^\s\p{Cc}:/?#@,%<>^|\\[\]]+)$/iu;

export function unreadable(scheme: string): TypeError {
  return new TypeError(
    `${scheme}: the URL can't be read: in a password, write / as %2F, # as %23, ? as %3F, @ as %40, % as %25`,
  );
}

/** Clients' own errors show the whole URL, with the password in it. */
export function checkUrl(scheme: string, url: string): URL {
  let checked: URL;
  try {
    checked = new URL(url);
    const { username, password, hostname, pathname } = checked;
    for (const part of [username, password, hostname, pathname]) decodeURIComponent(part);
  } catch {
    throw unreadable(scheme);
  }
  // Nobody would read it.
  if (checked.hash !== "" || url.endsWith("#")) throw unreadable(scheme);
  if (!url.startsWith(`${scheme}://`)) throw new TypeError(`${scheme}: URLs begin with ${scheme}://`);
  return checked;
}

/** Taken apart here: each client reads such URLs in a way of its own. */
export function serverOf(scheme: string, url: string) {
  const { hostname, port, username, password, pathname } = checkUrl(scheme, url);
  const database = /^\/?(\d{0,9})$/.exec(pathname)?.[1];
  if (database === undefined) throw new TypeError(`${scheme}: URLs end with a database's number, such as /0`);
  if (username && !password) throw withoutPassword(scheme);
  const host = decodeURIComponent(hostname);
  if (host !== "" && !HOST.test(host)) throw unreadable(scheme);
  return {
    host: withoutBrackets(host) || "localhost",
    port: Number(port || REDIS_PORT),
    username: decodeURIComponent(username) || undefined,
    password: decodeURIComponent(password) || undefined,
    database: Number(database),
  };
}

/** Clients leave the name out then, and are somebody else. */
function withoutPassword(scheme: string): TypeError {
  return new TypeError(`${scheme}: URLs that name a user give the password as well: ${scheme}://user:password@host`);
}

/** An IPv6 address stands in brackets, in URLs only. */
const withoutBrackets = (host: string): string => host.replace(/^\[|\]$/g, "");

/** A path as it is written, relative or absolute, or as a file URL has it. */
export function pathOf(scheme: string, rest: string): string {
  if (!rest.startsWith("//")) return decoded(scheme, rest);
  if (!rest.startsWith("///"))
    throw new TypeError(`${scheme}: URLs take a path, such as ${scheme}:/var/lib/app/sessions`);
  if (/[#\t\r\n]/.test(rest)) {
    throw new TypeError(`${scheme}: a file URL leaves out # and line breaks: write # as %23, or the path without //`);
  }
  try {
    return fileURLToPath(`file:${rest}`);
  } catch {
    throw notEncoded(scheme);
  }
}

export function clusterOf(scheme: string, rest: string) {
  const parts = /^\/\/(?:([^:@/]*)(?::([^@/]*))?@)?([^@/]+)\/?$/.exec(rest);
  const nodes = parts?.[3]?.split(",").map((node) => {
    const [, host, port = REDIS_PORT] = /^(\[.*\]|[^:]*)(?::(\d{1,5}))?$/.exec(node) ?? [];
    if (host === undefined || !HOST.test(host) || Number(port) > LAST_PORT) return undefined;
    return { host: withoutBrackets(host), port: Number(port) };
  });
  if (!parts || !nodes || nodes.includes(undefined)) {
    throw new TypeError(`${scheme}: URLs list nodes, such as ${scheme}://user:password@one:7000,two:7000`);
  }
  const [, username, password] = parts;
  if (username && !password) throw withoutPassword(scheme);
  return {
    username: username ? decoded(scheme, username) : undefined,
    password: password ? decoded(scheme, password) : undefined,
    nodes: nodes.filter((node) => node !== undefined),
  };
}

function decoded(scheme: string, text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw notEncoded(scheme);
  }
}

const notEncoded = (scheme: string): TypeError =>
  new TypeError(`${scheme}: the URL is not encoded well: write a percent sign as %25`);
