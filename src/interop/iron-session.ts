import { createDecipheriv, pbkdf2Sync } from "node:crypto";
import { checkOptions } from "../checks.ts";
import type { FormerSession, FormerSessions, FoundSession } from "../former.ts";
import { areEqual, decoded, hmac, isCookieSized } from "./signatures.ts";
import {
  formerSession,
  isData,
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
  /** Returns the time in epoch milliseconds, for tests. Default `Date.now`. */
  clock?: (() => number) | undefined;
}

interface FoundSeal extends FoundSession {
  readonly session: Pick<FormerSession, "expiresAt"> & { readonly data: FormerData };
}

/** iron-session accepts a seal for this much longer, because the clocks of two servers may differ. */
const CLOCK_SKEW_MS = 60_000;

/**
 * The sessions of iron-session 8, whose cookies have the data and the time of expiry.
 *
 * @throws TypeError for an unknown option, and without a password or name.
 */
export function ironSession(options: IronSessionOptions): FormerSessions<FoundSeal> {
  checkOptions("ironSession", options, { password: true, cookieName: true, clock: true, ...SOURCE_OPTIONS });
  const { cookieName, password, clock = () => Date.now() } = options;
  if (typeof cookieName !== "string" || cookieName === "") throw new TypeError("ironSession: cookieName is missing");
  const passwords = new Map(Object.entries(typeof password === "string" ? { "1": password } : (password ?? {})));
  if (passwords.size === 0) throw new TypeError("ironSession: password is missing");
  return {
    ...sourceParts("iron-session", [cookieName], options),
    find: (valuesOf) =>
      valuesOf(cookieName).flatMap((value): FoundSeal[] => {
        const text = isCookieSized(value) ? decoded(value) : undefined;
        const session = text === undefined ? undefined : unsealed(text, passwords, clock());
        return session ? [{ key: keyOf(text!), session }] : [];
      }),
    read: async ({ session: { data, expiresAt } }) => formerSession(options, data, { expiresAt }),
  };
}

/** `Fe26.2*password id*salt*iv*ciphertext*expiry*salt of the MAC*MAC~version` */
const SEAL = /^(Fe26\.2\*([\w-]*)\*([\w-]+)\*([\w-]+)\*([\w-]+)\*(\d*))\*([\w-]+)\*([\w-]+)(?:~(\d))?$/;

/** Verifies and decrypts a seal. `undefined` for one that is not authentic, or that has expired. */
function unsealed(
  value: string,
  passwords: ReadonlyMap<string, string>,
  now: number,
): FoundSeal["session"] | undefined {
  const [, base = "", id = "", salt = "", iv = "", encrypted = "", end = "", macSalt = "", mac = "", version] =
    SEAL.exec(value) ?? [];
  // iron-session 8 and earlier give their single password the id 1.
  const password = base === "" ? undefined : passwords.get(id === "" ? "1" : id);
  if (password === undefined) return undefined;
  const expiresAt = end === "" ? undefined : Number(end) + CLOCK_SKEW_MS;
  if (expiresAt !== undefined && expiresAt <= now) return undefined;
  if (!areEqual(hmac("sha256", keyFrom(password, macSalt), base).toString("base64url"), mac)) return undefined;
  const decipher = createDecipheriv("aes-256-cbc", keyFrom(password, salt), Buffer.from(iv, "base64url"));
  const plain = Buffer.concat([decipher.update(Buffer.from(encrypted, "base64url")), decipher.final()]);
  const found = parseData(plain.toString("utf8"));
  // Version 1 and earlier kept the data within another object.
  const data = version === "2" ? found : found?.["persistent"];
  return isData(data) ? { data, expiresAt } : undefined;
}

function keyFrom(password: string, salt: string): Buffer {
  return pbkdf2Sync(password, salt, 1, 32, "sha1");
}
