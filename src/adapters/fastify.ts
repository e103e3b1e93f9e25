import type { FastifyInstance, FastifyPluginCallback, FastifyReply, FastifyRequest } from "fastify";
import type { ResponseHeaders } from "../request/cache-headers.ts";
import { refuseUsed } from "../request/fetch-response.ts";
import type { Session } from "../session.ts";
import type { Sessions } from "../sessions.ts";
import { claimResponse, resolveAdapterOptions, isBoundToResponse, type AdapterOptions } from "./adapter.ts";
import { abortOnDestroy } from "./node-response/abort.ts";

declare module "fastify" {
  interface FastifyRequest {
    /** The session; `sessions.of(request)` is the same one, typed by its data. */
    readonly session: Session;
  }
}

/**
 * A plugin for Fastify 5: `app.register(sojourn(sessions))`, and `request.session` is the session in every route of the
 * instance that it was registered on. It is stored in the `onSend` hook, before the head leaves; what could not be read
 * or stored goes to the error handler. A reply that was hijacked has no `onSend`: call `session.save()` there.
 */
export function sojourn<Data extends object>(
  sessions: Sessions<Data>,
  options: AdapterOptions<FastifyRequest> = {},
): FastifyPluginCallback {
  const prepare = resolveAdapterOptions(options);
  const plugin: FastifyPluginCallback = (app, _options, done) => {
    // An instance has what those around it have.
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
  // What fastify-plugin does: the hooks belong to the instance that registers, not to a child of it.
  return Object.assign(plugin, {
    [Symbol.for("skip-override")]: true,
    [Symbol.for("fastify.display-name")]: "sojourn",
    [Symbol.for("plugin-meta")]: { name: "sojourn", fastify: "5.x" },
  });
}

/** The sessions that an instance's requests have. */
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

/** As Fastify does it after all hooks, which would put the application's Cache-Control and Vary over ours. */
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
      // Older versions add to the list that they find, which the application may keep for every response.
      const others = reply.getHeader(name);
      reply.removeHeader(name);
      void reply.header(name, others === undefined ? value : [others, value].flat().map(String));
    },
  };
}
