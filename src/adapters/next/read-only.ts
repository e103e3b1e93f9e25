import { CURRENT } from "../../request/session-handle.ts";
import type { DeclaredData, Session } from "../../session.ts";

/** Data that can be read, and not changed. */
export type ReadonlyData<Value> = Value extends
  | string
  | number
  | boolean
  | bigint
  | Date
  | URL
  | Uint8Array
  | null
  | undefined
  ? Value
  : Value extends ReadonlyMap<infer Key, infer Item>
    ? ReadonlyMap<Key, ReadonlyData<Item>>
    : Value extends ReadonlySet<infer Item>
      ? ReadonlySet<ReadonlyData<Item>>
      : Value extends object
        ? { readonly [Key in keyof Value]: ReadonlyData<Value[Key]> }
        : Value;

/** The session that a server component is given. A {@link Session} can be passed where one is taken. */
export interface ReadonlySession<Data extends object = DeclaredData> extends Pick<
  Session<Data>,
  "id" | "isNew" | "userId" | "createdAt" | "signedInAt" | "expiresAt" | "signedInWithin" | "signal" | "toJSON"
> {
  /** The session's data. A change throws a TypeError. */
  readonly data: ReadonlyData<Partial<Data>>;
}

/** The members of a session that change it. */
const CHANGES: ReadonlySet<string | symbol> = new Set<keyof Session>([
  "pop",
  "update",
  "flash",
  "takeFlashes",
  "clear",
  "signIn",
  "signOut",
  "rotate",
  "save",
  "reload",
]);

/**
 * A session that shows what the given one has, and refuses changes.
 *
 * @param beforeSignal - is called before `signal` is given.
 */
export function readOnlySession<Data extends object>(
  session: Session<Data>,
  beforeSignal: () => void,
): ReadonlySession<Data> {
  let data: unknown;
  const view: object = new Proxy(session, {
    get(_target, property) {
      // csrf.token(session) makes the token of a form, for example.
      if (property === CURRENT) return session;
      if (property === "data") return (data ??= readOnlyData({ ...session.toJSON() }));
      if (property === "load") return () => Promise.resolve(view);
      if (CHANGES.has(property)) return () => refuse(`session.${String(property)}()`);
      if (property === "signal") beforeSignal();
      const value: unknown = Reflect.get(session, property);
      return typeof value === "function" ? (Object.freeze(value.bind(session)) as unknown) : value;
    },
    ...refusing("session"),
  });
  return view as ReadonlySession<Data>;
}

/**
 * Makes a deep copy read-only. Plain objects and arrays refuse by a Proxy; others have methods and setters that refuse. Nothing
 * can refuse for the bytes of a Uint8Array.
 */
function readOnlyData(value: unknown): unknown {
  if (typeof value !== "object" || value === null) return value;
  if (value instanceof Map) {
    const entries = Array.from(value, ([key, item]) => [readOnlyData(key), readOnlyData(item)]);
    value.clear();
    for (const [key, item] of entries) value.set(key, item);
  }
  if (value instanceof Set) {
    const items = Array.from(value, readOnlyData);
    value.clear();
    for (const item of items) value.add(item);
  }
  if (Array.isArray(value) || isPlain(value)) {
    for (const [key, item] of Object.entries(value)) Object.defineProperty(value, key, { value: readOnlyData(item) });
    return new Proxy(value, refusing("session.data"));
  }
  const prototype = Object.getPrototypeOf(value) as object;
  for (const [name, { get, set }] of Object.entries(Object.getOwnPropertyDescriptors(prototype))) {
    // Those of a URL.
    if (name === "searchParams") Object.defineProperty(value, name, { value: readOnlyData(get!.call(value)) });
    else if (get && set) Object.defineProperty(value, name, { get: get.bind(value), set: refuseData });
    else if (/^(?:set|add|append|delete|clear|sort)/.test(name)) {
      Object.defineProperty(value, name, { value: refuseData, enumerable: false });
    }
  }
  return value;
}

function isPlain(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}

function refusing(what: string): ProxyHandler<object> {
  const refuseProperty = (_target: object, property: string | symbol) => refuse(`${what}.${String(property)}`);
  return {
    set: refuseProperty,
    deleteProperty: refuseProperty,
    defineProperty: refuseProperty,
    setPrototypeOf: () => refuse(what),
    preventExtensions: () => refuse(what),
  };
}

function refuseData(): never {
  return refuse("session.data");
}

function refuse(what: string): never {
  throw new TypeError(
    `${what} can't be changed while Next.js renders a component, since no cookie can be set then: change the session in a ` +
      "server action, action(async (session) => …), or in a route handler, route(async (request, session) => …). " +
      "takeFlashes() of nextSessions shows messages",
  );
}
