import { EventEmitter } from "node:events";
import { inspect } from "node:util";
import { describe, expect, it, vi } from "vitest";
import { requestSessionOf } from "../request/session-handle.ts";
import { createSessions } from "../sessions.ts";
import { memoryStore } from "../stores/memory.ts";
import { createContext } from "./context.ts";

const sessions = createSessions({ secretKey: "the-one-that-7nobody-3knows-9of-those-2here", store: memoryStore() });
const newSession = () => sessions.open(new Request("http://localhost/"));

describe("emitters that are bound to the session of a context", () => {
  it("share one method, since one in each would keep requests in memory until a major garbage collection", async () => {
    const { context } = createContext();
    const [ofAda, ofGrace] = [new EventEmitter(), new EventEmitter()];
    context.bindEvents(await newSession(), ofAda);
    context.bindEvents(await newSession(), ofGrace);
    expect(Object.hasOwn(ofAda, "emit")).toBe(true);
    expect(ofAda.emit).toBe(ofGrace.emit);
  });

  it("call their listeners each within its own session, of each of several contexts", async () => {
    const [one, other] = [createContext(), createContext()];
    const seen: string[] = [];
    for (const [name, second] of [
      ["ada", "alan"],
      ["grace", "george"],
    ] as const) {
      const emitter = new EventEmitter();
      for (const [{ context }, user] of [
        [one, name],
        [other, second],
      ] as const) {
        const session = await newSession();
        session.signIn(user);
        context.bindEvents(session, emitter);
      }
      emitter.on("event", () => seen.push(`${one.session.userId} ${other.session.userId}`));
      emitter.emit("event");
    }
    expect(seen).toEqual(["ada alan", "grace george"]);
  });

  it("go on calling the method that they had of their own, with all arguments, and return what it returns", async () => {
    const { context } = createContext();
    const calls: unknown[][] = [];
    const emitter = {
      emit(...args: unknown[]) {
        calls.push([this === emitter, ...args]);
        return false;
      },
    };
    context.bindEvents(await newSession(), emitter);
    expect(emitter.emit("event", 1, 2)).toBe(false);
    expect(calls).toEqual([[true, "event", 1, 2]]);
  });
});

describe("the session of a context", () => {
  const uses: [string, (session: object) => unknown][] = [
    ["a read", (session) => (session as { data: unknown }).data],
    ["a write", (session) => ((session as { data: unknown }).data = {})],
    ["in", (session) => "data" in session],
    ["{ ...session }", (session) => ({ ...session })],
    ["Object.keys", (session) => Object.keys(session)],
    ["Object.entries", (session) => Object.entries(session)],
    ["Object.hasOwn", (session) => Object.hasOwn(session, "data")],
    [
      "for in",
      (session) =>
        Array.from({ length: 1 }, () => {
          for (const key in session) return key;
        }),
    ],
    ["Object.isExtensible", (session) => Object.isExtensible(session)],
    ["Object.isFrozen", (session) => Object.isFrozen(session)],
    ["Object.freeze", (session) => Object.freeze(session)],
    ["Object.setPrototypeOf", (session) => Object.setPrototypeOf(session, {})],
    ["Object.getPrototypeOf", (session) => Object.getPrototypeOf(session) as unknown],
    ["Object.defineProperty", (session) => Object.defineProperty(session, "a", { value: 1 })],
    ["delete", (session) => Reflect.deleteProperty(session, "data")],
    ["JSON.stringify", (session) => JSON.stringify(session)],
  ];

  it.each(uses)("throws the TypeError that names the option for %s outside of a request", (_, use) => {
    const { session } = createContext();
    expect(() => use(session)).toThrow(/^session of "sojourn\/context" was used outside of a request/);
  });

  it("has the keys of the request's session, within it", async () => {
    const { context, session } = createContext();
    const own = await newSession();
    context.run(own, () => {
      expect(Object.keys(session)).toEqual(Object.keys(own));
      expect({ ...session }).toEqual({ ...own });
      expect(Object.hasOwn(session, "data")).toBe(Object.hasOwn(own, "data"));
      expect(() => Object.freeze(session)).toThrow(TypeError);
    });
  });

  it("is a session all the same where an adapter checks each use of it", async () => {
    const { context, session } = createContext();
    const own = await newSession();
    const check = vi.fn<() => void>();
    context.run(
      own,
      () => {
        (session.data as Record<string, unknown>)["username"] = "ada";
        session.passive = true;
        expect([session.pop("username"), own.passive]).toEqual(["ada", true]);
        expect(check).toHaveBeenCalledTimes(3);
        expect(requestSessionOf(session)).toBe(requestSessionOf(own));
      },
      check,
    );
  });

  it("can be logged outside of a request", () => {
    expect(inspect(createContext().session)).toBe("Session (outside of a request)");
  });
});
