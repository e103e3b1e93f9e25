import { describe, expect, it } from "vitest";
import { Hono } from "hono";
import type { Session } from "../session.ts";
import type { StoreListener } from "../store.ts";
import { memoryStore } from "../stores/memory.ts";
import { site } from "../../test/support/stores.ts";
import { withSession } from "./fetch.ts";
import { sessionMiddleware as onHono } from "./hono.ts";

/** Handlers on a server that does not report the end of a response, like Bun and workerd. */
async function watched() {
  const memory = memoryStore();
  let watching = 0;
  const subscribe = (listener: StoreListener) => {
    watching += 1;
    const end = memory.subscribe(listener);
    return () => {
      watching -= 1;
      end();
    };
  };
  const shop = site({ store: { ...memory, subscribe }, clock: Date.now });
  const browser = shop.browser();
  await browser.visit((session) => session.signIn("ada"));
  const request = (init: RequestInit = {}) =>
    new Request("https://shop.example/", { ...init, headers: { cookie: browser.cookie } });
  return { sessions: shop.sessions, request, watching: () => watching };
}

type Answer = (session: Session) => Response;

const adapters = {
  fetch: (sessions: Awaited<ReturnType<typeof watched>>["sessions"], answer: Answer) =>
    withSession(sessions, (_request, session) => answer(session)),
  Hono: (sessions: Awaited<ReturnType<typeof watched>>["sessions"], answer: Answer) => {
    const app = new Hono().use(onHono(sessions)).all("/", (c) => answer(c.var.session));
    return async (request: Request) => app.fetch(request);
  },
};

const stream = (...chunks: (string | Error)[]) =>
  new ReadableStream<Uint8Array>({
    pull(controller) {
      const chunk = chunks.shift();
      if (chunk === undefined) controller.close();
      else if (chunk instanceof Error) controller.error(chunk);
      else controller.enqueue(new TextEncoder().encode(chunk));
    },
  });

describe.each(Object.entries(adapters))(
  "session.signal under %s, if only the body reports the end",
  (_name, adapter) => {
    const using =
      (body: () => ConstructorParameters<typeof Response>[0], init?: ResponseInit): Answer =>
      (session) => {
        expect(session.signal.aborted).toBe(false);
        return new Response(body(), init);
      };

    it("is watched until the body was read to its end", async () => {
      const { sessions, request, watching } = await watched();
      const answer = await adapter(
        sessions,
        using(() => stream("a", "b")),
      )(request());
      const reader = answer.body!.getReader();
      await reader.read();
      expect(watching()).toBe(1);
      while (!(await reader.read()).done);
      expect(watching()).toBe(0);
    });

    it("is watched until the reader cancels, or the body fails", async () => {
      const { sessions, request, watching } = await watched();
      const cancelled = await adapter(
        sessions,
        using(() => stream("a", "b")),
      )(request());
      expect(watching()).toBe(1);
      await cancelled.body!.cancel();
      expect(watching()).toBe(0);
      const failing = await adapter(
        sessions,
        using(() => stream("a", new Error("no more"))),
      )(request());
      await expect(failing.text()).rejects.toThrow("no more");
      expect(watching()).toBe(0);
    });

    it("is watched until the client is reported as disconnected", async () => {
      const { sessions, request, watching } = await watched();
      const controller = new AbortController();
      await adapter(
        sessions,
        using(() => stream("a")),
      )(request({ signal: controller.signal }));
      expect(watching()).toBe(1);
      controller.abort();
      expect(watching()).toBe(0);
    });

    it.each<[string, Answer, RequestInit]>([
      ["there is no body", using(() => null, { status: 204 }), {}],
      ["nobody reads the body", using(() => stream("a")), { method: "HEAD" }],
    ])("is watched no longer than the handler runs where %s", async (_, answer, init) => {
      const { sessions, request, watching } = await watched();
      await adapter(sessions, answer)(request(init));
      expect(watching()).toBe(0);
    });

    it("is not watched if the client had disconnected before", async () => {
      const { sessions, request, watching } = await watched();
      let during = -1;
      const answer: Answer = (session) => {
        expect(session.signal.aborted).toBe(false);
        during = watching();
        return new Response("a");
      };
      await adapter(sessions, answer)(request({ signal: AbortSignal.abort() }));
      expect(during).toBe(0);
    });

    it("leaves a body alone whose session nobody uses", async () => {
      const { sessions, request } = await watched();
      const body = stream("a");
      const answer = await adapter(sessions, () => new Response(body))(request());
      expect(answer.body).toBe(body);
    });

    it("names the remedy if it is first read when nothing can report the end any more", async () => {
      const { sessions, request, watching } = await watched();
      let held: Session | undefined;
      const answer: Answer = (session) => {
        expect(session.userId).toBe("ada");
        held = session;
        return new Response("a");
      };
      await adapter(sessions, answer)(request());
      expect(() => held!.signal).toThrow(/asked for after the response was returned.*ask for it before/);
      expect(watching()).toBe(0);
    });
  },
);

describe("session.signal under fetch", () => {
  it("is released if the handler throws", async () => {
    const { sessions, request, watching } = await watched();
    const handle = withSession(sessions, (_request, session) => {
      expect(session.signal.aborted).toBe(false);
      throw new Error("the application's mistake");
    });
    await expect(handle(request())).rejects.toThrow("the application's mistake");
    expect(watching()).toBe(0);
  });
});

describe("session.signal after an upgrade to a WebSocket", () => {
  it("is still watched, and can be read then", async () => {
    const { sessions, request, watching } = await watched();
    let held: Session | undefined;
    const switching = Object.create(Response.prototype, { status: { value: 101 } }) as Response;
    await withSession(sessions, (_request, session) => {
      held = session;
      return switching;
    })(request());
    const { signal } = held!;
    expect(watching()).toBe(1);
    await sessions.revokeAll("ada");
    expect(signal.aborted).toBe(true);
  });
});
