import type { FastifyPluginCallback, FastifyReply, FastifyRequest } from "fastify";
import type { Session } from "../session.ts";
import type { ResponseHead, Sessions } from "../sessions.ts";
import { begin, checkAdapterOptions, tellsOfResponse, type AdapterOptions } from "./adapter.ts";

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
  checkAdapterOptions(options);
  const plugin: FastifyPluginCallback = (app, _options, done) => {
    if (app.hasRequestDecorator("session")) {
      done(new TypeError("request.session is taken already; register one session plugin on an instance"));
      return;
    }
    app.decorateRequest("session", {
      getter(this: FastifyRequest) {
        return sessions.of(this) as unknown as Session;
      },
    });
    app.addHook("onRequest", (request, reply, next) => {
      const session = sessions.of(request);
      sessions.finishesWith(session, reply.raw);
      const reading = begin(session, options, request);
      if (!reading) return next();
      reading.then(() => next(), next);
    });
    app.addHook("onSend", (request, reply, payload, next) => {
      const stored = sessions.conclude(sessions.of(request), headOf(reply));
      if (!stored) return next(null, payload);
      stored.then(
        () => next(null, payload),
        (error: Error) => {
          for (const name of Object.keys(reply.getHeaders())) if (tellsOfResponse(name)) reply.removeHeader(name);
          next(error);
        },
      );
    });
    done();
  };
  // What fastify-plugin does: the hooks belong to the instance that registers, not to a child of it.
  return Object.assign(plugin, {
    [Symbol.for("skip-override")]: true,
    [Symbol.for("fastify.display-name")]: "sojourn",
    [Symbol.for("plugin-meta")]: { name: "sojourn", fastify: "5.x" },
  });
}

function headOf(reply: FastifyReply): ResponseHead {
  return {
    get: (name) => reply.getHeader(name)?.toString(),
    set: (name, value) => void reply.header(name, value),
    // Fastify itself keeps several Set-Cookie headers apart.
    append: (name, value) => void reply.header(name, value),
  };
}
