/**
 * Makes the prototype of a handle that every request has one of safe to share: nothing that one request writes can be
 * read by another. Who writes is told, with the remedy, in sloppy mode too, where writing to a frozen object is silent.
 *
 * connect-flash and express-flash write `session.flash = session.flash || {}` and then keep messages in it: in what used
 * to be the method that all sessions have.
 */
export function protect(prototype: object): void {
  Reflect.deleteProperty(prototype, "constructor");
  for (const name of Reflect.ownKeys(prototype)) {
    const descriptor = Object.getOwnPropertyDescriptor(prototype, name)!;
    Object.defineProperty(prototype, name, protectMember(String(name), descriptor));
  }
  // Whatever name is not on the prototype is looked for here, when it is read and when it is written.
  Object.setPrototypeOf(prototype, refuseWrites(Object.prototype, throwNotStored));
  Object.freeze(prototype);
}

function protectMember(name: string, { value, get, set }: PropertyDescriptor): PropertyDescriptor {
  const refuse = () => {
    throw new TypeError(NOT_REPLACED[name] ?? `session.${name} can't be set; data belong into session.data`);
  };
  if (typeof value !== "function") return { get: get!, set: set ?? refuse, enumerable: false, configurable: false };
  const method = protectMethod(name, value as () => unknown);
  return { get: () => method, set: refuse, enumerable: false, configurable: false };
}

const NOT_REPLACED: Readonly<Record<string, string>> = {
  data: "session.data can be changed and not replaced: set its keys one by one, or Object.assign(session.data, …)",
  flash: 'session.flash is a method: session.flash("info", "Saved.") keeps a message, session.takeFlashes() shows it',
};

/** A function has properties of its own, which every request would share. */
function protectMethod(name: string, method: () => unknown): () => unknown {
  const refuse = () => throwNotOnMethod(name);
  for (const own of Reflect.ownKeys(method)) {
    const value: unknown = Reflect.get(method, own);
    Object.defineProperty(method, own, { get: () => value, set: refuse, configurable: false });
  }
  return Object.freeze(Object.setPrototypeOf(method, refuseWrites(Function.prototype, refuse)) as () => unknown);
}

function refuseWrites(parent: object, refuse: (name: string | symbol) => never): object {
  return new Proxy(Object.freeze(Object.create(parent) as object), { set: (_target, name) => refuse(name) });
}

function throwNotStored(name: string | symbol): never {
  throw new TypeError(
    `session.${String(name)} would be lost with this request, since only session.data is kept: set session.data.${String(name)}`,
  );
}

function throwNotOnMethod(name: string): never {
  throw new TypeError(
    `session.${name} is a method, and nothing can be kept in it; data belong into session.data${name === "flash" ? ", messages into session.flash(category, message)" : ""}`,
  );
}
