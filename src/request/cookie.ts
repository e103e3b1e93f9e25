import { TOKEN_LENGTH } from "../record/token.ts";

/** The attributes of the cookie that carries the token, as RFC 6265bis defines them. */
export interface CookieOptions {
  /**
   * The cookie's name, at most 200 characters. Default `"session"`. Over HTTPS the prefix `__Host-` is added, or `__Secure-`
   * with `domain` or `path`.
   */
  name?: string;
  /** The domain whose hosts all get the cookie. Default none: only the host that set the cookie gets it. */
  domain?: string;
  /** The path below which the cookie is sent. Default `"/"`. */
  path?: string;
  /** Which requests of other sites carry the cookie. Default `"lax"`. `"none"` needs `secure: true`. */
  sameSite?: "lax" | "strict" | "none";
  /**
   * Whether the cookie has the attribute Secure. Default `"auto"`: it has it over HTTPS. Set `true` if every request uses
   * HTTPS, `false` if none does.
   */
  secure?: "auto" | boolean;
  /** Whether each top-level site has a cookie of its own (CHIPS). Default `false`. `true` needs `secure: true`. */
  partitioned?: boolean;
  /** Whether the cookie stays when the browser is closed. Default `true`: it stays until the absolute timeout. */
  persistent?: boolean;
}

/** The attributes of a cookie, by the names that frameworks have for them. */
export interface CookieAttributes {
  /** The path below which the cookie is sent. */
  readonly path: string;
  /** The domain whose hosts get the cookie. Without it, only the host that set it. */
  readonly domain?: string;
  /** In seconds. `0` deletes the cookie. Without it, the cookie ends when the browser is closed. */
  readonly maxAge?: number;
  /** Always `true`: scripts of a page can't read the cookie. */
  readonly httpOnly: boolean;
  /** Whether the cookie is sent over HTTPS alone. */
  readonly secure: boolean;
  /** Which requests of other sites carry the cookie. */
  readonly sameSite: "lax" | "strict" | "none";
  /** Whether each top-level site has a cookie of its own (CHIPS). */
  readonly partitioned?: boolean;
}

/** A cookie as a structure. */
export interface CookieParts {
  readonly name: string;
  readonly value: string;
  readonly attributes: CookieAttributes;
}

/** Reads and writes the cookie by options that were checked once. */
export interface SessionCookie {
  /** The name without a prefix. */
  readonly baseName: string;
  /**
   * The different values that a request carries under the cookie's name, in their order. At most sixteen of them have the
   * length of a token.
   */
  values(header: string | undefined, secure: boolean): string[];
  /** The name with the prefix that it has for such a request. */
  nameFor(secure: boolean): string;
  /**
   * Creates a Set-Cookie value. `lifetime` is in milliseconds. `keep` keeps the cookie when the browser is closed. `suffix`
   * is added to the name.
   */
  set(value: string, lifetime: number, secure: boolean, keep?: boolean, suffix?: string): string;
  /** Creates a Set-Cookie value that deletes the cookie. */
  clear(secure: boolean, suffix?: string): string;
}

/**
 * Browsers ignore a name and value of more than 4096 octets together. HKDF takes the name as part of its info, which Node.js
 * limits to 1024 octets.
 */
const MAX_NAME = 200;
/** RFC 6265bis, section 5.6: browsers limit the lifetime. */
export const MAX_LIFETIME = 400 * 86_400_000;

/**
 * The number of values that are checked. Each check costs an HMAC for each secret key, and 64 KB of headers contain up to 700
 * values. A subdomain can set cookies that come before the real one, so several are checked: sixteen take about 40 µs. A
 * subdomain that sets more signs the user out, as two live tokens do.
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
  if (name.length > MAX_NAME) {
    throw new TypeError(`cookie.name is too long: it has ${name.length} characters, and may have ${MAX_NAME}`);
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

    nameFor: (secureRequest) => nameOf(isSecure(secureRequest)),

    set(value, lifetime, secureRequest, keep = false, suffix = "") {
      const now = isSecure(secureRequest);
      const age = persistent || keep ? `; Max-Age=${Math.max(0, Math.ceil(lifetime / 1000))}` : "";
      return `${nameOf(now)}${suffix}=${value}${age}${now ? secureAttributes : plainAttributes}`;
    },

    clear(secureRequest, suffix = "") {
      const now = isSecure(secureRequest);
      return `${nameOf(now)}${suffix}=; Max-Age=0${now ? secureAttributes : plainAttributes}`;
    },
  };
}

/** Creates a Set-Cookie value that deletes a cookie that another library has set. */
export function clearForeign(name: string, path: string, domain: string | undefined, isSecure: boolean): string {
  const scope = `; Path=${path}${domain === undefined ? "" : `; Domain=${domain}`}`;
  return `${name}=; Max-Age=0${scope}${isSecure ? "; Secure" : ""}; HttpOnly; SameSite=Lax`;
}

/** A path may contain "=" as well. */
function nameAndValue(text: string): [name: string, value: string] {
  const [name = ""] = text.split("=", 1);
  return [name, text.slice(name.length + 1)];
}

/** The parts of a Set-Cookie value that {@link createCookie} made, or one of its kind. */
export function cookieParts(line: string): CookieParts {
  const [pair, ...given] = line.split("; ").map(nameAndValue);
  const [name, value] = pair!;
  const attributes = new Map(given);
  const domain = attributes.get("Domain");
  const maxAge = attributes.get("Max-Age");
  return {
    name,
    value,
    attributes: {
      path: attributes.get("Path")!,
      ...(domain !== undefined && { domain }),
      ...(maxAge !== undefined && { maxAge: Number(maxAge) }),
      httpOnly: attributes.has("HttpOnly"),
      secure: attributes.has("Secure"),
      sameSite: (attributes.get("SameSite")?.toLowerCase() ?? "lax") as CookieAttributes["sameSite"],
      ...(attributes.has("Partitioned") && { partitioned: true }),
    },
  };
}

/**
 * The different values of the cookies that are named exactly `name`. Nothing is decoded or unquoted, and only the blanks
 * before a name are trimmed, so that no other cookie is mistaken for the real one.
 */
export function cookieValues(header: string, name: string): string[] {
  // Most requests have one, which needs no set.
  let first: string | undefined;
  let values: Set<string> | undefined;
  let candidates = 0;
  for (let start = 0; start < header.length && candidates < MAX_CANDIDATES;) {
    let end = header.indexOf(";", start);
    if (end < 0) end = header.length;
    while (header[start] === " " || header[start] === "\t") start++;
    if (header[start + name.length] === "=" && header.startsWith(name, start)) {
      const value = header.slice(start + name.length + 1, end);
      const isNew = value !== first && !values?.has(value);
      if (value.length === TOKEN_LENGTH && isNew) candidates++;
      if (first === undefined) first = value;
      else (values ??= new Set([first])).add(value);
    }
    start = end + 1;
  }
  if (values) return [...values];
  return first === undefined ? [] : [first];
}
