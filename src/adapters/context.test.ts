import { EventEmitter } from "node:events";
import { describe, expect, it } from "vitest";
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
