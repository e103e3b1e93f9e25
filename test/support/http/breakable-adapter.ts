import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { text } from "node:stream/consumers";
import type { Session } from "sojourn";
import {
  ADAPTER_OPTIONS,
  type AdapterOptions,
  claimResponse,
  concludeSession,
  describesResponse,
  failSession,
  finishSession,
  resolveAdapterOptions,
  type ResponseHeaders,
  sessionFactory,
} from "sojourn/adapter";
import type { AdapterMount, AdapterReply, StartApplication } from "sojourn/testing";

/** A request of the adapter that can be broken, and the response to it. */
interface Exchange {
  readonly req: IncomingMessage;
  readonly res: ServerResponse;
  headers: Headers;
  status: number;
  reply: AdapterReply | undefined;
  /** Calls the program of the handler, and that of its body. */
  within<Result>(call: () => Result): Result;
}

type Begin = ReturnType<typeof sessionFactory>;

/** The steps of an adapter, each of which a mistake replaces. */
export interface Steps {
  /** Checks its arguments when the application is built. */
  mount(mount: AdapterMount): { begin: Begin; prepare: (session: Session, req: IncomingMessage) => unknown };
  /** Begins the session of a request. */
  begin(begin: Begin, exchange: Exchange): Session;
  claim(session: Session, exchange: Exchange): boolean;
  /** Reads the session. */
  read(reading: () => unknown, exchange: Exchange, isOutermost: boolean): unknown;
  /** Calls the handler within the option `context`. */
  within<Result>(session: Session, context: AdapterMount["options"]["context"], call: () => Result): Result;
  /** Gives the session to the handler. */
  give(session: Session): Session;
  /** Stores the session, and writes its headers. */
  conclude(session: Session, exchange: Exchange): unknown;
  headers(headers: Headers): ResponseHeaders;
  /** Takes headers of the success away. */
  clean(headers: Headers): void;
  fail(session: Session, exchange: Exchange, error: unknown): unknown;
  /** Sends the chunks of a streamed body, but for the last byte of one that declares its length. Gives that byte. */
  send(chunks: AsyncIterable<string>, exchange: Exchange): Promise<string>;
  /** Stores changes before the last byte. */
  finish(session: Session, exchange: Exchange): unknown;
  /** Ends a response whose body has failed. */
  abort(exchange: Exchange): void;
}

/** The steps as they should be. */
export const honest: Steps = {
  mount: ({ sessions, options }) => ({
    begin: sessionFactory(sessions, "adapter"),
    prepare: resolveAdapterOptions<IncomingMessage, AdapterOptions<IncomingMessage>>(
      "adapter",
      options,
      ADAPTER_OPTIONS,
    ),
  }),
  begin: (begin, { req }) => begin(req),
  claim: (session, { res }) => claimResponse(session, res),
  read: (reading) => reading(),
  within: (session, context, call) => (context ? context.run(session, call) : call()),
  give: (session) => session,
  conclude: (session, { headers }) => concludeSession(session, honest.headers(headers)),
  headers: (headers) => ({
    get: (name) => headers.get(name),
    keys: () => headers.keys(),
    set: (name, value) => headers.set(name, value),
    append: (name, value) => headers.append(name, value),
  }),
  clean(headers) {
    const names = [...headers.keys()].filter(describesResponse);
    for (const name of names) headers.delete(name);
  },
  fail: (session, { headers }) => failSession(session, honest.headers(headers)),
  async send(chunks, { res, headers }) {
    let held = "";
    for await (const chunk of chunks) {
      const whole = held + chunk;
      held = headers.has("content-length") ? whole.slice(-1) : "";
      res.write(whole.slice(0, whole.length - held.length));
    }
    return held;
  },
  finish: (session) => finishSession(session),
  abort: ({ res }) => void res.destroy(),
};

/** Serves the applications of the adapter contract by an adapter with these steps. */
export function adapterWith(mistakes: Partial<Steps>): StartApplication {
  const steps = { ...honest, ...mistakes };
  return ({ mounts, routes }) => {
    const mounted = mounts.map((mount) => ({
      path: mount.path,
      context: mount.options.context,
      ...steps.mount(mount),
    }));

    async function answer(exchange: Exchange, claimed: Session[]): Promise<void> {
      const { req } = exchange;
      let session: Session | undefined;
      for (const { path, begin, prepare, context } of mounted) {
        if (!req.url!.startsWith(path)) continue;
        const begun = steps.begin(begin, exchange);
        const isOutermost = steps.claim(begun, exchange);
        if (isOutermost) claimed.unshift(begun);
        await steps.read(() => prepare(begun, req), exchange, isOutermost);
        session = begun;
        exchange.within = (call) => steps.within(begun, context, call);
      }
      const { handle } = routes.find(({ path }) => path === req.url)!;
      const header = (name: string) => req.headers[name]?.toString();
      const asked = { request: req, header, text: () => text(req) };
      const reply = await exchange.within(() => handle(steps.give(session!), asked));
      exchange.reply = reply;
      exchange.status = reply.response?.status ?? (reply.redirect === undefined ? reply.status : 303);
      exchange.headers = new Headers(reply.response?.headers);
      for (const [name, value] of reply.headers) exchange.headers.append(name, value);
      if (reply.redirect !== undefined) exchange.headers.set("location", reply.redirect);
      for (const one of claimed) await steps.conclude(one, exchange);
    }

    async function serve(req: IncomingMessage, res: ServerResponse): Promise<void> {
      const exchange: Exchange = {
        req,
        res,
        headers: new Headers(),
        status: 200,
        reply: undefined,
        within: (call) => call(),
      };
      const claimed: Session[] = [];
      let body: AdapterReply["body"] = "";
      try {
        await answer(exchange, claimed);
        ({ body } = exchange.reply!);
      } catch (error) {
        exchange.status = (error as { status?: number }).status ?? 500;
        steps.clean(exchange.headers);
        for (const one of claimed) await steps.fail(one, exchange, error);
      }
      res.setHeaders(exchange.headers).writeHead(exchange.status);
      if (typeof body === "string") return void res.end(body);
      const chunks = body;
      try {
        const lastByte = await exchange.within(() => steps.send(chunks, exchange));
        for (const one of claimed) await steps.finish(one, exchange);
        res.end(lastByte);
      } catch {
        steps.abort(exchange);
      }
    }

    return createServer((req, res) => void serve(req, res)).listen(0, "127.0.0.1");
  };
}
