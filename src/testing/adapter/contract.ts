import type { SessionContext } from "../../adapters/context.ts";
import type { CsrfProtection } from "../../adapters/csrf.ts";
import { checkOptions } from "../../checks.ts";
import type { BearerTokens } from "../../request/bearer.ts";
import type { AnyRequest } from "../../request/request.ts";
import type { Session } from "../../session.ts";
import type { Sessions } from "../../sessions.ts";
import type { ContractCase } from "../store-contract.ts";
import { AdapterBench } from "./bench.ts";
import { bodyCases } from "./bodies.ts";
import { connectionCases } from "./connections.ts";
import { failureCases } from "./failures.ts";
import { mountCases } from "./mounts.ts";
import { parallelCases } from "./parallel.ts";
import { responseCases } from "./responses.ts";
import { signInCases } from "./sign-in.ts";
import { streamCases } from "./streams.ts";

/** One use of the adapter in the application: `app.use(path, sessionMiddleware(sessions, options))`. */
export interface AdapterMount {
  /** The adapter is used for the routes whose path begins with it. `"/"`: for all routes. */
  readonly path: string;
  /** The first argument of the adapter. */
  readonly sessions: Sessions;
  /** The options to give to the adapter. */
  readonly options: {
    readonly lazy?: boolean;
    readonly personal?: boolean;
    readonly passive?: () => boolean;
    readonly context?: SessionContext;
    readonly csrf?: CsrfProtection;
    readonly bearer?: BearerTokens;
  };
}

/** A request in the words of no framework. */
export interface AdapterExchange {
  /** The framework's request or context, as `sessions.of` takes it. */
  readonly request: AnyRequest;
  /** Returns a header of the request. */
  header(name: string): string | null | undefined;
  /** Reads the body of the request, by the framework's own means. */
  text(): Promise<string>;
}

/** A response in the words of no framework. */
export interface AdapterReply {
  /** The status, where there is no redirect. */
  readonly status: number;
  /** The headers to append. A name may come twice. */
  readonly headers: readonly (readonly [name: string, value: string])[];
  /** The location to redirect to, by the framework's own redirect, with the status 303. */
  readonly redirect: string | undefined;
  /** The body. An empty text is no body; the chunks of an `AsyncIterable` are sent one by one. */
  readonly body: string | AsyncIterable<string>;
  /** With the option `responses`: a response that the application keeps, to be returned as it is. */
  readonly response: Response | undefined;
}

/** A route of the application. It takes GET, HEAD and POST. */
export interface AdapterRoute {
  /** The path of the URL, without parameters. */
  readonly path: string;
  /** Handles a request. The compiler refuses a session of the type `any`. It rejects where the handler throws. */
  handle<Given extends Session>(session: TypedSession<Given>, exchange: AdapterExchange): Promise<AdapterReply>;
}

/** The type of a session that is not `any`: nothing is of the type `never`. */
export type TypedSession<Given> = Given & (0 extends 1 & Given ? never : unknown);

/** An application for one case. */
export interface AdapterParts {
  /** The uses of the adapter, the outermost first. */
  readonly mounts: readonly AdapterMount[];
  /** The routes to serve. */
  readonly routes: readonly AdapterRoute[];
}

/** A server that listens on a port of the loopback interface: one of node:http, or any other with its URL. */
export type AdapterServer = ListeningServer | { readonly url: string; close(): unknown };

/** What the suite calls of a server of node:http. */
interface ListeningServer {
  /** `false`: the suite waits for the event `listening`. */
  readonly listening: boolean;
  /** Waits for an event. */
  once(event: "listening", listener: () => void): unknown;
  /** Returns an object with the port. */
  address(): { readonly port: number } | string | null;
  /** Ends the server, and calls the function when it has ended. */
  close(ended: () => void): unknown;
  /** Ends connections that are kept alive. */
  closeAllConnections?(): void;
}

/** Starts an application on a port of its own. The server is closed after the case. */
export type StartApplication = (parts: AdapterParts) => AdapterServer | Promise<AdapterServer>;

/** The options of {@link adapterContract}. They declare what a framework can do. */
export interface AdapterContractOptions {
  /**
   * Changes that a handler makes while its body is streamed. Default `"stored"`: before the last byte, or the response is
   * cut off. `"reported"`: the adapter can't hold the last byte back, so that the event `dropped` reports them. `"none"`: the
   * framework has no streamed bodies, and the application joins the chunks before it answers.
   */
  streams?: "stored" | "reported" | "none" | undefined;
  /**
   * Changes of a handler that throws. Default `"stored"`: the framework answers through the response that the adapter
   * holds, so that they are stored before it leaves. `"discarded"`: the error passes the adapter.
   */
  handlerErrors?: "stored" | "discarded" | undefined;
  /** Whether the adapter can be used within itself, with other options. Default `true`. `false`: it throws a TypeError. */
  nested?: boolean | undefined;
  /** Whether two `Sessions` can serve one route. Default `true`. `false`: the adapter throws a TypeError. */
  severalSessions?: boolean | undefined;
  /** Whether handlers return objects of the class Response, which an application may keep. Default `false`. */
  responses?: boolean | undefined;
  /**
   * Whether the framework tells the client's network address. Default `true`: the list of a user's sessions has it. `false`:
   * the list is without it.
   */
  clientAddress?: boolean | undefined;
  /** The limit of the application's request bodies, in bytes, after which it answers 413. Default: it has none. */
  bodyLimit?: number | undefined;
}

/** A rule: its text, and the function that checks it. */
export type AdapterRule = readonly [name: string, check: (bench: AdapterBench) => Promise<void>];

/**
 * Creates the cases that check an adapter, one for each rule, for any test runner.
 *
 * Each case starts a server with an application of its own, and sends it requests of HTTP/1.1.
 *
 * @example
 * const cases = adapterContract(({ mounts, routes }) => {
 *   const app = express();
 *   for (const { path, sessions, options } of mounts) app.use(path, sessionMiddleware(sessions, options));
 *   for (const { path, handle } of routes) app.all(path, answerWith(handle));
 *   return app.listen(0, "127.0.0.1");
 * });
 * for (const { name, run } of cases) it(name, run);
 *
 * @throws TypeError for an unknown option.
 */
export function adapterContract(start: StartApplication, options: AdapterContractOptions = {}): ContractCase[] {
  checkOptions("adapterContract", options, {
    streams: true,
    handlerErrors: true,
    nested: true,
    severalSessions: true,
    responses: true,
    clientAddress: true,
    bodyLimit: true,
  });
  const declared: Declared = {
    streams: options.streams ?? "stored",
    handlerErrors: options.handlerErrors ?? "stored",
    nested: options.nested ?? true,
    severalSessions: options.severalSessions ?? true,
    responses: options.responses ?? false,
    clientAddress: options.clientAddress ?? true,
    bodyLimit: options.bodyLimit,
  };
  const rules: AdapterRule[] = [
    ...signInCases(declared),
    ...responseCases(declared),
    ...parallelCases,
    ...failureCases(declared),
    ...streamCases(declared),
    ...bodyCases(declared),
    ...connectionCases,
    ...mountCases(declared),
  ];
  return rules.map(([name, check]) => ({
    name,
    async run() {
      const bench = new AdapterBench(start);
      try {
        await check(bench);
      } finally {
        await bench.close();
      }
    },
  }));
}

/** The options of the contract, with their defaults. */
export interface Declared extends Required<Omit<AdapterContractOptions, "bodyLimit">> {
  readonly streams: "stored" | "reported" | "none";
  readonly handlerErrors: "stored" | "discarded";
  readonly nested: boolean;
  readonly severalSessions: boolean;
  readonly responses: boolean;
  readonly clientAddress: boolean;
  readonly bodyLimit: number | undefined;
}
