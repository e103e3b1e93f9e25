import type { FastifyInstance, FastifyPluginCallback, FastifyReply, FastifyRequest } from "fastify";
import type { ResponseHeaders } from "../request/cache-headers.ts";
import { refuseUsed } from "../request/fetch-response.ts";
import type { Session } from "../session.ts";
import type { Sessions } from "../sessions.ts";
import { claimResponse, resolveAdapterOptions, isBoundToResponse, type AdapterOptions } from "./adapter.ts";
import { abortOnDestroy } from "./node-response/abort.ts";

declare module "fastify" {
  interface FastifyRequest {
    /** The session. `sessions.of(request)` returns the same one, typed by its data. */
    readonly session: Session;
  }
}

/**
 * Creates a plugin for Fastify 5. It adds `request.session` to every route of the instance on which it is registered.
 *
 * The session is read in the `onRequest` hook, and stored in the `onSend` hook, before the headers are sent. An error
 * goes to the error handler: `ERR_SESSION_STORE` if the session could not be read or stored. A hijacked reply has no
 * `onSend` hook: call `session.save()` there.
 *
 * @example
 * app.register(sojourn(sessions));
 * app.get("/", (request) => ({ visits: request.session.data.visits }));
 *
 * @throws {TypeError} for an unknown option.
 */
export function sojourn<Data extends object>(
  sessions: Sessions<Data>,
  options: AdapterOptions<FastifyRequest> = {},
): FastifyPluginCallback {
  const prepare = resolveAdapterOptions(options);
  const plugin: FastifyPluginCallback = (app, _options, done) => {
    // A child instance inherits the property of its parent.
    const instance = app as { [REGISTERED]?: unknown };
    const isOutermost = instance[REGISTERED] === undefined;
    if (isOutermost ? app.hasRequestDecorator("session") : instance[REGISTERED] !== sessions) {
      done(new TypeError("request.session is taken already; register the plugin of one createSessions on an instance"));
      return;
    }
    instance[REGISTERED] = sessions;
    app.addHook("onRequest", (request, reply, next) => {
      const session = sessions.of(request);
      if (claimResponse(session)) sessions.finishesWith(session, reply.raw);
      const reading = prepare(session, request);
      if (!reading) return next();
      reading.then(() => next(), next);
    });
    if (isOutermost) decorate(app, sessions);
    done();
  };
  // As fastify-plugin does it: the hooks belong to the instance that registers the plugin, not to a child of it.
  return Object.assign(plugin, {
    [Symbol.for("skip-override")]: true,
    [Symbol.for("fastify.display-name")]: "sojourn",
    [Symbol.for("plugin-meta")]: { name: "sojourn", fastify: "5.x" },
  });
}

/** Where an instance keeps the `Sessions` of its requests. */
const REGISTERED = Symbol("sojourn.registered");

function decorate<Data extends object>(app: FastifyInstance, sessions: Sessions<Data>): void {
  app.decorateRequest("session", {
    getter(this: FastifyRequest) {
      return sessions.of(this) as unknown as Session;
    },
    setter() {
      throw new TypeError("request.session can't be replaced; data belong into request.session.data");
    },
  });
  app.addHook("onSend", (request, reply, payload, next) => {
    abortOnDestroy(reply.raw);
    let body = payload;
    try {
      if (isResponse(payload)) body = unpackResponse(reply, payload);
    } catch (error) {
      return next(error as Error);
    }
    const storing = sessions.conclude(sessions.of(request), headersOf(reply));
    if (!storing) return next(null, body);
    storing.then(
      () => next(null, body),
      (error: Error) => {
        for (const name of Object.keys(reply.getHeaders())) if (isBoundToResponse(name)) reply.removeHeader(name);
        next(error);
      },
    );
  });
}

function isResponse(payload: unknown): payload is Response {
  return Object.prototype.toString.call(payload) === "[object Response]";
}

/** Unpacks a Response before Fastify does: after all hooks, it would overwrite our Cache-Control and Vary. */
function unpackResponse(reply: FastifyReply, response: Response): unknown {
  refuseUsed(response);
  void reply.code(response.status);
  for (const [name, value] of response.headers) void reply.header(name, value);
  return response.body;
}

function headersOf(reply: FastifyReply): ResponseHeaders {
  return {
    get: (name) => reply.getHeader(name)?.toString(),
    keys: () => Object.keys(reply.getHeaders()),
    set: (name, value) => void reply.header(name, value),
    append: (name, value) => {
      // Older versions append to the array that they find, which the application may share between responses.
      const others = reply.getHeader(name);
      reply.removeHeader(name);
      void reply.header(name, others === undefined ? value : [others, value].flat().map(String));
    },
  };
}
