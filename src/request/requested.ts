/** Who signs in, and what was said of this sign-in. */
export interface SignIn {
  readonly owner: string;
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
export interface Wishes {
  readonly signIn?: SignIn;
  readonly rotate?: object;
  readonly signOut?: object;
}

export const NO_WISHES: Wishes = {};

export function without(wishes: Wishes, done: Wishes): Wishes {
  const left = Object.entries(wishes).filter(([name, wish]) => done[name as keyof Wishes] !== wish);
  return left.length > 0 ? Object.fromEntries(left) : NO_WISHES;
}
