/** Who signs in, and what was said of this sign-in. */
export interface SignIn {
  readonly userId: string;
  /** The id that the session will have; another one after an attempt that failed. */
  id: string;
  /** The keys of what was there before that come along; all, where it is not given. */
  readonly keep?: readonly string[] | undefined;
  readonly note?: string | undefined;
  /** In milliseconds, where they are not those of the options. */
  readonly idle?: number | undefined;
  readonly absolute?: number | undefined;
}

/** What a handler asked for besides changing data. Each is an object of its own, so that what was done of it is known. */
export interface Requested {
  readonly signIn?: SignIn;
  readonly rotate?: object;
  readonly signOut?: object;
}

export const NOTHING_REQUESTED: Requested = {};

export function without(requested: Requested, done: Requested): Requested {
  const left = Object.entries(requested).filter(([name, wish]) => done[name as keyof Requested] !== wish);
  return left.length > 0 ? Object.fromEntries(left) : NOTHING_REQUESTED;
}
