import { checkOptions } from "../checks.ts";
import type { FormerSessions } from "../former.ts";
import { signedIds } from "./express-session.ts";
import { decoded, secretsOf, unsigned, type FormerSecret } from "./signatures.ts";
import { SOURCE_OPTIONS, type SourceOptions } from "./source.ts";
import type { CallbackStore, ReadData } from "./stores.ts";

/** The options of {@link fastifySession}. */
export interface FastifySessionOptions extends SourceOptions {
  /** The option `secret` of @fastify/session: a string, or a list of the current one and the previous ones. Required. */
  secret: FormerSecret;
  /** The store of @fastify/session, or a function that reads the data of an id. Required. */
  store: CallbackStore | ReadData;
  /** The option `cookieName` of @fastify/session. Default `"sessionId"`. */
  cookieName?: string | undefined;
  /** The option `cookiePrefix` of @fastify/session, such as `"s:"`. Default `""`. */
  cookiePrefix?: string | undefined;
}

/**
 * The sessions of @fastify/session. A sign-out ends the former session in its store too.
 *
 * @throws TypeError for an unknown option, and without a secret or store.
 */
export function fastifySession(options: FastifySessionOptions): FormerSessions {
  checkOptions("fastifySession", options, {
    secret: true,
    store: true,
    cookieName: true,
    cookiePrefix: true,
    ...SOURCE_OPTIONS,
  });
  const { cookieName = "sessionId", cookiePrefix = "" } = options;
  const secrets = secretsOf("fastifySession: secret", options.secret);
  return signedIds("@fastify/session", cookieName, options, (value) => {
    const text = decoded(value);
    return text?.startsWith(cookiePrefix) ? unsigned(text.slice(cookiePrefix.length), secrets) : undefined;
  });
}
