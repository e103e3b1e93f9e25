import type { CookieSettings } from "./options.ts";

/** The attributes that a session keeps where they differ from the options. */
const KEPT = ["path", "domain", "httpOnly", "secure", "sameSite", "partitioned", "priority"] as const;

/** Attributes of one session's cookie, as its data keep them. */
export type KeptSettings = Partial<Pick<Cookie, (typeof KEPT)[number] | "originalMaxAge">>;

type Priority = "low" | "medium" | "high";
type SameSite = boolean | "lax" | "strict" | "none";

/** `req.session.cookie`: the attributes of one session's cookie. A change of them is kept with the session. */
export class Cookie {
  /** The path below which the cookie is sent. */
  path: string | undefined = "/";
  /** The domain whose hosts get the cookie. Without it, only the host that set it. */
  declare domain?: string | undefined;
  /** Whether scripts of a page can't read the cookie. */
  httpOnly: boolean | undefined = true;
  /** Whether the cookie is set over HTTPS alone. */
  declare secure?: boolean | "auto" | undefined;
  /** Which requests of other sites carry the cookie. */
  declare sameSite?: SameSite | "auto" | undefined;
  /** Whether each top-level site has a cookie of its own (CHIPS). */
  declare partitioned?: boolean | undefined;
  /** Which cookies a browser forgets first. */
  declare priority?: Priority | undefined;
  /** The lifetime as it was set, in milliseconds. `null`: the cookie ends when the browser is closed. */
  originalMaxAge: number | null = null;
  #expires: Date | false | null | undefined = null;

  constructor(options?: CookieSettings | KeptSettings) {
    if (options !== undefined && options !== null && typeof options !== "object")
      throw new TypeError("new Cookie(options): the argument options must be an object");
    const { data: _data, originalMaxAge, ...attributes } = (options ?? {}) as Record<string, unknown>;
    Object.assign(this, attributes);
    if (originalMaxAge === undefined) return;
    this.maxAge = originalMaxAge as number | null;
    this.originalMaxAge = originalMaxAge as number | null;
  }

  /** The end of the cookie. `null`: when the browser is closed. */
  get expires(): Date | false | null | undefined {
    return this.#expires;
  }

  set expires(date: Date | false | null | undefined) {
    this.#expires = date;
    this.originalMaxAge = this.maxAge ?? null;
  }

  /** The rest of the lifetime in milliseconds. */
  get maxAge(): number | null | undefined {
    const expires = this.#expires;
    return expires instanceof Date ? expires.getTime() - Date.now() : expires === false ? null : expires;
  }

  set maxAge(ms: number | Date | null | undefined) {
    if (ms && typeof ms !== "number" && !(ms instanceof Date))
      throw new TypeError("cookie.maxAge takes a number of milliseconds, or a Date");
    this.#expires = typeof ms === "number" ? new Date(Date.now() + ms) : ms;
    this.originalMaxAge = typeof ms === "number" ? ms : (this.maxAge ?? null);
  }

  /** The attributes as a plain object. */
  get data(): object {
    const { originalMaxAge, partitioned, priority, expires, secure, httpOnly, domain, path, sameSite } = this;
    return { originalMaxAge, partitioned, priority, expires, secure, httpOnly, domain, path, sameSite };
  }

  /** For `JSON.stringify`: the attributes. */
  toJSON(): object {
    return this.data;
  }

  /** Makes the value of a Set-Cookie header. The name and the value are encoded. */
  serialize(name: string, value: string): string {
    return setCookie(name, encodeURIComponent(value), this);
  }
}

for (const name of ["serialize", "toJSON"]) Object.defineProperty(Cookie.prototype, name, { enumerable: false });

/** What is kept of a cookie: its attributes and the length of its lifetime, not the moment of its end. */
export function settingsOf(cookie: Cookie): KeptSettings {
  const kept: Record<string, unknown> = { originalMaxAge: cookie.originalMaxAge };
  for (const name of KEPT) if (cookie[name] !== undefined) kept[name] = cookie[name];
  return kept;
}

const WORDS = { low: "Low", medium: "Medium", high: "High", lax: "Lax", strict: "Strict", none: "None" } as const;

/**
 * Makes the value of a Set-Cookie header.
 *
 * @param value - in a form that needs no encoding.
 * @throws TypeError for an attribute that a browser would refuse. The message begins with the name of the option.
 */
export function setCookie(name: string, value: string, cookie: Cookie): string {
  const { path, domain, expires, httpOnly, secure, partitioned, priority, sameSite } = cookie;
  let line = `${name}=${value}`;
  if (domain) line += `; Domain=${checked("domain", domain)}`;
  if (path) line += `; Path=${checked("path", path)}`;
  if (expires) {
    if (!(expires instanceof Date) || Number.isNaN(expires.getTime()))
      throw new TypeError("option expires is invalid: set req.session.cookie.expires to a Date, or to null");
    line += `; Expires=${expires.toUTCString()}`;
  }
  if (httpOnly) line += "; HttpOnly";
  if (secure) line += "; Secure";
  if (partitioned) line += "; Partitioned";
  if (priority) line += `; Priority=${word("priority", priority, ["low", "medium", "high"])}`;
  if (sameSite)
    line += `; SameSite=${sameSite === true ? "Strict" : word("sameSite", sameSite, ["lax", "strict", "none"])}`;
  return line;
}

function checked(option: string, value: unknown): string {
  // oxlint-disable-next-line no-control-regex -- control characters are what is looked for
  if (typeof value === "string" && !/[\u0000-\u001f\u007f-\uffff;]/.test(value)) return value;
  throw new TypeError(`option ${option} is invalid: it must be a string without ";" or control characters`);
}

function word(option: string, value: unknown, allowed: readonly (keyof typeof WORDS)[]): string {
  const found = typeof value === "string" && allowed.find((one) => one === value.toLowerCase());
  if (found) return WORDS[found];
  throw new TypeError(`option ${option} is invalid: it must be one of ${allowed.join(", ")}`);
}
