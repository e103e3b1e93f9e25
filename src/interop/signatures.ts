import { createHmac, timingSafeEqual } from "node:crypto";

/** A browser keeps no cookie whose name and value are longer together. */
const MAX_COOKIE = 4096;
/** The values of a cookie, and of its signature, that are checked against each other. */
const MAX_PAIRED = 4;

/** A secret, or a list of the current one and the previous ones. */
export type FormerSecret = string | Uint8Array | readonly (string | Uint8Array)[];

/**
 * Gives the secrets of an option as a list.
 *
 * @throws TypeError without any.
 */
export function secretsOf(option: string, secret: FormerSecret): readonly (string | Uint8Array)[] {
  const secrets = Array.isArray(secret) ? (secret as readonly (string | Uint8Array)[]) : [secret as string];
  const isGiven = (one: unknown) => (typeof one === "string" || one instanceof Uint8Array) && one.length > 0;
  if (secrets.length > 0 && secrets.every(isGiven)) return secrets;
  throw new TypeError(`${option} is missing: give the one that the former cookies were signed with, or a list of them`);
}

/** Whether a text is short enough for a cookie. It is checked before anything that costs more. */
export const isCookieSized = (value: string): boolean => value.length <= MAX_COOKIE;

export function hmac(algorithm: "sha1" | "sha256", key: string | Uint8Array, text: string): Buffer {
  return createHmac(algorithm, key).update(text).digest();
}

/** Compares two texts in constant time, unless their lengths differ. */
export function areEqual(a: string, b: string): boolean {
  const [first, second] = [Buffer.from(a), Buffer.from(b)];
  return first.length === second.length && timingSafeEqual(first, second);
}

/** Decodes a cookie's value as a URI component. `undefined` for one that is malformed. */
export function decoded(value: string): string | undefined {
  if (!value.includes("%")) return value;
  try {
    return decodeURIComponent(value);
  } catch {
    return undefined;
  }
}

/**
 * The text of a value in the form `<text>.<signature>`, if one of the secrets has signed it: HMAC-SHA256 in Base64 without
 * padding, as the package cookie-signature makes it.
 */
export function unsigned(value: string, secrets: readonly (string | Uint8Array)[]): string | undefined {
  const at = value.lastIndexOf(".");
  if (at <= 0) return undefined;
  const text = value.slice(0, at);
  const signature = value.slice(at + 1);
  const isSigned = secrets.some((secret) =>
    areEqual(hmac("sha256", secret, text).toString("base64").replace(/=+$/, ""), signature),
  );
  return isSigned ? text : undefined;
}

/** Checks signatures as the package Keygrip does. An instance of it fits. */
export interface Keygrip {
  verify(data: string, digest: string): boolean;
}

/** A Keygrip with its defaults: HMAC-SHA1 in base64url. */
export function keygrip(keys: readonly (string | Uint8Array)[]): Keygrip {
  return {
    verify: (data, digest) => keys.some((key) => areEqual(hmac("sha1", key, data).toString("base64url"), digest)),
  };
}

/** The values of a cookie that Keygrip has signed: the cookie `<name>.sig` has the signature. */
export function signedByKeygrip(
  valuesOf: (name: string) => readonly string[],
  name: string,
  keys: Keygrip,
): readonly string[] {
  // Each pair costs an HMAC for each key.
  const few = (values: readonly string[]) => values.slice(0, MAX_PAIRED);
  const signatures = few(valuesOf(`${name}.sig`)).filter((signature) => signature.length <= 128);
  return few(valuesOf(name)).filter(
    (value) => isCookieSized(value) && signatures.some((signature) => keys.verify(`${name}=${value}`, signature)),
  );
}
