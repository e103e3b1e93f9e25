import { printable } from "../printable.ts";

type Method = (this: unknown, ...args: unknown[]) => unknown;
/** @param handle - what is read: a handle, or what inherits from one. */
type UnknownRead = (handle: unknown, name: string) => void;

/**
 * Makes the prototype of a handle, which all requests share, safe: nothing that one request writes can be read by another.
 * A write throws an error with the remedy, also in sloppy mode, where writing to a frozen object is silent.
 *
 * connect-flash and express-flash write `session.flash = session.flash || {}` and then keep messages in it. That would be
 * the method that all sessions have.
 *
 * @param isHandle - recognises a handle, for methods that were taken off theirs.
 * @returns a function that begins to tell of reads of names that no handle has.
 */
export function protectPrototype(
  prototype: object,
  isHandle: (value: unknown) => boolean,
): (onUnknownRead: UnknownRead) => void {
  Reflect.deleteProperty(prototype, "constructor");
  for (const name of Reflect.ownKeys(prototype)) {
    const descriptor = Object.getOwnPropertyDescriptor(prototype, name)!;
    Object.defineProperty(prototype, name, protectMember(String(name), descriptor, isHandle));
  }
  addForeignMembers(prototype);
  // Any other name is looked up here, when it is read and when it is written.
  const traps = writeTraps(throwNotStored);
  Object.setPrototypeOf(prototype, new Proxy(emptyBelow(Object.prototype), traps));
  Object.freeze(prototype);
  // Not from the beginning: each `await` of a session reads `then`, and with this trap that takes a tenth of a microsecond.
  return (onUnknownRead) => {
    traps.get = (target, name, handle) => {
      if (typeof name === "string" && name !== "then" && !(name in target)) onUnknownRead(handle, name);
      return Reflect.get(target, name, handle);
    };
  };
}

function protectMember(
  name: string,
  { value, get, set }: PropertyDescriptor,
  isHandle: (value: unknown) => boolean,
): PropertyDescriptor {
  const refuse = () => {
    throw new TypeError(NOT_REPLACED[name] ?? `session.${name} can't be set; put data into session.data`);
  };
  if (typeof value !== "function") return { get: get!, set: set ?? refuse, enumerable: false, configurable: false };
  const method = protectMethod(name, requireHandle(name, value as Method, isHandle));
  return { get: () => method, set: refuse, enumerable: false, configurable: false };
}

/** The method, with an error that names the remedy where it was taken off its session: `const { flash } = session`. */
function requireHandle(name: string, method: Method, isHandle: (value: unknown) => boolean): Method {
  // The shorthand has no `prototype`, which could not be protected.
  const { checked } = {
    checked(this: unknown, ...args: unknown[]): unknown {
      if (isHandle(this)) return method.apply(this, args);
      throw new TypeError(
        `session.${name} was called without its session: write session.${name}(…), and do not destructure the session`,
      );
    },
  };
  for (const own of ["name", "length"] as const) Object.defineProperty(checked, own, { value: method[own] });
  return checked;
}

const NOT_REPLACED: Readonly<Record<string, string>> = {
  data: "session.data can be changed and not replaced: set its keys one by one, or session.clear() and Object.assign(session.data, …)",
  flash: 'session.flash is a method: session.flash("info", "Saved.") keeps a message, session.takeFlashes() shows it',
  userId: "session.userId can't be set: session.signIn(userId) signs in. Other put data into session.data",
  id: "session.id can't be set: session.signIn(userId) gives the session a new one. Put data into session.data",
};

/** Members of other libraries' sessions, and what to write here. */
const FOREIGN: Readonly<Record<string, string>> = {
  regenerate: "session.signIn(userId) gives the session a new id and token, session.rotate() a new token",
  destroy: "session.signOut() ends the session",
  touch: "a session is extended by being read; see idleTimeout",
  resetMaxAge: "a session is extended by being read; see idleTimeout",
  cookie: "see the option cookie of createSessions, and session.signIn(userId, { remember }) for one client's cookie",
  options: "see the options of createSessions",
  sessionID: "session.id is the public id",
  sessionId: "session.id is the public id",
  encryptedSessionId: "the token is only in the cookie; session.id is the public id",
  get: "session.data.key reads a key",
  set: "session.data.key = value sets a key",
  unset: "delete session.data.key removes a key, session.pop(key) takes it",
  delete: "delete session.data.key removes a key, session.signOut() ends the session",
  deleteSession: "session.signOut() ends the session",
};

/** Adds members that say what to write instead, when they are called, read deeper, or set. */
function addForeignMembers(prototype: object): void {
  for (const [name, remedy] of Object.entries(FOREIGN)) {
    const refuse = () => {
      throw new TypeError(`session.${name} is of another library: ${remedy}. Put data into session.data`);
    };
    const isMethod = !["cookie", "options"].includes(name) && !name.toLowerCase().endsWith("sessionid");
    const method = isMethod ? protectMethod(name, () => refuse()) : undefined;
    const get = method ? () => method : refuse;
    Object.defineProperty(prototype, name, { get, set: refuse, enumerable: false, configurable: false });
  }
}

/** A function has properties of its own, which every request would share. */
function protectMethod(name: string, method: Method): Method {
  const refuse = () => throwNotOnMethod(name);
  for (const own of Reflect.ownKeys(method)) {
    const value: unknown = Reflect.get(method, own);
    Object.defineProperty(method, own, { get: () => value, set: refuse, configurable: false });
  }
  return Object.freeze(
    Object.setPrototypeOf(method, new Proxy(emptyBelow(Function.prototype), writeTraps(refuse))) as Method,
  );
}

const emptyBelow = (parent: object): object => Object.freeze(Object.create(parent) as object);

const writeTraps = (refuse: (name: string | symbol) => never): ProxyHandler<object> => ({
  set: (_target, name) => refuse(name),
});

function throwNotStored(name: string | symbol): never {
  const shown = printable(name);
  throw new TypeError(
    `session.${shown} would be lost with this request, since only session.data is kept: set session.data.${shown}`,
  );
}

function throwNotOnMethod(name: string): never {
  throw new TypeError(
    `session.${name} is a method, and nothing can be kept in it; put data into session.data${name === "flash" ? ", messages into session.flash(category, message)" : ""}`,
  );
}
