import { createReadStream } from "node:fs";
import { Readable } from "node:stream";
import { setImmediate as turn } from "node:timers/promises";
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from "fastify";
import { createSessions } from "sojourn";
import { sessionPlugin } from "sojourn/fastify";
import { memoryStore } from "sojourn/memory";
import { cookieFor, faulty } from "sojourn/testing";
import { describe, expect, it } from "vitest";
import { ask } from "../support/http/client.ts";
import { originOf, SECRET_KEY } from "../support/http/servers.ts";

// While onSend waits for the store, nothing of the response has left. Fastify would send another payload first, and our hook
// would let it pass, because the commit is under way.

interface Site {
  readonly app: FastifyInstance;
  /** Changes the session of a request. In plain Fastify, it does nothing. */
  readonly change: (request: FastifyRequest) => void;
}

/** Some turns of the event loop: a handler is done by then, whatever it does late. */
async function turns(): Promise<void> {
  for (let i = 0; i < 8; i++) await turn();
}

async function serve(app: FastifyInstance, messages: string[]) {
  await app.listen({ port: 0, host: "127.0.0.1" });
  const origin = originOf(app.server);
  return async (cookie?: string) => {
    messages.length = 0;
    const answer = await ask(`${origin}/`, { cookie });
    await turns();
    return answer;
  };
}

function create(): { app: FastifyInstance; messages: string[] } {
  const messages: string[] = [];
  const write = (line: string) => void messages.push((JSON.parse(line) as { msg: string }).msg);
  return { app: Fastify({ logger: { level: "warn", stream: { write } }, forceCloseConnections: true }), messages };
}

/** An application of Fastify alone. */
async function plain(prepare: (site: Site) => unknown) {
  const { app, messages } = create();
  await prepare({ app, change: () => {} });
  return { get: await serve(app, messages), messages };
}

/** An application whose store takes some turns, or as long as `wait` does. The session is Ada's. */
async function application(
  prepare: (site: Site) => unknown,
  { isDown = false, wait = turns, before = [] }: Setup = {},
) {
  const { app, messages } = create();
  const store = faulty(memoryStore(), { update: () => (isDown ? "error" : "ok") });
  const update = store.update.bind(store);
  store.update = async (...update_) => {
    await wait();
    return update(...update_);
  };
  const sessions = createSessions({ secretKey: SECRET_KEY, store });
  const dropped: string[] = [];
  sessions.on("dropped", ({ reason }) => dropped.push(reason));
  for (const hook of before) app.addHook("onSend", hook);
  await app.register(sessionPlugin(sessions));
  const change = ({ session }: FastifyRequest) => {
    session.data.changed = true;
    session.rotate();
  };
  await prepare({ app, change });
  const cookie = await cookieFor(sessions, "ada");
  const get = await serve(app, messages);
  /** What the session of a response has stored. */
  const read = async ({ setCookies }: Awaited<ReturnType<typeof ask>>) => {
    const headers = { cookie: setCookies.map((line) => line.split(";")[0]).join("; ") };
    return (await sessions.open(new Request("http://localhost/", { headers }))).data.changed;
  };
  return { get: () => get(cookie), read, messages, dropped };
}

interface Setup {
  readonly isDown?: boolean;
  readonly wait?: () => Promise<unknown>;
  readonly before?: ((request: FastifyRequest) => Promise<unknown>)[];
}

/** What the handler has decided: the rest is the session's. */
function decided({ status, body, complete, headers }: Awaited<ReturnType<typeof ask>>) {
  const { location, "content-type": type, "x-place": place } = headers;
  return { status, body, complete, location, type, place };
}

type Handler = (reply: FastifyReply, request: FastifyRequest) => unknown;

/** A route whose handler changes the session first. */
const route = (handler: Handler) => (site: Site) =>
  site.app.get("/", (request, reply) => {
    site.change(request);
    return handler(reply, request);
  });

const handlers: [string, (site: Site) => unknown][] = [
  [
    "sends twice",
    route((reply) => {
      void reply.send("one");
      void reply.send("two");
    }),
  ],
  ["sends, and gives nothing back", route(async (reply) => void reply.send({ ok: 1 }))],
  ["sends an empty body, and gives nothing back", route(async (reply) => void reply.send())],
  ["redirects, and gives nothing back", route(async (reply) => void reply.redirect("/home"))],
  [
    "redirects twice",
    route(async (reply) => {
      void reply.redirect("/login");
      void reply.redirect("/admin");
    }),
  ],
  [
    "sends, and gives a value back",
    route(async (reply) => {
      void reply.send("one");
      return { two: 2 };
    }),
  ],
  ["sends, and gives the reply back", route(async (reply) => reply.send("one"))],
  [
    "refuses, and goes on",
    route((reply) => {
      void reply.code(401).header("x-place", "door").send("no");
      void reply.code(200).header("x-place", "vault").type("application/json").send('{"secret":1}');
    }),
  ],
  [
    "sends, and adds a header",
    route((reply) => {
      void reply.send("one");
      void reply.header("x-place", "vault");
    }),
  ],
  [
    "sends, and throws",
    route((reply) => {
      void reply.send("one");
      throw new Error("after");
    }),
  ],
  [
    "sends, and rejects",
    route(async (reply) => {
      void reply.send("one");
      throw new Error("after");
    }),
  ],
  [
    "sends, and sends an error",
    route((reply) => {
      void reply.send("one");
      void reply.send(new Error("after"));
    }),
  ],
  [
    "sends, and sends again in a later turn",
    route((reply) => {
      void reply.send("one");
      setImmediate(() => void reply.code(202).send("two"));
    }),
  ],
  [
    "sends, and finds nothing",
    route((reply) => {
      void reply.send("one");
      reply.callNotFound();
    }),
  ],
  [
    "throws, and has an error handler that sends twice",
    (site) => {
      site.app.setErrorHandler((_error, request, reply) => {
        site.change(request);
        void reply.code(400).send("sorry");
        void reply.code(200).send("two");
      });
      site.app.get("/", async () => {
        throw new Error("first");
      });
    },
  ],
  [
    "is the one for pages that are not found, and gives nothing back",
    (site) => {
      site.app.setNotFoundHandler(async (request, reply) => {
        site.change(request);
        void reply.code(404).send("nothing here");
      });
    },
  ],
  [
    "is a preHandler that refuses and calls the next one",
    (site) => {
      site.app.addHook("preHandler", (request, reply, next) => {
        site.change(request);
        void reply.code(401).send("no");
        next();
      });
      site.app.get("/", async () => "secret");
    },
  ],
];

/** In plain Fastify, Node throws an error for these, or emits it. */
const pastFastify: typeof handlers = [
  [
    "sends, and hijacks the reply",
    route((reply) => {
      void reply.send("one");
      reply.hijack();
      reply.raw.end("two");
    }),
  ],
  [
    "sends, and ends reply.raw",
    route((reply) => {
      void reply.send("one");
      reply.raw.setHeader("x-place", "vault");
      reply.raw.end("two");
    }),
  ],
  [
    "sends, and writes to reply.raw",
    route((reply) => {
      void reply.send("one");
      reply.raw.writeHead(202, { "x-place": "vault" }).flushHeaders();
      reply.raw.write("two");
    }),
  ],
];

describe("sojourn for Fastify and a handler that", () => {
  it.each(handlers)("%s: the first response leaves, as from plain Fastify, with its session", async (_, prepare) => {
    const bare = await plain(prepare);
    const { get, read, messages, dropped } = await application(prepare);
    const answer = await get();
    expect(decided(answer)).toEqual(decided(await bare.get()));
    expect(messages).toEqual(bare.messages);
    expect(answer.headers).toMatchObject({ vary: "Cookie", "cache-control": "no-store" });
    expect(await read(answer)).toBe(true);
    expect(dropped).toEqual([]);
  });

  it.each(pastFastify)("%s: the first response leaves, with its session", async (_, prepare) => {
    const { get, read } = await application(prepare);
    const answer = await get();
    expect(decided(answer)).toMatchObject({ status: 200, body: "one", complete: true, place: undefined });
    expect(await read(answer)).toBe(true);
  });

  it.each([...handlers, ...pastFastify])("%s: the answer is an error's if the store fails", async (_, prepare) => {
    const { get } = await application(prepare, { isDown: true });
    const answer = await get();
    expect(answer).toMatchObject({ setCookies: [], complete: true, headers: { "cache-control": "no-store" } });
    expect(answer.status).toBe(answer.body === "sorry" ? 400 : 503);
    expect(answer.body).not.toMatch(/one|two|secret/);
  });

  it.each([...handlers, ...pastFastify])("%s: nothing leaves while the store has not answered", async (_, prepare) => {
    let isStored = false;
    const wait = async () => {
      await turns();
      isStored = true;
    };
    const { get } = await application(
      async (site) => {
        await prepare(site);
        site.app.server.on("request", (_request, response) => {
          response.on("prefinish", () => expect.soft(isStored).toBe(true));
        });
      },
      { wait },
    );
    await get();
    expect(isStored).toBe(true);
  });

  const sending: typeof handlers = [
    ["sends twice", route((reply) => void reply.code(401).send("one").code(200).send("two"))],
    ["sends, and gives nothing back", route(async (reply) => void reply.code(401).send("one"))],
  ];

  it.each(sending)("%s, while a hook before ours waits: the first response leaves", async (_, prepare) => {
    const { get, read, messages } = await application(prepare, { before: [turns] });
    const answer = await get();
    expect(answer.body).toBe("one");
    expect(await read(answer)).toBe(true);
    expect(messages).toEqual([expect.stringMatching(/^Reply was already sent/)]);
  });

  it.each(sending)("%s, while a hook before ours waits: the answer is 503 if the store fails", async (_, prepare) => {
    const { get } = await application(prepare, { before: [turns], isDown: true });
    expect(await get()).toMatchObject({ status: 503, setCookies: [] });
  });

  it.each(sending)("%s, and a hook after ours waits: the first response leaves", async (_, prepare) => {
    const { get, read } = await application(async (site) => {
      site.app.addHook("onSend", turns);
      await prepare(site);
    });
    const answer = await get();
    expect(decided(answer)).toMatchObject({ status: 401, body: "one" });
    expect(await read(answer)).toBe(true);
  });
});

describe("sojourn for Fastify and a reply that is awaited", () => {
  it("waits until the response has ended, whenever the store answers", async () => {
    for (let microtasks = 0; microtasks < 30; microtasks++) {
      const wait = async () => {
        for (let i = 0; i < microtasks; i++) await Promise.resolve();
      };
      const streamed = route(async (reply) => reply.send(Readable.from(["on", "e"])));
      const { get, read } = await application(streamed, { wait });
      const answer = await get();
      expect(answer, `${microtasks} microtasks`).toMatchObject({ body: "one", complete: true });
      expect(await read(answer)).toBe(true);
    }
  });

  it("may be awaited after it was sent", async () => {
    const order: string[] = [];
    const { get } = await application(
      route(async (reply) => {
        reply.raw.on("finish", () => order.push("finished"));
        await reply.send("one");
        order.push("awaited");
      }),
    );
    expect((await get()).body).toBe("one");
    expect(order).toEqual(["finished", "awaited"]);
  });
});

describe("sojourn for Fastify and a body that is a stream, whose session is being stored", () => {
  const missing = (site: Site) => {
    site.app.setErrorHandler((error: NodeJS.ErrnoException, _request, reply) => reply.code(500).send(error.code));
    return route((reply) => reply.send(createReadStream("no-such-file")))(site);
  };

  it("answers the error of a file that is missing, as Fastify does, and stores the session", async () => {
    const bare = await plain(missing);
    const { get, read } = await application(missing);
    const answer = await get();
    expect(answer.body).toBe("ENOENT");
    expect(decided(answer)).toEqual(decided(await bare.get()));
    expect(await read(answer)).toBe(true);
  });

  it("answers 503 if the store fails, and the file is missing", async () => {
    const { get } = await application(
      route((reply) => reply.send(createReadStream("no-such-file"))),
      { isDown: true },
    );
    expect(await get()).toMatchObject({ status: 503, complete: true });
  });

  it("closes a file if the store fails", async () => {
    const file = createReadStream(new URL(import.meta.url));
    const { get } = await application(
      route((reply) => reply.send(file)),
      { isDown: true },
    );
    expect(await get()).toMatchObject({ status: 503, complete: true });
    expect(file.destroyed).toBe(true);
  });

  const webBodies: [string, (body: ReadableStream) => unknown][] = [
    ["a web stream", (body) => body],
    ["the body of a Response", (body) => new Response(body)],
  ];
  it.each(webBodies)("cancels %s if the store fails", async (_, payload) => {
    let isCancelled = false;
    const body = new ReadableStream({ cancel: () => void (isCancelled = true) });
    const { get } = await application(
      route((reply) => reply.send(payload(body))),
      { isDown: true },
    );
    expect(await get()).toMatchObject({ status: 503, complete: true });
    expect(isCancelled).toBe(true);
  });

  it("answers 503 if the store fails, and the program reads the stream itself", async () => {
    const body = new ReadableStream();
    body.getReader();
    const { get } = await application(
      route((reply) => reply.send(body)),
      { isDown: true },
    );
    expect(await get()).toMatchObject({ status: 503, complete: true });
  });
});
