import type { FastifyInstance, FastifyPluginCallback, FastifyReply, FastifyRequest } from "fastify";
import type { Session } from "../session.ts";
import type { Sessions } from "../sessions.ts";
import {
  ADAPTER_OPTIONS,
  checkUnread,
  claimResponse,
  concludeSession,
  createRecentSignInGuard,
  createUserGuard,
  describesResponse,
  expectFramework,
  isResponse,
  logSessionError,
  reportBypass,
  resolveAdapterOptions,
  sessionFactory,
  type AdapterOptions,
  type Guard,
  type GuardOptions,
  type RecentSignInOptions,
  type ResponseHeaders,
} from "./adapter.ts";
import type { SessionContext } from "./context.ts";
import {
  finishBeforeEnd,
  isWatchingDirectWrites,
  respondWithError,
  storeBeforeHeaders,
  watchDirectWrites,
} from "./node-response/entry.ts";
import { HeldStream } from "./fastify-held-stream.ts";
import { awaitableReply, HeldReply, isHeldReply } from "./fastify-held-reply.ts";
import { unreadOption, type RegisterOptions } from "./fastify-register.ts";

export { returnTo, type GuardOptions, type RecentSignInOptions, type ReturnOptions } from "./adapter.ts";

declare module "fastify" {
  interface FastifyRequest {
    /** The session. `sessions.of(request)` returns the same one, typed by its data. */
    readonly session: Session;
  }
}

/**
 * A plugin for Fastify 5. `request.session` is the session in every route of the instance that it was registered on. It is
 * stored in the `onSend` hook, before the headers leave. Errors of reading and storing go to the error handler. Of a hijacked
 * reply it is stored before `reply.raw` sends its headers, and an error is answered as in `sojourn/node`.
 *
 * @example
 * app.register(sessionPlugin(sessions));
 * app.get("/", async (request) => `Hello ${request.session.data.username ?? "stranger"}`);
 *
 * @throws TypeError for anything but what `createSessions` made, and in another framework.
 */
export function sessionPlugin<Data extends object>(
  sessions: Sessions<Data>,
  options: AdapterOptions<FastifyRequest> = {},
): FastifyPluginCallback {
  const beginSession = sessionFactory(sessions, "sessionPlugin");
  const prepare = resolveAdapterOptions<FastifyRequest, AdapterOptions<FastifyRequest>>(
    "sessionPlugin",
    options,
    ADAPTER_OPTIONS,
  );
  const { context } = options;

  function proceed(session: Session<Data>, request: FastifyRequest, raw: RawReply, next: () => void): void {
    if (!context) return next();
    context.bindEvents(session, request.raw, raw);
    context.run(session, next);
  }

  const plugin: FastifyPluginCallback<RegisterOptions> = (app, registered, done) => {
    expectFramework("fastify", "sessionPlugin", app);
    const unread = unreadOption(registered);
    if (unread) return done(unread);
    const { addOnRequest = (hook) => void app.addHook("onRequest", hook), isLogging = isWithLogger(app) } = registered;
    // An instance has the properties of those around it.
    const instance = app as { [REGISTERED]?: unknown };
    const isOutermost = instance[REGISTERED] === undefined;
    if (isOutermost ? app.hasRequestDecorator("session") : instance[REGISTERED] !== sessions) {
      done(new TypeError("request.session is taken already; register the plugin of one createSessions on an instance"));
      return;
    }
    instance[REGISTERED] = sessions;
    addOnRequest((request, reply, next) => {
      const session = beginSession(request);
      const { raw } = reply;
      if (claimResponse(session, raw)) watchDirectWrites(session, raw, () => storeWithoutHook(session, request, raw));
      const reading = prepare(session, request);
      if (!reading) return proceed(session, request, raw, next);
      reading.then(
        () => proceed(session, request, raw, next),
        (error: Error) => {
          if (!isLogging) logSessionError(error);
          next(error);
        },
      );
    });
    if (context) bindBodies(app, context, beginSession);
    if (isOutermost) decorate(app, beginSession, isLogging);
    done();
  };
  // As fastify-plugin does it: the hooks belong to the instance that registers, not to a child of it.
  return Object.assign(plugin, {
    [Symbol.for("skip-override")]: true,
    [Symbol.for("fastify.display-name")]: "sojourn",
    [Symbol.for("plugin-meta")]: { name: "sojourn", fastify: "5.x" },
  });
}

/** The program behind a streamed body runs within its request. */
function bindBodies<Data extends object>(
  app: FastifyInstance,
  context: SessionContext,
  beginSession: (request: FastifyRequest) => Session<Data>,
): void {
  app.addHook("onSend", (request, _reply, payload, next) => {
    if (isResponse(payload) || payload instanceof ReadableStream) context.bindStream(beginSession(request), payload);
    next(null, payload);
  });
}

type RawReply = FastifyReply["raw"];

/** Where an instance keeps the `Sessions` of its requests. */
const REGISTERED = Symbol("sojourn.registered");

/**
 * Stores a session as one of node:http where no `onSend` hook of ours does it: of a hijacked reply, of one that the handler
 * writes to `reply.raw`, and where a later hook of the application uses the session.
 */
function storeWithoutHook<Data extends object>(session: Session<Data>, request: FastifyRequest, raw: RawReply): void {
  storeBeforeHeaders(session, raw, (error) => {
    if (isWithLogger(request.server)) request.log.error(error);
    else logSessionError(error);
    if (!raw.headersSent) removeDescription(raw);
    respondWithError(error, raw);
  });
}

/**
 * Stores the sessions of hijacked replies, and lets a handler await a reply that is held. One method serves all replies: with a
 * method on each reply, V8 keeps most of them until the next major garbage collection.
 */
function decorateReplies<Data extends object>(
  app: FastifyInstance,
  beginSession: (request: FastifyRequest) => Session<Data>,
): void {
  function hijack(this: FastifyReply): FastifyReply {
    const { request, raw } = this;
    const session = beginSession(request);
    // It has been sent: hijacked, it would have no response if its session can't be stored.
    if (isHeldReply(this)) return this;
    // Without it, somebody has hijacked the reply before our hook.
    if (isWatchingDirectWrites(session) && !raw.headersSent) storeWithoutHook(session, request, raw);
    return inherited(this, "hijack", hijack).call(this);
  }
  function then(this: FastifyReply, ...listeners: Parameters<FastifyReply["then"]>): void {
    inherited(this, "then", then).apply(awaitableReply(this), listeners);
  }
  app.decorateReply("hijack", hijack);
  app.decorateReply("then", then);
}

/** The method that ours stands for. Replies of a nested instance inherit ours through more than one prototype. */
function inherited<Name extends "hijack" | "then">(
  reply: FastifyReply,
  name: Name,
  ours: FastifyReply[Name],
): FastifyReply[Name] {
  let prototype = Object.getPrototypeOf(reply) as FastifyReply;
  while (prototype[name] === ours) prototype = Object.getPrototypeOf(prototype) as FastifyReply;
  return prototype[name];
}

/** Headers that were set on the response before it was held belong to what could not be given. */
function removeDescription(raw: RawReply): void {
  for (const name of raw.getHeaderNames()) {
    if (describesResponse(name) && name !== "set-cookie") raw.removeHeader(name);
  }
}

function decorate<Data extends object>(
  app: FastifyInstance,
  beginSession: (request: FastifyRequest) => Session<Data>,
  isLogging: boolean,
): void {
  app.decorateRequest("session", {
    getter(this: FastifyRequest) {
      return beginSession(this) as unknown as Session;
    },
    setter() {
      throw new TypeError(
        "request.session can't be replaced; put data into request.session.data, or end it by request.session.signOut()",
      );
    },
  });
  decorateReplies(app, beginSession);
  app.addHook("onResponse", (request, reply, next) => {
    if (reply.raw.writableEnded)
      reportBypass(beginSession(request), "by a handler that answers past reply.raw's own methods");
    next();
  });
  app.addHook("onSend", (request, reply, payload, next) => {
    // It was sent while a hook before ours had the first payload. Fastify refuses it; only the first one is passed on.
    if (isHeldReply(reply)) return void reply.send(payload);
    let body = payload;
    try {
      // Of HEAD, Fastify measures the text that is left out.
      if (isResponse(payload)) body = unpackResponse(reply, payload) ?? (request.method === "HEAD" ? "" : null);
    } catch (error) {
      return next(error as Error);
    }
    const session = beginSession(request);
    if (isStream(body)) finishBeforeEnd(session, reply.raw, () => reply.getHeader("content-length"));
    const headers = new ReplyHeaders(reply);
    const stored = concludeSession(session, headers);
    if (!stored) return next(null, body);
    const held = headers.hold();
    const heldStream = isStream(body) ? new HeldStream(body) : undefined;
    stored.then(
      () => {
        held.release();
        if (heldStream?.error) return next(heldStream.error);
        // As Fastify does it for a hook with a promise: a client may have chosen a header that Node refuses now.
        try {
          next(null, body);
        } catch (error) {
          next(error as Error);
        }
      },
      (error: Error) => {
        held.release();
        heldStream?.discard();
        if (!isLogging) logSessionError(error);
        for (const name of Object.keys(reply.getHeaders())) if (describesResponse(name)) reply.removeHeader(name);
        next(error);
      },
    );
  });
}

/** A payload whose program runs on while it is sent. */
function isStream(payload: unknown): payload is object {
  return typeof payload === "object" && payload !== null && !(payload instanceof Uint8Array);
}

/** Fastify logs errors only where its option `logger` is set. */
function isWithLogger(app: FastifyInstance): boolean {
  return "level" in app.log;
}

/** Unpacks a Response before Fastify does: after all hooks, it would overwrite our Cache-Control and Vary. */
function unpackResponse(reply: FastifyReply, response: Response): unknown {
  checkUnread(response);
  void reply.code(response.status);
  for (const [name, value] of response.headers) void reply.header(name, value);
  return response.body;
}

/** A class, because every response creates one. */
class ReplyHeaders implements ResponseHeaders {
  readonly #given: FastifyReply;
  #held: HeldReply | undefined;

  constructor(reply: FastifyReply) {
    this.#given = reply;
  }

  /** Holds the reply until its session is stored. */
  hold(): HeldReply {
    return (this.#held = new HeldReply(this.#given));
  }

  get #reply(): FastifyReply {
    this.#held?.restore();
    return this.#given;
  }

  get(name: string): string | undefined {
    return this.#reply.getHeader(name)?.toString();
  }

  get status(): number {
    return this.#reply.statusCode;
  }

  keys(): string[] {
    return Object.keys(this.#reply.getHeaders());
  }

  set(name: string, value: string): void {
    void this.#reply.header(name, value);
  }

  append(name: string, value: string): void {
    // Older versions append to the array that they find, which the application may share between responses.
    const others = this.#reply.getHeader(name);
    if (others === undefined) return void this.#reply.header(name, value);
    this.#reply.removeHeader(name);
    void this.#reply.header(name, [others, value].flat().map(String));
  }
}

type PreHandler = (request: FastifyRequest, reply: FastifyReply) => Promise<unknown>;

/**
 * A hook for routes that need a signed-in user. Without one, the answer is 401 (`ERR_SESSION_SIGN_IN`, by the error handler),
 * or a redirect to `loginPage`.
 *
 * @example app.get("/account", { preHandler: requireUser({ loginPage: "/login" }) }, (request) => request.session.userId);
 */
export function requireUser(options: GuardOptions = {}): PreHandler {
  return guard("requireUser", createUserGuard("fastify", options));
}

/**
 * A hook for routes that need a sign-in that is no older than `within`. It does otherwise as {@link requireUser}.
 *
 * @example app.post("/pay", { preHandler: requireRecentSignIn({ within: "10m", loginPage: "/login" }) }, pay);
 */
export function requireRecentSignIn(options: RecentSignInOptions): PreHandler {
  return guard("requireRecentSignIn", createRecentSignInGuard("fastify", options));
}

function guard(name: string, decide: Guard): PreHandler {
  const check: PreHandler = async (request, reply) => {
    const location = await decide(request, request.session);
    return location === undefined ? undefined : reply.redirect(location, 303);
  };
  // At once: nobody would see the rejection of a promise that another framework does not expect.
  return (request, reply) => {
    expectFramework("fastify", name, request);
    return check(request, reply);
  };
}
