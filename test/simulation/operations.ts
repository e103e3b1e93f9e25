import type { Session } from "sojourn";

type Data = Record<string, unknown>;

/**
 * A way to write to a session, so that each single write can be found again: it leaves its mark, a string that no other
 * write has.
 */
export interface Write {
  write(session: Session<Data>, mark: string): void;
  /** How often the mark is in the data. */
  count(data: Data, mark: string): number;
  /** The key of data that holds it. */
  key(mark: string): string;
  /** A later write may take its place, so that it need not be there. */
  readonly isReplaceable?: boolean;
  /** An in-place change: only with merging at any depth is it promised to be kept. */
  readonly isInPlace?: boolean;
}

const list = (value: unknown): unknown[] => (Array.isArray(value) ? value : []);
const occurrences = (values: Iterable<unknown>, mark: string): number =>
  [...values].filter((one) => one === mark).length;

/** To add a kind of write, add it here: scripts use it, and all invariants hold for it. */
export const WRITES: Readonly<Record<string, Write>> = {
  "set a key": {
    write: (session, mark) => void (session.data[`own ${mark}`] = mark),
    count: (data, mark) => Number(data[`own ${mark}`] === mark),
    key: (mark) => `own ${mark}`,
  },
  "update a list": {
    write: (session, mark) => void session.update("log", (log) => [...list(log), mark]),
    count: (data, mark) => occurrences(list(data["log"]), mark),
    key: () => "log",
  },
  "set a shared key": {
    write: (session, mark) => void (session.data["shared"] = mark),
    count: (data, mark) => Number(data["shared"] === mark),
    key: () => "shared",
    isReplaceable: true,
  },
  "push to an array": {
    write: (session, mark) => {
      const cart = (session.data["cart"] ??= { items: [] }) as { items: string[] };
      cart.items.push(mark);
    },
    count: (data, mark) => occurrences(list((data["cart"] as { items?: unknown } | undefined)?.items), mark),
    key: () => "cart",
    isInPlace: true,
  },
  "set a nested property": {
    write: (session, mark) => {
      const profile = (session.data["profile"] ??= { address: {} }) as { address: Record<string, string> };
      profile.address[mark] = mark;
    },
    count: (data, mark) => Number((data["profile"] as { address?: Data } | undefined)?.address?.[mark] === mark),
    key: () => "profile",
    isInPlace: true,
  },
  "set a key of a Map": {
    write: (session, mark) => void ((session.data["map"] ??= new Map()) as Map<string, string>).set(mark, mark),
    count: (data, mark) => Number((data["map"] as Map<string, string> | undefined)?.get(mark) === mark),
    key: () => "map",
    isInPlace: true,
  },
  "add to a Set": {
    write: (session, mark) => void ((session.data["members"] ??= new Set()) as Set<string>).add(mark),
    count: (data, mark) => Number((data["members"] as Set<string> | undefined)?.has(mark) === true),
    key: () => "members",
    isInPlace: true,
  },
};

/** The keys that a sign-in may name in `keep`. */
export const KEEPS: readonly (readonly string[] | undefined)[] = [undefined, [], ["log", "cart"]];
