import { AsyncLocalStorage } from "node:async_hooks";
import { inspect } from "node:util";
import { isResponse, streamBodyOf } from "../request/fetch-response.ts";
import { CURRENT } from "../request/session-handle.ts";
import type { DeclaredData, Session } from "../session.ts";

/** An emitter of Node.js, by the call that is used: programs for other runtimes have no types of Node.js. */
interface Emitter {
  emit(event: never, ...args: never[]): boolean;
}

/** The method by which a Readable of Node.js asks its program for more. */
const READ = "_read";

/** Knows the session of the current request, for the option `context` of an adapter. */
export interface SessionContext {
  /**
   * Calls a function, in which `session` is the given one, and in everything that it starts: for a socket or a job.
   *
   * @param check - for adapters: it is called before each use of `session`, and may throw.
   */
  run<Data extends object, Result>(session: Session<Data>, callback: () => Result, check?: () => void): Result;
  /** For adapters: the listeners of these objects are called within the request that they belong to. */
  bindEvents<Data extends object>(session: Session<Data>, ...emitters: Emitter[]): void;
  /**
   * For adapters: the program behind a response's body is run within the request that it belongs to.
   *
   * @param body - a Response, a ReadableStream, or a Readable of Node.js. Others have no program.
   */
  bindStream<Data extends object>(session: Session<Data>, body: unknown): void;
}

/**
 * Makes a context of its own: for data that are not those of `SessionData`, and for a program with several `createSessions`.
 *
 * @example
 * export const { context, session } = createContext<ShopData>();
 */
export function createContext<Data extends object = DeclaredData>(): {
  /** For the option `context` of an adapter. */
  context: SessionContext;
  /** The session of the current request. */
  session: Session<Data>;
} {
  const storage = new AsyncLocalStorage<object>();
  /** Where an emitter or a stream has the session whose events it emits. */
  const bound = Symbol("sojourn.context");
  /** Where it has the method that ours stands for. */
  const unbound = Symbol("sojourn.emit");

  type BoundEmitter = Emitter & { [bound]?: object; [unbound]?: Emitter["emit"] };

  /**
   * Node.js calls listeners where the connection's data come in, which is outside of the request. One method serves all
   * emitters: with a method of its own in each, V8 keeps most requests until the next major garbage collection.
   */
  function emitWithin(this: BoundEmitter, ...args: Parameters<Emitter["emit"]>): boolean {
    const own = this[bound]!;
    const emit = this[unbound]!;
    // Most events are emitted within the request, and asking is cheaper than entering it again.
    return storage.getStore() === own ? emit.apply(this, args) : storage.run(own, () => emit.apply(this, args));
  }

  const context: SessionContext = {
    run: (session, callback, check) => storage.run(check ? checkedSession(session, check) : session, callback),

    bindEvents(session, ...emitters) {
      for (const emitter of emitters as BoundEmitter[]) {
        if (emitter[bound] === undefined) {
          emitter[unbound] = emitter.emit;
          emitter.emit = emitWithin;
        }
        emitter[bound] = session;
      }
    },

    bindStream(session, body) {
      const stream = isResponse(body) ? streamBodyOf(body) : body;
      const readable = stream as { [READ]?: (size: number) => void } | null | undefined;
      const more = readable?.[READ]?.bind(readable);
      if (more) readable![READ] = (size) => storage.run(session, () => more(size));
      if (!(stream instanceof ReadableStream)) return;
      // A method of the instance, so that the body is handed over as it is.
      Object.defineProperty(stream, "getReader", {
        configurable: true,
        value(...args: []) {
          const reader = ReadableStream.prototype.getReader.apply(stream, args) as ReadableStreamDefaultReader;
          const read = reader.read.bind(reader);
          return Object.assign(reader, { read: (...given: []) => storage.run(session, () => read(...given)) });
        },
      });
    },
  };
  return { context, session: createProxy(() => storage.getStore()) as Session<Data> };
}

const common = createContext();

/** For the option `context` of an adapter: `sessionMiddleware(sessions, { context })`. */
export const { context } = common;

/**
 * The session of the current request, anywhere below the handler.
 *
 * @example
 * import { session } from "sojourn/context";
 * export const cart = () => (session.data.cart ??= { items: [] });
 *
 * @throws TypeError at any use outside of a request.
 */
export const session: Session = common.session;

/** Stands for a session that may not be used everywhere in its request. */
function checkedSession(own: object, check: () => void): object {
  return new Proxy(own, {
    get(_target, property) {
      check();
      if (property === CURRENT) return own;
      const value: unknown = Reflect.get(own, property);
      return typeof value === "function" ? (Object.freeze(value.bind(own)) as unknown) : value;
    },
    set(_target, property, value) {
      check();
      return Reflect.set(own, property, value);
    },
  });
}

/** Stands for the session of whichever request uses it. Nothing is kept in it, since all requests share it. */
function createProxy(find: () => object | undefined): object {
  const current = (): object => {
    const found = find();
    if (found) return found;
    throw new TypeError(
      'session of "sojourn/context" was used outside of a request: give the adapter the option { context }, as in sessionMiddleware(sessions, { context }), and use the session below its handler; elsewhere, context.run(session, callback)',
    );
  };
  const target = {
    [inspect.custom](_depth: number, options: object) {
      const found = find();
      return found ? inspect(found, options) : "Session (outside of a request)";
    },
  };
  return new Proxy(target, {
    get(_target, property) {
      if (property === CURRENT) {
        const found: { [CURRENT]?: object } | undefined = find();
        return found?.[CURRENT] ?? found;
      }
      const found = current();
      const value: unknown = Reflect.get(found, property);
      // Nobody may keep anything in a function that is made for one call.
      return typeof value === "function" ? (Object.freeze(value.bind(found)) as unknown) : value;
    },
    set: (_target, property, value) => Reflect.set(current(), property, value),
    has: (_target, property) => Reflect.has(current(), property),
    defineProperty: (_target, property, descriptor) => Reflect.defineProperty(current(), property, descriptor),
    deleteProperty: (_target, property) => Reflect.deleteProperty(current(), property),
    getPrototypeOf: () => Reflect.getPrototypeOf(current()),
    // A session shows no keys of its own, and a copy that is empty for want of a request would hide the mistake.
    setPrototypeOf: () => (current(), false),
    isExtensible: () => (current(), true),
    preventExtensions: () => (current(), false),
    ownKeys: () => (current(), []),
    getOwnPropertyDescriptor: () => (current(), undefined),
  });
}
