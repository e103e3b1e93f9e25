import type { IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import type { Session } from "sojourn";
import { claimResponse, concludeSession, finishSession } from "sojourn/adapter";
import { adapterContract, type AdapterContractOptions, type StartApplication } from "sojourn/testing";
import { describe, expect, it, vi } from "vitest";
import { adapterWith, honest, type Steps } from "../support/http/breakable-adapter.ts";

const OPTIONS: AdapterContractOptions = { handlerErrors: "discarded", responses: true };

vi.spyOn(process, "emitWarning").mockReturnValue();

/** The cases that an adapter fails. */
async function failures(start: StartApplication, only = /./): Promise<string[]> {
  const failed: string[] = [];
  for (const { name, run } of adapterContract(start, OPTIONS)) {
    if (!only.test(name)) continue;
    await run().catch((error: unknown) => failed.push(`${name}: ${error instanceof Error ? error.message : ""}`));
  }
  return failed;
}

const ownHeaders = (change: (headers: ReturnType<Steps["headers"]>, of: Headers) => object): Partial<Steps> => ({
  conclude: (session, { headers }) => {
    const right = honest.headers(headers);
    return concludeSession(session, { ...right, ...change(right, headers) });
  },
});

const onlyIf = (isRight: (exchange: Parameters<Steps["conclude"]>[1]) => boolean): Partial<Steps> => ({
  conclude: (session, exchange) => (isRight(exchange) ? honest.conclude(session, exchange) : undefined),
});

/** The options that an adapter forgets. */
const forgetting = (...names: string[]): Partial<Steps> => ({
  mount: (mount) =>
    honest.mount({
      ...mount,
      options: Object.fromEntries(Object.entries(mount.options).filter(([name]) => !names.includes(name))),
    }),
});

const socketsSessions = new WeakMap<Socket, Session>();
let current: Session;

const mistakes: Readonly<Record<string, readonly [rule: RegExp, Partial<Steps>]>> = {
  "sends the response while the session is being stored": [
    /redirect when the session is stored, and no byte before/,
    {
      conclude(session, exchange) {
        const storing = honest.conclude(session, exchange);
        return exchange.req.url === "/step" ? undefined : storing;
      },
    },
  ],
  "drops the cookies of the application": [
    /keeps the cookies of the application/,
    ownHeaders(({ set }) => ({ append: set })),
  ],
  "sets its cookie twice": [
    /stores what a handler writes, once/,
    ownHeaders(({ append }) => ({
      append(name: string, value: string) {
        append(name, value);
        append(name, value);
      },
    })),
  ],
  "sets a cookie without its attributes": [
    /stores what a handler writes, once/,
    ownHeaders(({ append }) => ({
      append: (name: string, value: string) => append(name, value.split(";")[0]!),
    })),
  ],
  "writes everything back at the end of each request": [
    /stores a change that a handler makes in place/,
    {
      async conclude(session, exchange) {
        await honest.conclude(session, exchange);
        if (session.userId === undefined) return;
        session.data.requests = Number(session.data.requests ?? 0) + 1;
        await session.save();
      },
    },
  ],
  "never says Vary": [
    /calls no store operation for a visitor/,
    ownHeaders(({ set }) => ({
      set: (name: string, value: string) => name === "Vary" || set(name, value),
    })),
  ],
  "appends the headers that it has to replace": [
    /keeps Vary and Cache-Control of the application/,
    ownHeaders(({ append }) => ({ set: append })),
  ],
  "says no-store of every response": [
    /calls no store operation for a visitor/,
    {
      async conclude(session, exchange) {
        await honest.conclude(session, exchange);
        exchange.headers.set("cache-control", "no-store");
      },
    },
  ],
  "overwrites the headers of the application": [
    /keeps Vary and Cache-Control of the application/,
    ownHeaders(() => ({ get: () => undefined })),
  ],
  "stores the changes of a handler that throws": [
    /500 where a handler throws, with its changes discarded/,
    { fail: (session, exchange) => honest.conclude(session, exchange) },
  ],
  "keeps a session for each connection": [
    /apart whose requests share a connection/,
    {
      begin(begin, { req }) {
        const session = socketsSessions.get(req.socket) ?? begin(req);
        socketsSessions.set(req.socket, session);
        return session;
      },
    },
  ],
  "keeps the session of the present request in a variable of the module": [
    /apart while both requests run/,
    {
      give(session) {
        current = session;
        return new Proxy(session, {
          get(_, name) {
            const found = Reflect.get(current, name, current) as unknown;
            return typeof found === "function" ? (found.bind(current) as unknown) : found;
          },
        });
      },
    },
  ],
  "makes a session for each call": [
    /sessions\.of the session of its request/,
    {
      begin: (begin, { req: { headers, url, socket } }) =>
        begin({ headers, url, socket, httpVersionMajor: 1 } as IncomingMessage),
    },
  ],
  "answers a success where a change can't be stored": [
    /503 where a change can't be stored/,
    {
      conclude: async (session, exchange) => {
        try {
          await honest.conclude(session, exchange);
        } catch {
          // As if nothing had happened.
        }
      },
    },
  ],
  "serves users as visitors where the store can't be read": [
    /503 where the store can't be read/,
    {
      async read(reading) {
        await Promise.resolve(reading()).catch(() => {});
      },
    },
  ],
  "deletes the cookie where the store can't be read": [
    /503 where the store can't be read/,
    {
      async fail(session, exchange, error) {
        await honest.fail(session, exchange, error);
        exchange.headers.append("set-cookie", "session=; Max-Age=0; Path=/");
      },
    },
  ],
  "loses a new token in the response of an outage": [
    /the cookie that an earlier save\(\) has stored/,
    {
      async fail(session, exchange, error) {
        await honest.fail(session, exchange, error);
        exchange.headers.delete("set-cookie");
      },
    },
  ],
  "lets caches store the response of an outage": [/503 where a change can't be stored/, { fail: () => {} }],
  "leaves the ETag of the success in the response of an outage": [
    /503 where a change can't be stored/,
    { clean: () => {} },
  ],
  "reads the store for visitors' pages, even in an outage": [
    /serves visitors, and pages without session, while the store fails/,
    {
      read(reading, { req }) {
        if (!req.headers.cookie) throw Object.assign(new Error("down"), { status: 503 });
        return reading();
      },
    },
  ],
  "loses what is stored before a redirect": [
    /shows a flash after a redirect/,
    onlyIf(({ req }) => req.url !== "/save"),
  ],
  "stores nothing at HEAD": [/answers HEAD as GET/, onlyIf(({ req }) => req.method !== "HEAD")],
  "stores nothing where the response has no body": [
    /responses without a body \(204, 304\)/,
    onlyIf(({ status }) => status !== 204 && status !== 304),
  ],
  "writes to a response that the application keeps": [
    /a response that the application keeps/,
    {
      conclude: (session, exchange) =>
        concludeSession(session, honest.headers(exchange.reply!.response?.headers ?? exchange.headers)),
    },
  ],
  "loses changes that come while a body is streamed": [
    /while a body is streamed, before the last byte/,
    { finish: () => {} },
  ],
  "sends the last byte before such changes are stored": [
    /while a body is streamed, before the last byte/,
    { finish: (session) => void finishSession(session)?.catch(() => {}) },
  ],
  "sends the last byte of a declared length before such changes are stored": [
    /also where the response declares its length/,
    {
      async send(chunks, { res }) {
        for await (const chunk of chunks) res.write(chunk);
        return "";
      },
    },
  ],
  "leaves a response open whose body has failed": [/ends the connection where a body fails after/, { abort: () => {} }],
  "ends a response whose body has failed as if it were complete": [
    /ends the connection where a body fails after/,
    { abort: ({ res }) => void res.end() },
  ],
  "gives an empty success for a body that fails before its first chunk": [
    /before its first chunk/,
    {
      async send(chunks, exchange) {
        let isEmpty = true;
        async function* counted() {
          for await (const chunk of chunks) {
            isEmpty = false;
            yield chunk;
          }
        }
        return honest.send(counted(), exchange).catch((error: unknown) => {
          if (isEmpty) return "";
          throw error;
        });
      },
    },
  ],
  "does not notice that a client goes away while a body is sent to it": [
    /that a body makes after its client has gone/,
    {
      claim: (session, { res }) =>
        claimResponse(session, {
          once: (event, listener) =>
            res.once(event, () => {
              const isGone = res.headersSent && !res.writableEnded;
              return isGone ? undefined : listener();
            }),
        }),
    },
  ],
  "sends no headers of the session for HEAD of a streamed body": [
    /answers HEAD of a streamed body/,
    onlyIf(({ req, reply }) => req.method !== "HEAD" || typeof reply!.body === "string"),
  ],
  "ends a stream whose last change can't be stored": [
    /cuts off a streamed response/,
    { finish: async (session) => Promise.resolve(finishSession(session)).catch(() => {}) },
  ],
  "commits when the body has ended": [
    /refuses a first look at the session while a body is streamed/,
    {
      conclude: (session, exchange) =>
        typeof exchange.reply!.body === "string" ? honest.conclude(session, exchange) : undefined,
      finish: honest.conclude,
    },
  ],
  "never says that a response has ended": [
    /releases session\.signal/,
    { claim: (session) => claimResponse(session, { once: () => {} }) },
  ],
  "takes any object for sessions": [
    /TypeError for sessions that createSessions has not made/,
    {
      mount: ({ sessions, options }) => ({
        begin: ((request: IncomingMessage) => sessions.of(request)) as never,
        prepare: (session) => ((options as { lazy?: boolean }).lazy ? undefined : session.load()),
      }),
    },
  ],
  "ignores options that it does not know": [/for an option that it does not have/, forgetting("lazily")],
  "ignores the option lazy": [/with the option lazy/, forgetting("lazy")],
  "ignores the option passive": [/with the option passive/, forgetting("passive")],
  "ignores the option bearer": [/takes a token in Authorization/, forgetting("bearer")],
  "reads the session before it refuses a form of another site": [
    /403 to a form of another site/,
    {
      mount(mount) {
        const { begin, prepare } = honest.mount(mount);
        if (!mount.options.csrf) return { begin, prepare };
        return {
          begin,
          async prepare(session, req) {
            await session.load();
            await prepare(session, req);
          },
        };
      },
    },
  ],
  "hides the client's address": [
    /network address at a sign-in/,
    {
      begin(begin, { req }) {
        const { socket } = req;
        const hidden = new Proxy(socket, {
          get: (_, name) => (name === "remoteAddress" ? undefined : (Reflect.get(socket, name) as unknown)),
        });
        return begin(Object.defineProperty(req, "socket", { value: hidden, configurable: true }));
      },
    },
  ],
  "ignores the option csrf": [/with the option csrf/, forgetting("csrf")],
  "ignores the option context": [/within the option context/, { within: (_session, _context, call) => call() }],
  "ignores the option personal": [/unless the option personal says so/, forgetting("personal")],
  "ignores the options of an adapter within another": [
    /takes the options of the inner adapter/,
    { read: (reading, _exchange, isOutermost) => (isOutermost ? reading() : undefined) },
  ],
  "concludes only the innermost of two Sessions": [
    /the nearest of two Sessions/,
    {
      conclude(session, exchange) {
        const isDone = exchange.headers.has("vary");
        return isDone ? undefined : honest.conclude(session, exchange);
      },
    },
  ],
};

describe("adapterContract", () => {
  it("passes an adapter without a mistake", async () => {
    expect(await failures(adapterWith({}))).toEqual([]);
  });

  for (const [mistake, [rule, steps]] of Object.entries(mistakes)) {
    it(`finds an adapter that ${mistake}`, async () => {
      expect(await failures(adapterWith(steps), rule)).toContainEqual(expect.stringMatching(rule));
    });
  }

  it("gives every case another name", () => {
    const names = adapterContract(adapterWith({}), OPTIONS).map(({ name }) => name);
    expect(new Set(names).size).toBe(names.length);
  });

  it("throws a TypeError for an unknown option", () => {
    expect(() => adapterContract(adapterWith({}), { stream: "none" } as object)).toThrow('no option "stream"');
  });

  it("does not compile for a session of the type any", () => {
    const start: StartApplication = ({ routes }) => {
      const untyped = JSON.parse("{}");
      // @ts-expect-error -- its type is lost
      void routes[0]!.handle(untyped, {} as never);
      // @ts-expect-error -- it is no session
      void routes[0]!.handle({ data: {} }, {} as never);
      return { url: "http://127.0.0.1/", close: () => {} };
    };
    expect(start).toBeTypeOf("function");
  });
});
