/// <reference types="node" preserve="true" />
import type { IncomingHttpHeaders, IncomingMessage } from "node:http";
import type { HttpAdapterHost } from "@nestjs/core";
import type { FastifyInstance, FastifyPluginCallback, onRequestHookHandler } from "fastify";
import { isPromise } from "../../coroutine.ts";
import type { Sessions } from "../../sessions.ts";
import type { AdapterOptions } from "../adapter.ts";
import { sessionMiddleware } from "../express.ts";
import { sessionPlugin } from "../fastify.ts";
import type { RegisterOptions } from "../fastify-register.ts";

/** What the requests of both platforms have: Express's `Request`, and Fastify's `FastifyRequest`. */
export interface PlatformRequest {
  /** The method, such as `"GET"`. */
  readonly method: string;
  /** The path with its query, as the client sent it. */
  readonly url: string;
  /** The headers, by their names in lower case. */
  readonly headers: IncomingHttpHeaders;
  /** The connection. */
  readonly socket: object;
}

type HttpAdapter = HttpAdapterHost["httpAdapter"];

/** Gives the sessions to an application, in front of everything that main.ts adds to it. */
export function createMount<Data extends object>(
  sessions: Sessions<Data>,
  options: AdapterOptions<PlatformRequest>,
): (adapter: HttpAdapter) => void {
  const middleware = sessionMiddleware<Data, IncomingMessage & PlatformRequest>(sessions, options);
  const plugin = sessionPlugin(sessions, options) as FastifyPluginCallback<RegisterOptions>;
  return (adapter) => {
    if (adapter.getType() !== "fastify") {
      adapter.use(middleware);
      return;
    }
    // Nest's exception filters log what they get.
    const registered = { addOnRequest: (hook: onRequestHookHandler) => runFirst(adapter, hook), isLogging: true };
    plugin(adapter.getInstance(), registered, (error) => {
      if (error) throw error;
    });
  };
}

type OnRequest = (...given: Parameters<onRequestHookHandler>) => unknown;

/**
 * Runs a hook before Nest's middleware. Nest registers @fastify/middie before any module is there, so that a hook of ours
 * would run after it: a middleware would find no session. Nest has one place for an earlier hook, which others may use too.
 */
function runFirst(adapter: HttpAdapter, hook: onRequestHookHandler): void {
  let other = (adapter as { onRequestHook?: OnRequest }).onRequestHook;
  adapter.setOnRequestHook(function (this: FastifyInstance, request, reply, done) {
    hook.call(this, request, reply, (error) => {
      // Nest's middleware gets the request of node:http.
      (request.raw as { session?: unknown }).session = request.session;
      if (error || !other) return done(error);
      try {
        follow(other.call(this, request, reply, done), done);
      } catch (failure) {
        // Where a session has been read, nobody else would catch it, and it would end the process.
        done(failure as Error);
      }
    });
  } satisfies onRequestHookHandler);
  adapter.setOnRequestHook = (later) => void (other = later as OnRequest);
}

/** A hook calls `done`, or returns a promise. */
function follow(running: unknown, done: (error?: Error) => void): void {
  if (isPromise(running)) running.then(() => done(), done);
}
