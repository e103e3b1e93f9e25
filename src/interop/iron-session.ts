import { createDecipheriv, pbkdf2Sync } from "node:crypto";
import { checkOptions } from "../checks.ts";
import type { FormerSession, FormerSessions, FoundSession } from "../former.ts";
import { areEqual, decoded, hmac, isCookieSized } from "./signatures.ts";
import {
  formerSession,
  keyOf,
  parseData,
  SOURCE_OPTIONS,
  sourceParts,
  type FormerData,
  type SourceOptions,
} from "./source.ts";

/** The options of {@link ironSession}. */
export interface IronSessionOptions extends SourceOptions {
  /** The option `password` of iron-session: a string, or passwords by their ids. Required. */
  password: string | Readonly<Record<string, string>>;
  /** The option `cookieName` of iron-session. Required. */
  cookieName: string;
  /** The option `chunk` of iron-session 9: the cookies are in several pieces where they are long. Default `false`. */
  chunk?: boolean | undefined;
  /** Returns the time in epoch milliseconds, for tests. Default `Date.now`. */
  clock?: (() => number) | undefined;
}

interface FoundSeal extends FoundSession {
  readonly session: Pick<FormerSession, "expiresAt"> & { readonly data: FormerData };
}

/** iron-session accepts a seal for this much longer, because the clocks of two servers may differ. */
const CLOCK_SKEW_MS = 60_000;
/** The most pieces of iron-session 9. */
const MAX_PIECES = 4;

/**
 * The sessions of iron-session 8 and 9, whose cookies have the data and the time of expiry.
 *
 * @throws TypeError for an unknown option, and without a password or name.
 */
export function ironSession(options: IronSessionOptions): FormerSessions<FoundSeal> {
  checkOptions("ironSession", options, {
    password: true,
    cookieName: true,
    chunk: true,
    clock: true,
    ...SOURCE_OPTIONS,
  });
  const { cookieName, password, chunk = false, clock = () => Date.now() } = options;
  if (typeof cookieName !== "string" || cookieName === "") throw new TypeError("ironSession: cookieName is missing");
  const passwords = new Map(Object.entries(typeof password === "string" ? { "1": password } : (password ?? {})));
  if (passwords.size === 0) throw new TypeError("ironSession: password is missing");
  const pieces = chunk ? Array.from({ length: MAX_PIECES }, (_, i) => `${cookieName}.${i}`) : [];
  return {
    ...sourceParts("iron-session", [cookieName, ...pieces], options),
    find(valuesOf) {
      const values = valuesOf(cookieName).filter(isCookieSized);
      const joined = values.length > 0 ? undefined : join(valuesOf, pieces);
      return [...values, ...(joined === undefined ? [] : [joined])].flatMap((value): FoundSeal[] => {
        const text = decoded(value);
        const found = text === undefined ? undefined : unsealed(text, passwords, clock());
        return found ? [found] : [];
      });
    },
    read: async ({ session: { data, expiresAt } }) => formerSession(options, data, { expiresAt }),
  };
}

/** Joins the pieces of a seal, up to the first that is missing. */
function join(valuesOf: (name: string) => readonly string[], pieces: readonly string[]): string | undefined {
  const values = pieces.map((name) => valuesOf(name)[0] ?? "");
  const end = values.indexOf("");
  const joined = end === 0 ? [] : values.slice(0, end < 0 ? undefined : end);
  return joined.length > 0 && joined.every(isCookieSized) ? joined.join("") : undefined;
}

/** `Fe26.2*password id*salt*iv*ciphertext*expiry*salt of the MAC*MAC`, and `~version`, which nothing authenticates. */
const SEAL = /^(Fe26\.2\*([\w-]*)\*([\w-]+)\*([\w-]+)\*([\w-]+)\*(\d*))\*([\w-]+)\*([\w-]+)(?:~\d)?$/;

/** Verifies and decrypts a seal. `undefined` for one that is not authentic, or that has expired. */
function unsealed(value: string, passwords: ReadonlyMap<string, string>, now: number): FoundSeal | undefined {
  const [, base = "", id = "", salt = "", iv = "", encrypted = "", end = "", macSalt = "", mac = ""] =
    SEAL.exec(value) ?? [];
  const password = base === "" ? undefined : passwords.get(id);
  if (password === undefined) return undefined;
  const expiresAt = end === "" ? undefined : Number(end) + CLOCK_SKEW_MS;
  if (expiresAt !== undefined && expiresAt <= now) return undefined;
  if (!areEqual(hmac("sha256", keyFrom(password, macSalt), base).toString("base64url"), mac)) return undefined;
  const decipher = createDecipheriv("aes-256-cbc", keyFrom(password, salt), Buffer.from(iv, "base64url"));
  const plain = Buffer.concat([decipher.update(Buffer.from(encrypted, "base64url")), decipher.final()]);
  const data = parseData(plain.toString("utf8"));
  // The key has nothing that a client can change: with another version, its cookie would be another session.
  return data && { key: keyOf(base), session: { data, expiresAt } };
}

function keyFrom(password: string, salt: string): Buffer {
  return pbkdf2Sync(password, salt, 1, 32, "sha1");
}
