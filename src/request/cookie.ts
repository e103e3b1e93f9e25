import { TOKEN_LENGTH } from "../record/token.ts";

/** How the cookie that carries the token is set. */
export interface CookieOptions {
  /** Default `"session"`. Where it can hold, `__Host-` (or `__Secure-`) is put before it over HTTPS. */
  name?: string;
  /** Default none: the cookie goes to the host that set it and to no other. */
  domain?: string;
  /** Default `"/"`. */
  path?: string;
  /** Default `"lax"`. `"none"` needs `secure: true`. */
  sameSite?: "lax" | "strict" | "none";
  /** Default `"auto"`: over HTTPS and only there. `true` where every request comes by HTTPS, `false` where none does. */
  secure?: "auto" | boolean;
  /** Default `false`. A separate cookie for each top-level site (CHIPS); needs `secure: true`. */
  partitioned?: boolean;
  /** Default `true`: kept until the absolute timeout. `false`: until the browser is closed. */
  persistent?: boolean;
}

/** The cookie, with its rules settled once. */
export interface SessionCookie {
  /** The name without a prefix. */
  readonly baseName: string;
  /**
   * The different values that a request carries under the cookie's name, the most specific first; of those that might be
   * tokens by their length, the first sixteen.
   */
  values(header: string | undefined, secure: boolean): string[];
  /** A Set-Cookie value. `lifetime` in milliseconds; `keep`: even beyond the browser's session. */
  set(value: string, lifetime: number, secure: boolean, keep?: boolean): string;
  /** A Set-Cookie value that makes the client forget the cookie. */
  clear(secure: boolean): string;
}

/** RFC 6265bis, section 5.6: browsers ignore a longer name and value, and cap the lifetime at 400 days. */
const MAX_NAME_AND_VALUE = 4096;
export const MAX_LIFETIME = 400 * 86_400_000;

/**
 * Each value of a token's length costs an HMAC for each secret key to check, and 64 KB of headers hold 700 of them. A
 * subdomain can plant cookies that come before the real one, so there must be room for some: sixteen take about 40 µs.
 * Whoever plants more signs the user out, as two live tokens do.
 */
const MAX_CANDIDATES = 16;

/** @throws TypeError for options that a browser would refuse. */
export function createCookie(options: CookieOptions, absoluteTimeout: number): SessionCookie {
  const { name = "session", domain, path = "/", sameSite = "lax", secure = "auto" } = options;
  const { partitioned = false, persistent = true } = options;

  for (const [option, value] of Object.entries({ name, path, ...(domain !== undefined && { domain }) })) {
    if (typeof value !== "string") throw new TypeError(`cookie.${option} must be a string, not ${String(value)}`);
  }
  if (!/^[A-Za-z0-9!#$%&'*+\-.^_`|~]+$/.test(name)) {
    throw new TypeError(`cookie.name: ${JSON.stringify(name)} is not a token (RFC 6265, section 4.1.1)`);
  }
  if (name.length + "__Secure-".length + TOKEN_LENGTH > MAX_NAME_AND_VALUE) {
    throw new TypeError(`cookie.name is too long; name and value may have ${MAX_NAME_AND_VALUE} octets together`);
  }
  if (domain !== undefined && !/^[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?$/.test(domain)) {
    throw new TypeError(
      `cookie.domain: ${JSON.stringify(domain)} is not a host name; write it bare, as in "example.com"`,
    );
  }
  // eslint-disable-next-line no-control-regex -- control characters are what is looked for
  if (!path.startsWith("/") || /[\u0000-\u001f\u007f-\uffff;]/.test(path)) {
    throw new TypeError(`cookie.path: ${JSON.stringify(path)} must begin with "/", without ";" or control characters`);
  }
  const oneOf = (option: string, value: unknown, allowed: readonly unknown[]) => {
    if (!allowed.includes(value)) {
      throw new TypeError(
        `cookie.${option}: ${String(value)} is not one of ${allowed.map((a) => JSON.stringify(a)).join(", ")}`,
      );
    }
  };
  oneOf("sameSite", sameSite, ["lax", "strict", "none"]);
  oneOf("secure", secure, ["auto", true, false]);
  oneOf("partitioned", partitioned, [true, false]);
  oneOf("persistent", persistent, [true, false]);
  if (sameSite === "none" && secure !== true) {
    throw new TypeError('cookie.sameSite "none" is refused by browsers without Secure; set cookie.secure to true');
  }
  if (partitioned && secure !== true) {
    throw new TypeError("cookie.partitioned is refused by browsers without Secure; set cookie.secure to true");
  }
  if (persistent && absoluteTimeout > MAX_LIFETIME) {
    throw new TypeError("absoluteTimeout: browsers keep no cookie for more than 400 days; shorten it");
  }

  const given = /^__(host|secure)-/i.exec(name)?.[1]?.toLowerCase();
  if (given && secure !== true) {
    throw new TypeError(`cookie.name: ${name} needs cookie.secure to be true; or leave the prefix to Sojourn`);
  }
  if (given === "host" && (domain !== undefined || path !== "/")) {
    throw new TypeError(
      `cookie.name: a __Host- cookie has no domain and the path "/"; use __Secure- or drop those options`,
    );
  }
  const hostOnly = domain === undefined && path === "/";
  const secureName = given ? name : (hostOnly ? "__Host-" : "__Secure-") + name;

  const scope = `; Path=${path}${domain === undefined ? "" : `; Domain=${domain}`}`;
  const flags = `; HttpOnly; SameSite=${{ lax: "Lax", strict: "Strict", none: "None" }[sameSite]}`;
  const secureAttributes = `${scope}; Secure${flags}${partitioned ? "; Partitioned" : ""}`;
  const plainAttributes = scope + flags;
  const isSecure = (secureRequest: boolean) => (secure === "auto" ? secureRequest : secure);
  const nameOf = (isNowSecure: boolean) => (isNowSecure ? secureName : name);

  return {
    baseName: name,

    values: (header, secureRequest) => (header ? cookieValues(header, nameOf(isSecure(secureRequest))) : []),

    set(value, lifetime, secureRequest, keep = false) {
      const now = isSecure(secureRequest);
      const age = persistent || keep ? `; Max-Age=${Math.max(0, Math.ceil(lifetime / 1000))}` : "";
      return `${nameOf(now)}=${value}${age}${now ? secureAttributes : plainAttributes}`;
    },

    clear(secureRequest) {
      const now = isSecure(secureRequest);
      return `${nameOf(now)}=; Max-Age=0${now ? secureAttributes : plainAttributes}`;
    },
  };
}

/**
 * The different values of the cookies called exactly `name`. Bytes are taken as they came: nothing is decoded, unquoted
 * or trimmed but the blanks before a name, so that nothing else is ever taken for the real one.
 */
function cookieValues(header: string, name: string): string[] {
  const values = new Set<string>();
  let candidates = 0;
  for (let start = 0; start < header.length && candidates < MAX_CANDIDATES;) {
    let end = header.indexOf(";", start);
    if (end < 0) end = header.length;
    while (header[start] === " " || header[start] === "\t") start++;
    if (header[start + name.length] === "=" && header.startsWith(name, start)) {
      const value = header.slice(start + name.length + 1, end);
      if (value.length === TOKEN_LENGTH && !values.has(value)) candidates++;
      values.add(value);
    }
    start = end + 1;
  }
  return [...values];
}
