import type { ServerResponse } from "node:http";
import type { OptionNames } from "../../checks.ts";
import { innermost, type AnyRequest } from "../../request/request.ts";
import type { Session } from "../../session.ts";
import type { Sessions } from "../../sessions.ts";
import { claimResponse, resolveAdapterOptions, sessionFactory, type AdapterOptions } from "../adapter.ts";
import { checkFree, type SessionHolder } from "../replaced.ts";
import { setFailureHeaders, storeBeforeHeaders } from "./store-before-headers.ts";

/** An adapter: its name in messages, the options that it was given, and the names of all that it has. */
export interface NodeAdapterParts<Options> {
  readonly name: string;
  readonly options: Options;
  readonly names: OptionNames<NoInfer<Options>>;
}

/** One request of a framework that answers through a response of node:http. */
export interface NodeExchange<Data extends object, Request, Result> {
  /** The framework's own request or context, as the options take it. The proxy setting of the framework counts. */
  readonly request: Request;
  /** The response of node:http, which waits for the session. */
  readonly res: ServerResponse;
  /** Is given the session as its property `session`. */
  readonly holder?: SessionHolder | undefined;
  /** Takes the error of storing. Nothing of the response was sent, unless `res.headersSent` is true. */
  readonly onFailure: (error: unknown) => void;
  /** Calls the handler. */
  readonly handle: (session: Session<Data>) => Result;
}

/** Serves one request, and gives the result of its handler. A promise where the session has to be read. */
type Serve<Data extends object, Request> = <Result>(
  exchange: NodeExchange<Data, Request, Result>,
) => Result | Promise<Awaited<Result>>;

/**
 * Makes an adapter for a framework that answers through a response of node:http. A session is read before the handler, and
 * stored before the first byte of the response, whoever writes to it. If it can't be read, the call throws or rejects, and the
 * response has the headers of such an error.
 *
 * @throws TypeError for anything but what `createSessions` made, and for an option that the adapter does not have.
 */
export function nodeAdapter<Data extends object, Request extends AnyRequest, Options extends AdapterOptions<Request>>(
  sessions: Sessions<Data>,
  { name, options, names }: NodeAdapterParts<Options>,
): Serve<Data, Request> {
  const beginSession = sessionFactory(sessions, name);
  const prepare = resolveAdapterOptions<Request, Options>(name, options, names);
  const { context } = options;

  function proceed<Result>(
    { request, res, holder, onFailure, handle }: NodeExchange<Data, Request, Result>,
    session: Session<Data>,
    isOutermost: boolean,
  ): Result {
    if (isOutermost) storeBeforeHeaders(session, res, onFailure, holder);
    if (!context) return handle(session);
    context.bindEvents(session, innermost(request) as never, res);
    return context.run(session, () => handle(session));
  }

  return <Result>(exchange: NodeExchange<Data, Request, Result>) => {
    const { request, res, holder } = exchange;
    if (holder) checkFree(holder);
    const session = beginSession(request);
    if (holder) holder.session = session;
    const isOutermost = claimResponse(session, res);
    const fail = (error: unknown): never => {
      setFailureHeaders(session, res);
      throw error;
    };

    let reading: Promise<unknown> | undefined;
    try {
      reading = prepare(session, request);
    } catch (error) {
      return fail(error);
    }
    if (!reading) return proceed(exchange, session, isOutermost);
    return reading.then(() => proceed(exchange, session, isOutermost), fail) as Promise<Awaited<Result>>;
  };
}
